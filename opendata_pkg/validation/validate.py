"""`validate`: what each document is, and everything that is wrong with it.

Documents are checked, not data files: those are for `verify`. What a document is follows from its name and content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.check import check_catalogue
from opendata_pkg.catalogue.schema_faults import schema_faults
from opendata_pkg.documents import FORMAT, NewerFormatError, internal_validator, shipped
from opendata_pkg.faults import Fault, json_path, listed
from opendata_pkg.lock.lock import BrokenLockError, Lock
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.published import INDEX
from opendata_pkg.validation.conformance import DEFAULT_ROWS, check_conformance
from opendata_pkg.validation.descriptor_check import DESCRIPTOR, check_descriptor, lists_file
from opendata_pkg.validation.hand_edits import Origin, origin_of
from opendata_pkg.validation.table_check import TableChecker
from opendata_pkg.validation.table_schema import TableSchema, UnusableTableSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_YAML = (".yaml", ".yml")
_TABLE_SCHEMA = ".tableschema.json"
_LOCK = "opendata.lock"
_CATALOGUES = "catalogues"
_SHA256_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and what was found.

    `checked` counts documents by kind; `faults` are in the order of the files; `not_shown` are descriptors whose tables
    frictionless was not shown, since they are longer than what it was to be asked about.
    """

    checked: dict[str, int]
    faults: tuple[Fault, ...]
    not_shown: tuple[str, ...]


def validate(
    paths: Sequence[Path] = (), *, conformance_rows: int = DEFAULT_ROWS, reporter: Reporter = SILENT
) -> Report:
    """Check documents, and all that are in folders.

    Args:
        paths: files and folders; by default `packages` here, else the one that ships with this package.
        conformance_rows: frictionless is shown tables of up to so many rows a descriptor.
        reporter: takes progress.

    Raises:
        NotFoundError: there is no such file, or no document in a folder.
    """
    files = [file for path in paths or (_default_folder(),) for file in _documents_at(path)]
    checks = _Checks(conformance_rows=conformance_rows)
    reporter.start("checking documents", len(files), "documents")
    for file in dict.fromkeys(files):
        checks.check(file)
        reporter.advance()
    reporter.finish()
    return Report(checked=dict(checks.checked), faults=tuple(checks.faults), not_shown=tuple(checks.not_shown))


def _default_folder() -> Path:
    here = Path("packages")
    return here if here.is_dir() else shipped("packages")


def _documents_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFoundError(f"no file or folder {path}: name a document, or a folder that holds some")
    found = sorted(_walk(path))
    if not found:
        kinds = f"{DESCRIPTOR}, catalogue.yaml, a store's {INDEX}, {_LOCK}"
        raise NotFoundError(f"no document in {path}: expected {kinds} in it or below")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """The documents in a folder, by their names: data files may be JSON, too, and are not ours to judge."""
    for name, folders, files in os.walk(folder):
        # What is in a repository is checked where it is checked out.
        folders[:] = [entry for entry in folders if not entry.endswith(".git")]
        here, names = Path(name), set(files)
        for file in files:
            path = here / file
            stem, _, suffix = file.rpartition(".")
            is_ours = (
                file in {DESCRIPTOR, _LOCK}
                or file.endswith(_TABLE_SCHEMA)
                or (f".{suffix}" in _YAML and (stem == "catalogue" or here.name == _CATALOGUES))
                or (suffix == "json" and f"{stem}.parquet" in names)
                or (file == INDEX and _internal_kind(_json_or_none(path)) is not None)
            )
            # A symlink is an annexed data file, or leads to what is found without it.
            if is_ours and not path.is_symlink():
                yield path


@dataclass(slots=True, kw_only=True)
class _Checks:
    """Takes documents one by one."""

    conformance_rows: int
    checked: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    origins: dict[Path, Origin | None] = field(default_factory=dict)

    def check(self, file: Path) -> None:
        if file.suffix in _YAML:
            self._catalogue(file)
        elif file.suffix == ".csv":
            self._table(file)
        elif file.suffix == ".parquet":
            self._snapshot(file)
        else:
            self._json(file)

    def _catalogue(self, file: Path) -> None:
        self.checked["catalogue"] += 1
        data = file.read_bytes()
        self.faults += check_catalogue(data, str(file))
        if file.parent.name == _CATALOGUES and _SHA256_NAME.fullmatch(file.stem):
            found = hashlib.sha256(data).hexdigest()
            if found != file.stem:
                self._add(file, None, f"expected the file whose sha256 is its name, got {found}")

    def _snapshot(self, file: Path) -> None:
        self.checked["snapshot"] += 1
        try:
            Snapshot.read(file)
        except InputError as error:
            self._add(file, None, str(error))

    def _table(self, file: Path) -> None:
        """A table is checked as its descriptor says; one without a descriptor as an inventory."""
        for folder in file.parents:
            document = _json_or_none(folder / DESCRIPTOR)
            if lists_file(document, folder, file):
                self.checked["table of a descriptor"] += 1
                self.faults += check_descriptor(folder / DESCRIPTOR, document, only=file).faults
                return
        self.checked["inventory"] += 1
        schema_file = shipped("schemas") / "files.tableschema.json"
        checker = TableChecker(TableSchema.from_dict(json.loads(schema_file.read_bytes()), str(schema_file)))
        with file.open("rb") as stream:
            checker.check(stream, str(file))
        checker.finish()
        self.faults += checker.faults()

    def _json(self, file: Path) -> None:
        try:
            document = json.loads(file.read_bytes().decode("utf-8-sig"), object_pairs_hook=_no_key_twice)
        except _TwiceError as error:
            self.checked["JSON that says a thing twice"] += 1
            self._add(file, None, f"expected each key once, got {error} again")
            return
        except json.JSONDecodeError as error:
            self.checked["broken JSON"] += 1
            message = f"expected JSON: {error.msg}, column {error.colno}"
            self.faults.append(Fault(file=str(file), line=error.lineno, message=message))
            return
        except RecursionError:
            self.checked["broken JSON"] += 1
            self._add(file, None, "expected JSON, got more levels inside each other than can be read")
            return
        except UnicodeDecodeError as error:
            self.checked["broken JSON"] += 1
            self._add(file, None, f"expected JSON in UTF-8, got the byte 0x{error.object[error.start]:02x}")
            return
        if file.name == DESCRIPTOR or (isinstance(document, dict) and "resources" in document):
            self._descriptor(file, document)
        elif file.name.endswith(_TABLE_SCHEMA):
            self._table_schema(file, document)
        elif (kind := _internal_kind(document)) is not None:
            self._internal(file, document, kind)
        else:
            self.checked["unknown"] += 1
            kinds = ["a catalogue", "a descriptor", "a Table Schema", *(f"a {kind}" for kind in _internal_kinds())]
            self._add(file, None, f"expected a document that can be checked ({listed(kinds)}), got another kind")

    def _descriptor(self, file: Path, document: Any) -> None:
        self.checked["descriptor"] += 1
        check = check_descriptor(file, document)
        self.faults += check.faults
        if (catalogue := origin_of(file, document)) is not None:
            if catalogue not in self.origins:
                self.origins[catalogue] = Origin.read(catalogue)
            if (origin := self.origins[catalogue]) is not None:
                self.faults += origin.faults(file, document)
        if not check.faults:
            # What our own checks refuse, frictionless would only refuse again.
            verdict = check_conformance(file, document, check.tables, rows_max=self.conformance_rows)
            self.faults += verdict.faults
            if not verdict.with_tables:
                self.not_shown.append(str(file))

    def _table_schema(self, file: Path, document: Any) -> None:
        self.checked["table schema"] += 1
        try:
            TableSchema.from_dict(document, str(file))
        except UnusableTableSchemaError as error:
            self._add(file, None, error.fault)

    def _internal(self, file: Path, document: dict[str, Any], kind: str) -> None:
        self.checked[kind.replace("-", " ")] += 1
        if isinstance(found := document.get("format"), int) and found > FORMAT:
            self._add(file, "$.format", str(NewerFormatError(str(file), found)))
            return
        faults = schema_faults(document, internal_validator(kind))
        for fault in faults:
            self._add(file, json_path(fault.place), fault.message, fault.suggestion)
        if kind == "store-index" and not faults:
            self._bound_indexes(file, document)
        if kind == "lock" and not faults:
            self._locked(file)

    def _locked(self, file: Path) -> None:
        """What the schema of locks cannot say: places that clash, and rows that are not those that were pinned."""
        try:
            Lock(file).check()
        except BrokenLockError as error:
            fault = Fault(file=str(file), line=error.line, message=error.fault, remedy=error.remedy)
            self.faults.append(fault)

    def _bound_indexes(self, file: Path, document: dict[str, Any]) -> None:
        """A store's index binds each release's index and list of packs by their digests."""
        for number, release in enumerate(document["releases"]):
            self._bound(file, ("releases", number), release, "index")
            if packs := release.get("packs"):
                self._bound(file, ("releases", number, "packs"), packs, "path")

    def _bound(self, file: Path, place: Sequence[str | int], said: Mapping[str, Any], field: str) -> None:
        """A file that a store's index names in one field, and binds in the field `sha256` beside it."""
        target, sha256 = file.parent / said[field], said["sha256"]
        if not target.is_file():
            self._add(file, json_path((*place, field)), f"expected {target}, which is missing")
        elif (found := hashlib.sha256(target.read_bytes()).hexdigest()) != sha256:
            message = f"expected {target} to have the sha256 {sha256}, got {found}"
            remedy = "it is not as it was released: restore it from a copy"
            self._add(file, json_path((*place, "sha256")), message, remedy=remedy)

    def _add(
        self,
        file: Path,
        path: str | None,
        message: str,
        suggestion: str | None = None,
        *,
        remedy: str | None = None,
    ) -> None:
        self.faults.append(Fault(file=str(file), path=path, message=message, suggestion=suggestion, remedy=remedy))


class _TwiceError(ValueError):
    """A key stands twice in one object of JSON: readers would not agree on which of them counts."""


def _no_key_twice(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise _TwiceError(json.dumps(key, ensure_ascii=False))
        document[key] = value
    return document


def _json_or_none(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _internal_kinds() -> list[str]:
    """Kinds of documents that this package writes for itself and has a schema of."""
    return sorted(path.stem for path in (shipped("schemas") / "internal").glob("*.json"))


def _internal_kind(document: Any) -> str | None:
    """The kind of document of which the most required fields are there; None if it is not half of them for any."""
    if not isinstance(document, dict):
        return None
    shares: dict[str, float] = {}
    for kind in _internal_kinds():
        schema: Any = internal_validator(kind).schema
        required = [name for name in schema.get("required", ()) if name != "format"]
        shares[kind] = sum(name in document for name in required) / max(1, len(required))
    best = max(shares, key=lambda kind: shares[kind])
    return best if shares[best] >= 1 / 2 else None
