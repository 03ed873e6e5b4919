"""`describe`: the checked-in description of a catalogue's branches, written from the catalogue and from nothing else.

Beside the catalogue file stands a folder for each branch, with its descriptor, its README, and, where files are known
to be in the bucket, a list of them. These files are made, so a change belongs into the catalogue.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.dataset.descriptor import README_RESOURCE, branch_properties, shard_info, table_resource
from opendata_pkg.dataset.readme import package_readme
from opendata_pkg.documents import dump_json, shipped
from opendata_pkg.files import write_bytes
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opendata_pkg.catalogue.branch import Branch
    from opendata_pkg.catalogue.catalogue import Catalogue

EVIDENCE_FILE = "evidence.csv"
"""Beside a catalogue file: keys that are known to be in the bucket, and where that is known from."""
EVIDENCE_COLUMNS = ("key", "bytes", "evidence", "source")

_FILES = "files.csv"
_TABLE_SCHEMA = "files.tableschema.json"
_MADE = ("datapackage.json", "README.md", _FILES, _TABLE_SCHEMA)


class BrokenEvidenceError(InputError):
    """The file of known keys is not what it must be. `line` counts from 1."""

    def __init__(self, where: str, line: int, fault: str) -> None:
        self.where, self.line, self.fault = where, line, fault
        super().__init__(f"{where}, line {line}: {fault}")


class NotMadeHereError(InputError):
    """A file stands where a description is to be written, and is none."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"expected {path} to be written from the catalogue, but no descriptor of its branch is beside it: move it "
            "away, or keep the catalogue in a folder of its own"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A key that is known to be in the bucket: how (`evidence`), where that stands (`source`), its size if known."""

    key: str
    size_bytes: int | None
    evidence: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Paths, relative to the catalogue's folder, at which files are missing, differ, or belong to no branch; sorted."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    stale: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.missing or self.changed or self.stale)


def read_evidence(path: Path) -> tuple[KnownFile, ...]:
    """The known keys from a CSV file with the columns key, bytes, evidence, source; none if there is no such file.

    Raises:
        BrokenEvidenceError: other columns, a size that is no whole number, a key twice or without evidence.
    """
    if not path.is_file():
        return ()
    found: dict[str, KnownFile] = {}
    # `utf-8-sig`: spreadsheets put a mark in front.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        try:
            header = tuple(next(rows, ()))
            if header != EVIDENCE_COLUMNS:
                expected = ",".join(EVIDENCE_COLUMNS)
                raise BrokenEvidenceError(str(path), 1, f"expected the columns {expected}, got {','.join(header)}")
            for row in rows:
                known = _known_file(row, str(path), rows.line_num)
                if found.setdefault(known.key, known) is not known:
                    fault = f"expected each key once, got {known.key} again"
                    raise BrokenEvidenceError(str(path), rows.line_num, fault)
        except (csv.Error, UnicodeDecodeError) as error:
            fault = f"expected CSV in UTF-8, quoted as RFC 4180 has it: {error}"
            raise BrokenEvidenceError(str(path), rows.line_num + 1, fault) from error
    return tuple(found.values())


def _known_file(row: Sequence[str], where: str, line: int) -> KnownFile:
    if len(row) != len(EVIDENCE_COLUMNS):
        raise BrokenEvidenceError(where, line, f"expected {len(EVIDENCE_COLUMNS)} values, got {len(row)}")
    key, size, evidence, source = row
    if not (key and evidence and source):
        raise BrokenEvidenceError(where, line, "expected a key, its evidence and the source of that, got none of one")
    if size and not (size.isascii() and size.isdigit()):
        raise BrokenEvidenceError(where, line, f"expected a whole number of bytes or nothing, got {size!r}")
    return KnownFile(key=key, size_bytes=int(size) if size else None, evidence=evidence, source=source)


def package_files(catalogue: Catalogue, known: Sequence[KnownFile], start: str = "") -> dict[str, bytes]:
    """What stands in the folders of the branch at path `start` and those below: contents by relative path, `/` between.

    The same catalogue and known keys give the same bytes.
    """
    by_branch = _by_branch(catalogue, known)
    files: dict[str, bytes] = {}
    for branch in catalogue.walk(start):
        own = by_branch.get(branch.path, ())
        table = _table(branch, own)
        contents = {"datapackage.json": dump_json(_document(branch, table)).encode()}
        readme = package_readme(
            branch,
            parent=None if branch.parent is None else catalogue.branches[branch.parent],
            children=[catalogue.branches[child] for child in branch.children],
            known_files=len(own),
        )
        contents["README.md"] = readme.encode()
        if table is not None:
            contents |= {_FILES: table, _TABLE_SCHEMA: (shipped("schemas") / "evidence.tableschema.json").read_bytes()}
        files |= {branch.prefix + name: content for name, content in contents.items()}
    return files


def package_document(catalogue: Catalogue, known: Sequence[KnownFile], branch: Branch) -> dict[str, Any]:
    """The checked-in descriptor of one branch."""
    return _document(branch, _table(branch, _by_branch(catalogue, known).get(branch.path, ())))


def compare(folder: Path, files: Mapping[str, bytes], start: str = "") -> Differences:
    """How the folder of a catalogue differs from what `package_files` gave for the same `start`.

    Only folders with a descriptor that was made here count as made here: what else lies about is not looked at.
    """
    missing = [path for path in files if not (folder / path).is_file()]
    changed = [path for path in files if path not in missing and (folder / path).read_bytes() != files[path]]
    made = [found.parent for found in (folder / start).rglob("datapackage.json") if _is_made(found, folder)]
    there = {(each / name).relative_to(folder).as_posix() for each in made for name in _MADE if (each / name).is_file()}
    return Differences(
        missing=tuple(sorted(missing)), changed=tuple(sorted(changed)), stale=tuple(sorted(there - set(files)))
    )


def mend(folder: Path, files: Mapping[str, bytes], differences: Differences) -> None:
    """Write what is missing or differs, and take away what was made for a branch that is no more.

    Raises:
        NotMadeHereError: a file that differs was not made here; nothing was written.
    """
    for path in differences.changed:
        if not _is_made((folder / path).parent / "datapackage.json", folder):
            raise NotMadeHereError(str(folder / path))
    for path in (*differences.missing, *differences.changed):
        write_bytes(folder / path, files[path])
    for path in differences.stale:
        (folder / path).unlink()
        for above in (folder / path).relative_to(folder).parents:
            if above.name and not any((folder / above).iterdir()):
                (folder / above).rmdir()


def _is_made(descriptor: Path, folder: Path) -> bool:
    """Whether a file is a descriptor of ours, of the branch in whose folder it stands."""
    try:
        document = json.loads(descriptor.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    path = descriptor.parent.relative_to(folder).as_posix()
    return isinstance(document, dict) and document.get("od:branch") == (ROOT if path == "." else path)


def _document(branch: Branch, table: bytes | None) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    if table is not None:
        resources.append(table_resource("files", _FILES, shard_info(_FILES, table), _TABLE_SCHEMA))
    return branch_properties(branch) | {"resources": [*resources, README_RESOURCE]}


def _table(branch: Branch, known: Sequence[KnownFile]) -> bytes | None:
    """The list of files that are known; None if none is: a table of a header alone says nothing."""
    if not known:
        return None
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", *EVIDENCE_COLUMNS[1:]))
    for file in sorted(known, key=lambda file: file.key.encode()):
        rows.writerow((file.key.removeprefix(branch.prefix), file.size_bytes, file.evidence, file.source))
    return text.getvalue().encode()


def _by_branch(catalogue: Catalogue, known: Sequence[KnownFile]) -> dict[str, list[KnownFile]]:
    """Known files by the path of the deepest branch that holds them; ignored ones are left out."""
    found: dict[str, list[KnownFile]] = {}
    for file in known:
        if any(file.key.startswith(ignored.prefix) for ignored in catalogue.ignore):
            continue
        path = file.key.rpartition("/")[0]
        while path and path not in catalogue.branches:
            path = path.rpartition("/")[0]
        found.setdefault(path, []).append(file)
    return found
