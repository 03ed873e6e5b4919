"""The text of `opendata.lock` (docs/reference/lock.md): read with every fault named, and written. Pure."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import FORMAT, NewerFormatError
from opendata_pkg.lock.check import is_lock, line_of, schema_fault
from opendata_pkg.model import Grade, InputError, Md5, Sha256, VersionId
from opendata_pkg.paths import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

RESERVED_PREFIX = ".opendata."
"""How names begin, at the top of a folder that `sync` fills, that are not files of the lock."""

# Calling the enum takes three times as long, ten thousand times.
_GRADES = {grade.value: grade for grade in Grade}
REMEDY = "take the line as it was from the file's history, or pin again"
"""What to do about a fault that a hand's edit made."""


class BrokenLockError(InputError):
    """A lock is not what `opendata pin` writes.

    `line` is the line of the fault, from 1 (None if it has none); `remedy` what to do about it.
    """

    def __init__(self, where: str, line: int | None, fault: str, remedy: str = REMEDY) -> None:
        self.where, self.line, self.fault, self.remedy = where, line, fault, remedy
        place = where if line is None else f"{where}, line {line}"
        super().__init__(f"{place}: {fault}; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One file of a lock. `path` is its full path in the catalogue's tree, `urls` where its bytes are, best first."""

    selection: str
    path: str
    size_bytes: int | None
    sha256: Sha256 | None
    md5: Md5 | None
    urls: tuple[str, ...]
    version_id: VersionId | None
    grade: Grade

    @property
    def digest(self) -> str:
        """`sha256:HEX`, else `md5:HEX`: the best digest that is known."""
        return f"sha256:{self.sha256}" if self.sha256 is not None else f"md5:{self.md5}"

    @property
    def digests(self) -> tuple[str, ...]:
        """Every digest that is known of it, the best first."""
        known = {"sha256": self.sha256, "md5": self.md5}
        return tuple(f"{name}:{value}" for name, value in known.items() if value is not None)

    def to_dict(self) -> dict[str, Any]:
        """Its row of the lock; what is not known is left out, but for the size."""
        row: dict[str, Any] = {"selection": self.selection, "path": self.path, "bytes": self.size_bytes}
        known = {"sha256": self.sha256, "md5": self.md5}
        row |= {name: value for name, value in known.items() if value is not None}
        row["urls"] = list(self.urls)
        if self.version_id is not None:
            row["version_id"] = self.version_id
        return row | {"grade": self.grade.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class LockSelection:
    """What was pinned under one name. `branch` is `.` for the root; `rules` are as in schemas/internal/selection.json.

    `reference` is what the citation says, in parts (see schemas/internal/lock.json).
    `folder` is where its files are put below the target, None for the target itself.
    """

    name: str
    branch: str
    version: str | None
    rules: Mapping[str, Any]
    source: str
    snapshot: str
    commit: str | None
    digest: str
    licenses: tuple[str, ...]
    citation: str
    reference: Mapping[str, Any] | None = None
    folder: str | None = None

    def place_of(self, path: str) -> str:
        """Where a file of it is put, relative to the target."""
        return path if self.folder is None else f"{self.folder}/{path}"

    def to_dict(self) -> dict[str, Any]:
        """It as the lock has it, without its name."""
        document: dict[str, Any] = {"branch": self.branch, "version": self.version}
        if self.folder is not None:
            document["folder"] = self.folder
        document |= {"rules": dict(self.rules), "source": self.source}
        if self.commit is not None:
            document["commit"] = self.commit
        return document | {
            "snapshot": self.snapshot,
            "digest": self.digest,
            "licenses": list(self.licenses),
            "citation": self.citation,
            **({} if self.reference is None else {"reference": dict(self.reference)}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LockContent:
    """What a lock says: selections by name, and files by selection and UTF-8 bytes of the path.

    `places` is each file's place below the target, in the order of `files`; two files of one content may share one.
    """

    selections: Mapping[str, LockSelection]
    files: tuple[LockedFile, ...]
    places: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the files, and work out their places."""
        files = tuple(sorted(self.files, key=lambda file: (file.selection, file.path.encode())))
        folders = {name: "" if (s := entry.folder) is None else f"{s}/" for name, entry in self.selections.items()}
        object.__setattr__(self, "selections", dict(sorted(self.selections.items())))
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "places", tuple(folders[file.selection] + file.path for file in files))

    def dump(self) -> str:
        """The text: JSON, sorted, each file on a line of its own, so that a diff shows which files changed."""
        head = {"format": FORMAT, "selections": {name: entry.to_dict() for name, entry in self.selections.items()}}
        text = json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
        rows = ",\n    ".join(json.dumps(file.to_dict(), ensure_ascii=False) for file in self.files)
        files = f"\n    {rows}\n  " if rows else ""
        return f'{text},\n  "files": [{files}]\n}}\n'


def same_content(one: LockedFile, other: LockedFile) -> bool:
    """Whether two files are known to have the same bytes: by a digest that is known of both."""
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    return one.md5 is not None and one.md5 == other.md5


def find_clash(content: LockContent) -> tuple[int, str] | None:
    """The first file, by its index, whose place cannot be had, and why; None if all can be put side by side."""
    holders: dict[str, int] = {}
    for index, place in enumerate(content.places):
        file = content.files[index]
        first = holders.setdefault(place, index)
        if first != index:
            other = content.files[first]
            if other.selection == file.selection:
                return index, f"{file.path!r} stands twice in selection {file.selection}"
            if not same_content(other, file):
                return index, f"{place!r} is of selection {other.selection} with other content too"
        if place[0] == "." and fold(place.split("/", 1)[0]).startswith(RESERVED_PREFIX):
            return index, f"{place!r} begins with {RESERVED_PREFIX}, as only opendata's own files do"
    known: dict[str, str] = {}
    for index, place in enumerate(content.places):
        for folder in _folders(place, known):
            if folder in holders:
                return index, f"{place!r} is in {folder!r}, which is a file of the lock"
    return None


def _folders(place: str, known: dict[str, str]) -> Iterator[str]:
    """The folders of a place that have not been seen yet."""
    while (cut := place.rfind("/")) > 0:
        place = place[:cut]
        if place in known:
            return
        known[place] = place
        yield place


def parse_lock(data: bytes, where: str) -> LockContent:
    """Read a lock and check all of it but the digests of its selections.

    Raises:
        NewerFormatError: it is of a newer format.
        BrokenLockError: it is no JSON, breaks the schema, or names what cannot be; names file, line and fault.
    """
    text, document = _parse_json(data, where)
    if isinstance(document, dict) and type(found := document.get("format")) is int and found > FORMAT:
        raise NewerFormatError(where, found)
    if not is_lock(document):
        place, fault = schema_fault(document)
        raise BrokenLockError(where, line_of(text, place), fault)
    selections = {name: _selection(name, entry) for name, entry in document["selections"].items()}
    for name, entry in document["selections"].items():
        try:
            json.dumps(entry, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            line = line_of(text, ("selections", name))
            raise BrokenLockError(where, line, f"half a character is in selection {name}: no text has one") from error
    unknown = next((i for i, row in enumerate(document["files"]) if row["selection"] not in selections), None)
    if unknown is not None:
        known = ", ".join(selections) or "there are none"
        fault = f"expected the name of a selection ({known}), got {document['files'][unknown]['selection']!r}"
        raise BrokenLockError(where, line_of(text, ("files", unknown)), fault)
    content = LockContent(selections=selections, files=tuple(map(_file, document["files"])))
    if (clash := find_clash(content)) is not None:
        raise BrokenLockError(where, _line_of_file(text, document, content.files[clash[0]]), clash[1])
    return content


def _parse_json(data: bytes, where: str) -> tuple[str, Any]:
    try:
        # RFC 8259, section 8.1: who reads JSON "MAY ignore the presence of a byte order mark rather than treating it as
        # an error". Editors on Windows add one to a file that somebody only looked at.
        text = data.removeprefix(codecs.BOM_UTF8).decode()
        return text, json.loads(text, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except _TwiceError as error:
        fault = f"the field {error.name!r} stands twice in one entry"
        raise BrokenLockError(where, _line_of_twins(text), fault) from error
    except json.JSONDecodeError as error:
        fault = f"expected JSON: {error.msg} (column {error.colno})"
        remedy = f"if two people's changes were merged here, take one side and pin again; else {REMEDY}"
        raise BrokenLockError(where, error.lineno, fault, remedy) from error
    except (ValueError, RecursionError) as error:
        raise BrokenLockError(where, None, f"expected JSON in UTF-8: {error}") from error


class _TwiceError(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Which of the two counts would depend on who reads it.
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _selection(name: str, entry: dict[str, Any]) -> LockSelection:
    rules = {key: int(value) if isinstance(value, float) else value for key, value in entry["rules"].items()}
    plain = {key: entry[key] for key in ("branch", "version", "source", "snapshot", "digest", "citation")}
    return LockSelection(
        name=name,
        rules=rules,
        licenses=tuple(entry["licenses"]),
        commit=entry.get("commit"),
        folder=entry.get("folder"),
        reference=entry.get("reference"),
        **plain,
    )


def _file(row: dict[str, Any]) -> LockedFile:
    return LockedFile(
        selection=row["selection"],
        path=row["path"],
        size_bytes=None if row["bytes"] is None else int(row["bytes"]),
        sha256=row.get("sha256"),
        md5=row.get("md5"),
        urls=tuple(row["urls"]),
        version_id=row.get("version_id"),
        grade=_GRADES[row["grade"]],
    )


def _line_of_file(text: str, document: Any, file: LockedFile) -> int:
    """The line of the last row of that selection and path: of two that clash, the one that was added."""
    rows = document["files"]
    fits = (index for index, row in enumerate(rows) if (row["selection"], row["path"]) == (file.selection, file.path))
    return line_of(text, ("files", max(fits)))


def _line_of_twins(text: str) -> int | None:
    """The line of a file's row in which one field stands twice; None if it is not in a row on a line of its own."""
    for number, line in enumerate(text.split("\n"), 1):
        row = line.strip().removesuffix(",")
        try:
            if row.startswith("{") and row.endswith("}"):
                json.loads(row, object_pairs_hook=_no_twins)
        except _TwiceError:
            return number
        except ValueError:
            continue
    return None


def by_selection(files: Iterable[LockedFile]) -> dict[str, list[LockedFile]]:
    """Files by the selection that they are of."""
    found: dict[str, list[LockedFile]] = {}
    for file in files:
        found.setdefault(file.selection, []).append(file)
    return found
