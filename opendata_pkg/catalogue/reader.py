"""Reading a catalogue: from what people wrote to its parts, each fault with its line."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.branch import (
    NAME_MAX,
    RESERVED_NAMES,
    ROOT,
    Branch,
    Evidence,
    default_dataset_id,
    default_name,
    path_fault,
    shared_fields,
    vocabulary_fault,
)
from opendata_pkg.documents import InvalidDocumentError, validate
from opendata_pkg.faults import suggest
from opendata_pkg.model import InputError
from opendata_pkg.paths import fold
from opendata_pkg.strict_yaml import YamlDocument, YamlPath, load_yaml
from opendata_pkg.vocabulary import KINDS, MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class BrokenCatalogueError(InputError):
    """A catalogue contradicts itself or names what cannot be. `line` counts from 1."""

    def __init__(self, where: str, line: int, fault: str) -> None:
        self.where, self.line, self.fault = where, line, fault
        super().__init__(f"{where}, line {line}: {fault}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Keys that begin with `prefix` are left out of every dataset, and `reason` says why."""

    prefix: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueParts:
    """What a catalogue is made of, as `catalogue.Catalogue` says."""

    id: str
    epoch: datetime
    store: str | None
    ignore: tuple[Ignored, ...]
    branches: Mapping[str, Branch]


def read_parts(data: bytes, where: str) -> CatalogueParts:
    """A catalogue's parts from its file's bytes; `where` names it in errors.

    Raises:
        InputError: it is no YAML, does not follow its schema, or contradicts itself; the sentence names the line.
    """
    document = load_yaml(data, where)
    _check_schema(document, where)
    reader = _Reader(document, where)
    parts = reader.parts()
    if reader.faults:
        raise reader.faults[0]
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A branch as it was written: its path, its own fields, and where these stand in the document."""

    path: str
    fields: dict[str, Any]
    place: YamlPath


class _Reader:
    """Turns one document that follows its schema into a catalogue's parts, and says on which lines it goes wrong.

    It goes on after a fault, so that all are found; with `faults`, what it made is of no use.
    """

    def __init__(self, document: YamlDocument, where: str) -> None:
        self.where, self.lines, self.value = where, document.lines, document.value
        self.faults: list[BrokenCatalogueError] = []

    def refuse(self, place: YamlPath, fault: str) -> None:
        self.faults.append(BrokenCatalogueError(self.where, self.lines[place], fault))

    def parts(self) -> CatalogueParts:
        entries = self.entries()
        self.check_spellings(entries)
        self.check_former_paths(entries)
        # Here and below: the schema's `$` lets one line feed pass at a text's end, as Python's does; `strip` takes it.
        catalogue_id = self.value["id"].strip()
        return CatalogueParts(
            id=catalogue_id,
            epoch=self.epoch(),
            store=self.value.get("store"),
            ignore=self.ignored(entries),
            branches=self.branches(entries, catalogue_id),
        )

    def entries(self) -> dict[str, _Entry]:
        """All branches as they were written, by path, in byte order, so that parents stand before their children."""
        found: dict[str, _Entry] = {}
        waiting = [_Entry(path="", fields=self.value, place=())]
        while waiting:
            entry = waiting.pop()
            if (other := found.setdefault(entry.path, entry)) is not entry:
                lines = sorted((self.lines[other.place], self.lines[entry.place]))
                again = f"expected the branch {entry.path!r} once, got it again; it first stands on line {lines[0]}"
                self.faults.append(BrokenCatalogueError(self.where, lines[1], again))
                continue
            for key, fields in entry.fields.get("branches", {}).items():
                place = (*entry.place, "branches", key)
                path = f"{entry.path}/{key}" if entry.path else key
                if fault := path_fault(path):
                    self.refuse(place, f"{key!r} cannot be a branch: {fault}")
                    continue
                waiting.append(_Entry(path=path, fields=fields or {}, place=place))
        return {path: found[path] for path in sorted(found, key=str.encode)}

    def branches(self, entries: dict[str, _Entry], catalogue_id: str) -> dict[str, Branch]:
        parents = {path: _parent(path, entries) for path in entries}
        children: dict[str | None, list[str]] = {}
        for path, parent in parents.items():
            children.setdefault(parent, []).append(path)
        branches: dict[str, Branch] = {}
        media_types = self.media_types()
        names: dict[str, str] = {}
        ids: dict[str, str] = {}
        for path, entry in entries.items():
            fields, ancestor = entry.fields, parents[path]
            above = None if ancestor is None else branches[ancestor]
            self.check_known("formats", fields.get("formats", ()), media_types, entry)
            types = {**dict.fromkeys(fields.get("formats", ()), ""), **media_types}
            name = self.name(entry, default_name(path) if path else catalogue_id)
            dataset_id = fields.get("uuid", default_dataset_id(catalogue_id, path)).strip()
            self.check_unique("name", name, entry, names)
            self.check_unique("uuid", dataset_id, entry, ids)
            branches[path] = Branch(
                path=path,
                name=name,
                dataset_id=dataset_id,
                title=self.title(entry) or path.rpartition("/")[2].replace("_", " ") or name,
                description=fields.get("description", "").strip() or None,
                parent=ancestor,
                children=tuple(children.get(path, ())),
                formerly=tuple(fields.get("formerly", ())),
                evidence=Evidence(**fields["evidence"]) if "evidence" in fields else None,
                **shared_fields(fields, above, types),
            )
            self.check_vocabulary(entry, branches[path], above)
        return branches

    def media_types(self) -> dict[str, str]:
        """Media types by format: this catalogue's own, else those that all catalogues know."""
        return {**MEDIA_TYPES, **self.value.get("media_types", {})}

    def check_known(self, field: str, words: Iterable[str], known: Iterable[str], entry: _Entry) -> None:
        for index, word in enumerate(words):
            if word not in known:
                meant = f" (did you mean {found}?)" if (found := suggest(word, known)) else ""
                place = (*entry.place, field) if field == "kind" else (*entry.place, field, index)
                own = "kinds" if field == "kind" else "media_types"
                self.refuse(
                    place,
                    f"expected one of {', '.join(sorted(known))}, got {word!r}{meant}; others are declared under "
                    f"`{own}:` at the top of the catalogue",
                )

    def check_vocabulary(self, entry: _Entry, branch: Branch, above: Branch | None) -> None:
        if "kind" in entry.fields:
            self.check_known("kind", (entry.fields["kind"],), {**KINDS, **self.value.get("kinds", {})}, entry)
        inherited = None if above is None else vocabulary_fault(above)
        if (found := vocabulary_fault(branch)) is not None and found != inherited:
            fields, fault = found
            places = [place for field in fields if (place := (*entry.place, field)) in self.lines]
            self.refuse((*places, entry.place)[0], fault)

    def name(self, entry: _Entry, default: str) -> str:
        name: str = entry.fields.get("name", default).strip()
        if not 0 < len(name) <= NAME_MAX:
            self.refuse(
                entry.place, f"no name of 1 to {NAME_MAX} letters follows from {entry.path!r}: state a `name:` for it"
            )
        if name in RESERVED_NAMES:
            self.refuse(
                entry.place, f"{name!r} is a file's name where releases keep their datasets: state another `name:`"
            )
        return name

    def title(self, entry: _Entry) -> str:
        title: str = entry.fields.get("title", "").strip()
        if any(unicodedata.category(character) == "Cc" for character in title):
            self.refuse((*entry.place, "title"), f"expected a title of one line, got {title!r}")
        return title

    def check_unique(self, field: str, value: str, entry: _Entry, taken: dict[str, str]) -> None:
        if (other := taken.setdefault(value, entry.path)) != entry.path:
            self.refuse(
                entry.place,
                f"expected each branch to have a {field} of its own, got {value} for both {other or ROOT} and "
                f"{entry.path}: state another `{field}:` for the one that was never released",
            )

    def check_spellings(self, entries: dict[str, _Entry]) -> None:
        """No two folders that many file systems take for one, be they branches or on the way to one."""
        seen: dict[str, str] = {}
        for path, entry in entries.items():
            parts = path.split("/")
            for folder in ("/".join(parts[:count]) for count in range(1, len(parts) + 1)):
                if (other := seen.setdefault(fold(folder), folder)) != folder:
                    self.refuse(
                        entry.place,
                        f"{other!r} and {folder!r} are one folder to file systems that ignore case or Unicode form: "
                        "declare only one of them; what the other holds then belongs to their parent",
                    )

    def check_former_paths(self, entries: dict[str, _Entry]) -> None:
        taken: dict[str, str] = {}
        for path, entry in entries.items():
            for index, old in enumerate(entry.fields.get("formerly", ())):
                place = (*entry.place, "formerly", index)
                if fault := path_fault(old):
                    self.refuse(place, f"{old!r} cannot have been a branch: {fault}")
                if old in entries:
                    self.refuse(place, f"{path!r} cannot formerly have been {old!r}: that is a branch now")
                if (other := taken.setdefault(old, path)) != path:
                    self.refuse(
                        place, f"expected {old!r} in one `formerly:`, got it in those of {other!r} and {path!r}"
                    )

    def ignored(self, entries: dict[str, _Entry]) -> tuple[Ignored, ...]:
        found: list[Ignored] = []
        for index, item in enumerate(self.value.get("ignore", ())):
            prefix, place = item["prefix"], ("ignore", index)
            for other in found:
                if prefix.startswith(other.prefix) or other.prefix.startswith(prefix):
                    self.refuse(
                        place, f"{prefix!r} and {other.prefix!r} ignore the same keys: keep the shorter of them"
                    )
            for path, entry in entries.items():
                if path and f"{path}/".startswith(prefix):
                    self.refuse(
                        entry.place, f"the branch {path!r} lies in the ignored prefix {prefix!r}: keep one of them"
                    )
            found.append(Ignored(prefix=prefix, reason=" ".join(item["reason"].split())))
        return tuple(sorted(found, key=lambda ignored: ignored.prefix.encode()))

    def epoch(self) -> datetime:
        text = self.value["epoch"]
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            time = None
        # git dates commits in whole seconds since 1970; without a zone nobody could say when that was.
        if time is None or time.tzinfo is None or time.microsecond or time < datetime(1970, 1, 1, tzinfo=UTC):
            fault = f"expected a time in whole seconds, not before 1970, such as 2024-01-01T00:00:00Z, got {text!r}"
            self.refuse(("epoch",), fault)
            return datetime(1970, 1, 1, tzinfo=UTC)
        return time.astimezone(UTC)


def contradictions(document: YamlDocument, where: str) -> list[BrokenCatalogueError]:
    """All that a catalogue which follows its schema contradicts itself in, in the order of the lines."""
    reader = _Reader(document, where)
    reader.parts()
    return sorted(reader.faults, key=lambda fault: fault.line)


def _check_schema(document: YamlDocument, where: str) -> None:
    try:
        validate(document.value, "catalogue", where=where)
    except InvalidDocumentError as error:
        line = _line_of(error.json_path, document.lines)
        hint = ": a list takes the place of the inherited one, [] clears it" * error.fault.endswith("'array'")
        raise InvalidDocumentError(f"{where}, line {line}", error.json_path, error.fault + hint) from error


def _parent(path: str, entries: Mapping[str, _Entry]) -> str | None:
    """The nearest declared ancestor: not always the next folder up, nor what the branch was written below."""
    if not path:
        return None
    while True:
        path = path.rpartition("/")[0]
        if path in entries:
            return path


def _line_of(json_path: str, lines: Mapping[YamlPath, int]) -> int:
    """The line of what jsonschema calls `json_path`; the document's first if it is none of its parts."""
    from jsonschema import ValidationError  # noqa: PLC0415 - as in `documents`

    return next((line for place, line in lines.items() if ValidationError("", path=place).json_path == json_path), 1)
