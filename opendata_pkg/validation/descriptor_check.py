"""Checking one `datapackage.json`: against its profile, and every file that it names against what it says of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.schema_faults import schema_faults
from opendata_pkg.documents import profile_urls, profile_validator
from opendata_pkg.faults import Fault, json_path, listed, shown, suggest
from opendata_pkg.validation.table_check import TableChecker
from opendata_pkg.validation.table_schema import TableSchema, UnusableTableSchemaError
from opendata_pkg.vocabulary import DATA_PACKAGE_URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DESCRIPTOR = "datapackage.json"

_REMEDY = "restore the file, or write the descriptor again"
# Data Package 2.0: "hash: … algorithm prefix …; without one it is MD5".
_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DescriptorCheck:
    """What was found of a descriptor. `tables` maps the position of each table that was read to its rows."""

    faults: list[Fault] = field(default_factory=list)
    tables: dict[int, int] = field(default_factory=dict)


def check_descriptor(file: Path, document: Any, *, only: Path | None = None) -> DescriptorCheck:
    """Check a descriptor that was read from `file`; of its files only the one at `only`, if that is given."""
    check = DescriptorCheck()
    if only is None:
        check.faults.extend(_profile_faults(str(file), document))
    resources = document.get("resources") if isinstance(document, dict) else None
    if isinstance(resources, list):
        checker = _ResourceChecker(file, check)
        for index, resource in enumerate(resources):
            if isinstance(resource, dict) and (only is None or file.parent / str(resource.get("path")) == only):
                checker.check(index, resource)
        totals = document.get("od:totals")
        checker.finish(totals if only is None and isinstance(totals, dict) else {})
    return check


def lists_file(document: Any, folder: Path, file: Path) -> bool:
    """Whether one of a descriptor's resources is that file."""
    resources = document.get("resources") if isinstance(document, dict) else None
    return isinstance(resources, list) and any(
        isinstance(resource, dict) and isinstance(path := resource.get("path"), str) and folder / path == file
        for resource in resources
    )


def _profile_faults(file: str, document: Any) -> Iterator[Fault]:
    """The faults against the profile that `$schema` names; against the one that was meant, if there is no such one."""
    url = document.get("$schema") if isinstance(document, dict) else None
    known = profile_urls()
    if url not in known:
        meant = suggest(url, known)
        got = "none" if url is None else shown(url)
        yield Fault(
            file=file,
            path=json_path(() if url is None else ("$schema",)),
            message=f"expected the URL of a profile, such as {listed(known, 3)}; got {got}",
            suggestion=meant,
        )
        url = meant or DATA_PACKAGE_URL
    for fault in schema_faults(document, profile_validator(url)):
        if fault.place != ("$schema",):
            yield Fault(file=file, path=json_path(fault.place), message=fault.message, suggestion=fault.suggestion)


class _ResourceChecker:
    """Checks the files of a descriptor: there, as long as stated, with the stated digest; tables also row by row."""

    def __init__(self, file: Path, check: DescriptorCheck) -> None:
        self._file, self._check = file, check
        self._tables: dict[str, TableChecker | None] = {}

    def check(self, index: int, resource: Mapping[str, Any]) -> None:
        """Check one resource; one elsewhere on the web, or with its data in the descriptor, has no file."""
        path = resource.get("path")
        if not isinstance(path, str) or "://" in path:
            return
        place = ("resources", index, "path")
        if not _is_below(path):
            self._add(place, f"expected a path below the descriptor's folder, got {shown(path)}")
            return
        target = self._file.parent / path
        if not target.is_file():
            near = [entry.name for entry in target.parent.iterdir()] if target.parent.is_dir() else []
            self._add(place, f"expected the file {path}, which is missing", suggest(target.name, near), _REMEDY)
            return
        table = self._table(index, resource)
        algorithm, _, wanted = str(resource.get("hash", "")).rpartition(":")
        algorithm = (algorithm or "md5") if wanted else "sha256"
        if table is not None:
            with target.open("rb") as stream:
                facts = table.check(stream, str(target))
            self._check.tables[index] = facts.rows
            size_bytes, digest = facts.size_bytes, facts.sha256
        if table is None or algorithm != "sha256":
            size_bytes, digest = _digest(target, algorithm if algorithm in _ALGORITHMS else "sha256")
        if isinstance(stated := resource.get("bytes"), int) and stated != size_bytes:
            message = f"expected {path} to have {stated} bytes, got {size_bytes}"
            self._add(("resources", index, "bytes"), message, None, _REMEDY)
        if algorithm not in _ALGORITHMS:
            message = f"expected a hash by one of {listed(_ALGORITHMS)}, got {shown(resource['hash'])}"
            self._add(("resources", index, "hash"), message, suggest(algorithm, _ALGORITHMS))
        elif wanted and wanted.lower() != digest:
            message = f"expected {path} to have the {algorithm} {wanted}, got {digest}"
            self._add(("resources", index, "hash"), message, None, _REMEDY)

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Compare what the tables add up to with what the descriptor says."""
        for table in self._tables.values():
            if table is None:
                continue
            table.finish()
            faults = table.faults()
            self._check.faults.extend(faults)
            if not faults and table.schema.primary_key == ("path",):
                self._compare(totals, table)

    def _compare(self, totals: Mapping[str, Any], inventory: TableChecker) -> None:
        found = {"files": inventory.rows, "bytes": inventory.sums["bytes"]}
        for name, value in found.items():
            if name in totals and totals[name] != value:
                message = f"expected {value}, as the inventory adds up to, got {shown(totals[name])}"
                self._add(("od:totals", name), message)
        grades = totals.get("grades")
        counted: Mapping[str, int] = inventory.counts.get("grade", {})
        for grade, count in grades.items() if isinstance(grades, dict) else ():
            if count != counted.get(grade, 0):
                message = f"expected {counted.get(grade, 0)}, as the inventory adds up to, got {shown(count)}"
                self._add(("od:totals", "grades", grade), message)

    def _table(self, index: int, resource: Mapping[str, Any]) -> TableChecker | None:
        """The checker of the table that a resource is a part of: those with one schema and folder are one table.

        None for what is no CSV, and for CSV in a dialect or encoding of its own, which only frictionless reads.
        """
        schema = resource.get("schema")
        is_csv = str(resource.get("format", PurePosixPath(str(resource["path"])).suffix.lstrip("."))).lower() == "csv"
        encoding = str(resource.get("encoding", "utf-8")).lower()
        if schema is None or not is_csv or "dialect" in resource or encoding not in {"utf-8", "utf8"}:
            return None
        name = f"{PurePosixPath(str(resource['path'])).parent} {json.dumps(schema, sort_keys=True)}"
        if name not in self._tables:
            self._tables[name] = self._new_table(index, schema)
        return self._tables[name]

    def _new_table(self, index: int, schema: Any) -> TableChecker | None:
        place, where = ("resources", index, "schema"), f"{self._file}, at {json_path(('resources', index, 'schema'))}"
        if isinstance(schema, str):
            if "://" in schema:
                return None
            target = self._file.parent / schema
            where = str(target)
            if not _is_below(schema) or not target.is_file():
                self._add(place, f"expected the Table Schema {schema}, which is missing", None, _REMEDY)
                return None
            try:
                schema = json.loads(target.read_bytes())
            except (ValueError, RecursionError) as error:
                self._add(place, f"expected a Table Schema in {schema}, which is no JSON: {error}", None, _REMEDY)
                return None
        try:
            return TableChecker(TableSchema.from_dict(schema, where))
        except UnusableTableSchemaError as error:
            self._check.faults.append(Fault(file=error.where, message=error.fault))
            return None

    def _add(
        self, place: tuple[str | int, ...], message: str, suggestion: str | None = None, remedy: str | None = None
    ) -> None:
        path = json_path(place)
        fault = Fault(file=str(self._file), path=path, message=message, suggestion=suggestion, remedy=remedy)
        self._check.faults.append(fault)


def _is_below(path: str) -> bool:
    """Whether a path leads to a file below the folder that it is relative to."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _digest(file: Path, algorithm: str) -> tuple[int, str]:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size_bytes = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            size_bytes += len(block)
            digest.update(block)
    return size_bytes, digest.hexdigest()
