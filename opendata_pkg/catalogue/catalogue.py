"""The catalogue: the tree of branches that a bucket is cut into, as people write it (docs/reference/catalogue.md).

`Catalogue.load` reads, checks and completes one; what children share with their parents is already inherited in each
`Branch`. Which dataset nests in which is a function of the catalogue alone.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from opendata_pkg.catalogue.branch import ROOT, Branch, Contributor, License, Source
from opendata_pkg.catalogue.reader import BrokenCatalogueError, Ignored, read_parts
from opendata_pkg.documents import shipped
from opendata_pkg.model import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "Branch",
    "BrokenCatalogueError",
    "Catalogue",
    "Contributor",
    "Ignored",
    "License",
    "Source",
    "UnknownBranchError",
    "shipped_catalogue",
]

_SUGGESTIONS_MAX = 3


class UnknownBranchError(NotFoundError):
    """No branch has that path, now or formerly. `suggestions` are paths of branches that may be meant.

    `as_folder` is how to ask for a folder of that path, where one can.
    """

    def __init__(
        self, asked: str, catalogue_id: str, suggestions: tuple[str, ...], *, as_folder: str | None = None
    ) -> None:
        self.asked, self.suggestions = asked, suggestions
        meant = f"did you mean {' or '.join(path or ROOT for path in suggestions)}? " if suggestions else ""
        folder = "" if as_folder is None else f"; a folder that is no branch goes after a colon: {as_folder}"
        super().__init__(
            f"no branch {asked!r} in the catalogue {catalogue_id}: {meant}`opendata tree` shows them all{folder}"
        )


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A whole catalogue. `branches` maps path → branch in UTF-8 byte order, so parents stand before their children.

    `id` is the namespace of dataset ids; `epoch` (UTC, whole seconds) dates commits of datasets without dates; `store`
    is the URL that readers go to; `ignore` is in byte order, no prefix within another; `source_bytes` are the file's.
    """

    id: str
    epoch: datetime
    store: str | None
    ignore: tuple[Ignored, ...]
    branches: Mapping[str, Branch]
    source_bytes: bytes

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read and check a catalogue file.

        Raises:
            NotFoundError: there is no such file.
            InputError: it is no YAML, does not follow its schema, or contradicts itself; the sentence names the line.
        """
        if not path.is_file():
            raise NotFoundError(f"no catalogue at {path}: name its YAML file with --catalogue FILE")
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, data: bytes, where: str) -> Catalogue:
        """A catalogue from its file's bytes; `where` names it in errors. Raises InputError as `load` does."""
        parts = read_parts(data, where)
        return cls(
            id=parts.id,
            epoch=parts.epoch,
            store=parts.store,
            ignore=parts.ignore,
            branches=parts.branches,
            source_bytes=data,
        )

    @cached_property
    def sha256(self) -> str:
        """64 hex digits over `source_bytes`."""
        return hashlib.sha256(self.source_bytes).hexdigest()

    @property
    def root(self) -> Branch:
        """The branch that holds all others, and every object that belongs to none of them."""
        return self.branches[""]

    @property
    def title(self) -> str:
        """The root's title."""
        return self.root.title

    def walk(self, start: str = "") -> Iterator[Branch]:
        """The branch at path `start` and all below it, depth first, each before its children."""
        branch = self.branches[start]
        yield branch
        for child in branch.children:
            yield from self.walk(child)

    def resolve(self, text: str) -> Branch:
        """The branch of that path, or that once had it; `.` and the empty string are the root.

        A slash at the end is allowed, as in an S3 prefix.

        Raises:
            UnknownBranchError: there is none; suggests what may be meant.
        """
        path = "" if text == ROOT else text.removesuffix("/")
        branch = self.branches.get(path) or self._by_old_path.get(path)
        if branch is None:
            raise UnknownBranchError(text, self.id, self._suggestions(path))
        return branch

    def owner_of(self, key: str) -> Branch:
        """The deepest branch whose path is a folder of the key; the root, if none is."""
        folder = key
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if (branch := self.branches.get(folder)) is not None:
                return branch
        return self.root

    @cached_property
    def _by_old_path(self) -> dict[str, Branch]:
        return {old: branch for branch in self.branches.values() for old in branch.formerly}

    def _suggestions(self, asked: str) -> tuple[str, ...]:
        """Paths that may be meant: spelled or named alike, or with a last component alike; else the way there."""
        spellings: dict[str, list[str]] = {}
        for branch in self.branches.values():
            for spelling in {branch.path, branch.name, branch.path.rpartition("/")[2]}:
                spellings.setdefault(spelling.casefold(), []).append(branch.path)
        wanted = asked.casefold()
        close = [
            spelling
            for text in (wanted, wanted.rpartition("/")[2])
            for spelling in difflib.get_close_matches(text, spellings, _SUGGESTIONS_MAX, 0.8)
        ]
        found = list(dict.fromkeys(path for spelling in close for path in spellings[spelling]))
        if not found:
            found = [path for path in self.branches if path and asked.startswith(f"{path}/")][-1:]
        return tuple(found[:_SUGGESTIONS_MAX])


def shipped_catalogue() -> Catalogue:
    """The catalogue that comes with this package: Blue Brain Open Data."""
    return Catalogue.load(shipped("packages") / "catalogue.yaml")
