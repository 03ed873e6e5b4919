"""Descriptors written from a catalogue that say something else: which line of the catalogue to change instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.faults import Fault, json_path, shown
from opendata_pkg.model import InputError
from opendata_pkg.strict_yaml import load_yaml
from opendata_pkg.validation.describe import EVIDENCE_FILE, package_document, read_evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opendata_pkg.strict_yaml import YamlPath
    from opendata_pkg.validation.describe import KnownFile

CATALOGUE_FILE = "catalogue.yaml"

_WRITE = "opendata describe --write"
_FIELDS = {"$schema": "kind", "id": "uuid", "od:branch": "branches"}
_OWN = frozenset({"name", "uuid", "title", "description", "evidence"})
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A catalogue file that descriptors beside it are written from: what it says, and on which lines."""

    file: Path
    catalogue: Catalogue
    known: tuple[KnownFile, ...]
    lines: Mapping[YamlPath, int]
    places: Mapping[str, YamlPath]

    @classmethod
    def read(cls, file: Path) -> Origin | None:
        """The catalogue in a file; None if it is broken, which is a fault of its own and none of its descriptors."""
        try:
            data = file.read_bytes()
            catalogue = Catalogue.parse(data, str(file))
            known = read_evidence(file.parent / EVIDENCE_FILE)
            document = load_yaml(data, str(file))
        except InputError:
            return None
        places = dict(_places(document.value, "", ()))
        return cls(file=file, catalogue=catalogue, known=known, lines=document.lines, places=places)

    def faults(self, file: Path, document: Mapping[str, Any]) -> Iterator[Fault]:
        """What a descriptor that is written from this catalogue says otherwise."""
        path = file.parent.relative_to(self.file.parent).as_posix()
        branch = self.catalogue.branches.get("" if path == ROOT else path)
        if branch is None:
            message = f"expected a folder of a branch of {self.file}, got {path}, which it does not declare"
            yield Fault(file=str(file), message=message, remedy=f"declare it there, or take the file away: {_WRITE}")
            return
        expected = package_document(self.catalogue, self.known, branch)
        for field in [*expected, *(name for name in document if name not in expected)]:
            if (wanted := expected.get(field)) != (got := document.get(field)):
                yield Fault(
                    file=str(file),
                    path=json_path((field,)),
                    message=f"edited by hand, or out of date: expected {shown(wanted)}, got {shown(got)}",
                    remedy=self._remedy(branch.path, field),
                )

    def _remedy(self, path: str, field: str) -> str:
        name = _FIELDS.get(field, _HUMP.sub("_", field.removeprefix("od:")).lower())
        if field == "resources" or name in {"branches", "version", "created"}:
            return f"nobody writes it: {_WRITE}"
        line = self._line(path, name)
        return f"change `{name}` in {self.file}, line {line}, instead, then: {_WRITE}"

    def _line(self, path: str, name: str) -> int:
        """Where a branch's field is stated, by itself or by whom it inherits it from; else where the branch stands."""
        above: str | None = path
        while above is not None:
            if (line := self.lines.get((*self.places[above], name))) is not None:
                return line
            above = None if name in _OWN else self.catalogue.branches[above].parent
        return self.lines[self.places[path]]


def origin_of(file: Path, document: Any) -> Path | None:
    """The catalogue file that a descriptor is written from, in its folder or the nearest above; None if there is none.

    Descriptors of datasets, which have a content digest, are written from a snapshot, too, and are not told of here.
    """
    if not isinstance(document, dict) or "od:branch" not in document or "od:contentDigest" in document:
        return None
    candidates = (folder / CATALOGUE_FILE for folder in file.parents)
    return next((found for found in candidates if found.is_file()), None)


def _places(fields: Any, path: str, place: YamlPath) -> Iterator[tuple[str, YamlPath]]:
    yield path, place
    for key, below in (fields or {}).get("branches", {}).items():
        yield from _places(below, f"{path}/{key}" if path else key, (*place, "branches", key))
