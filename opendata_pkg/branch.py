"""A branch: a node of the catalogue's tree, what is said of it, and the rules of its path, name and id."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass

from opendata_pkg.paths import MAX_PART_BYTES, Naming, fold

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:opendata:catalogue")
"""Of all dataset ids that a catalogue does not state itself; never to be changed."""

ROOT = "."
"""How people write the root branch, whose path is the empty string."""

NAME_MAX = 200
"""Letters of a name: `<name>.git` must be a file's name, with room for what git and web servers append."""

# S3 allows 1024 bytes a key, and a branch has keys below it.
_PATH_MAX_BYTES = 1022
# Ours at a dataset's root, beside those that `paths` keeps. An object of the bucket may take our file's place there, a
# subdataset may not.
_RESERVED = frozenset({"readme.md", "citation.cff"})
_UNRENAMED = Naming(prefix="")
# Control characters, lone surrogates, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """Terms of use, as in Data Package 2.0: `name` is an SPDX or Open Definition id, `path` a URL; one is there."""

    name: str | None = None
    title: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """A person or organisation that contributed, as in Data Package 2.0."""

    title: str
    roles: tuple[str, ...] = ()
    given_name: str | None = None
    family_name: str | None = None
    organization: str | None = None
    path: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the data come from, as in Data Package 2.0."""

    title: str
    path: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A node of the tree. What it did not state is inherited from its nearest declared ancestor, or absent.

    `path` is the S3 folder without a slash at its ends; empty: the root. `name` is the git repository's, `dataset_id`
    the DataLad id; neither changes once released. `parent` is the path of the nearest declared ancestor (None: this is
    the root); `children` are the paths of the branches whose parent this is, in UTF-8 byte order. `formerly` are paths
    it once had.
    """

    path: str
    name: str
    dataset_id: str
    title: str
    description: str | None
    parent: str | None
    children: tuple[str, ...]
    licenses: tuple[License, ...]
    contributors: tuple[Contributor, ...]
    sources: tuple[Source, ...]
    formerly: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What the keys at or below this branch begin with: the path and a slash, or nothing for the root."""
        return f"{self.path}/" if self.path else ""

    @property
    def mount_in_parent(self) -> str:
        """Where this dataset is a subdataset of its parent: the path relative to it; empty for the root."""
        return self.path.removeprefix(f"{self.parent}/") if self.parent else self.path


def default_name(path: str) -> str:
    """The name of a branch that states none: its path in lower case, `/` as `.`, and `-` for whatever no name has.

    Empty for a path without a letter or digit that a name can have.
    """
    return re.sub(r"[^a-z0-9.-]+", "-", path.lower().replace("/", ".")).strip("-.")


def default_dataset_id(catalogue_id: str, path: str) -> str:
    """The DataLad id of a branch that states none: UUIDv5 of `NAMESPACE` and `<catalogue id>/<path>`."""
    return str(uuid.uuid5(NAMESPACE, f"{catalogue_id}/{path}"))


def path_fault(path: str) -> str | None:
    """Why no branch can have that path, as half a sentence; None if it can.

    A branch is a folder of S3 keys, a submodule of git and a word of selections (`BRANCH@VERSION:PATH`) at once.
    """
    if len(path.encode(errors="replace")) > _PATH_MAX_BYTES:
        return f"expected a path of at most {_PATH_MAX_BYTES} bytes"
    return next((fault for component in path.split("/") if (fault := _component_fault(component))), None)


def _component_fault(component: str) -> str | None:
    faults = (
        (component in {"", ".", ".."}, f"expected names between single slashes, got {component!r} as one of them"),
        (any(sign in component for sign in "@:\\"), "expected no `@`, `:` or backslash in it"),
        (any(unicodedata.category(sign) in _UNPRINTABLE for sign in component), "expected no control characters in it"),
        (
            len(component.encode(errors="replace")) > MAX_PART_BYTES,
            f"expected at most {MAX_PART_BYTES} bytes between slashes",
        ),
        # git: "submodule path … may be interpreted as a command-line option".
        (component.startswith("-"), f"expected no `-` at the beginning of {component!r}: git takes it for an option"),
        # Where a child is mounted, a key of that name gets its first character escaped: `%` is escaped already.
        (component.startswith("%"), f"expected no `%` at the beginning of {component!r}: renamed files begin so"),
    )
    fault = next((fault for is_fault, fault in faults if is_fault), None)
    # `%` is escaped wherever it stands; any other change of the name says that the name is not free.
    if not fault and (
        fold(component) in _RESERVED or _UNRENAMED.mount_path(component) != component.replace("%", "%25")
    ):
        return f"{component!r} is a name kept for git, DataLad or opendata"
    return fault
