"""S3 Inventory: the list of a bucket's objects that Amazon writes for its owner, as CSV, ORC or Parquet.

What its columns mean is in Amazon S3's user guide ("Amazon S3 Inventory list"). Columns all through, no row by itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.etags import fill_md5
from opendata_pkg.listing.manifest import COLUMNS, BadInventoryError, check_bytes
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.check import impossible_number
from opendata_pkg.snapshot.rows import SCHEMA
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opendata_pkg.listing.manifest import DataFile, Manifest, Place

_OTHER_TYPES = {
    "is_latest": pa.bool_(),
    "is_delete_marker": pa.bool_(),
    "size": SCHEMA.field("size").type,
    "last_modified_date": SCHEMA.field("last_modified").type,
}
_TYPES = {name: _OTHER_TYPES.get(name, pa.string()) for name in COLUMNS}
_RENAMED = {"e_tag": "etag", "last_modified_date": "last_modified"}
_REQUIRED = ("key", "size")
_VERSIONED = ("version_id", "is_latest", "is_delete_marker")
# "encrypted by SSE-S3 or plaintext": see etags.py.
_PLAIN_ETAGS = pa.array(["SSE-S3", "NOT-SSE"])
# Each file at work is in memory as it is stored, and a piece of it decompressed.
_READERS = 4
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 65_536
_NO_ESCAPE = "%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|[0-9A-Fa-f]?$)"


class EmptyInventoryError(NotFoundError):
    """An inventory has no current objects, or none under the prefixes asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryListing:
    """What is known of an inventory's current objects beside their rows; `delete_markers` are of all keys."""

    older_versions: int
    delete_markers: int
    etags_are_md5: bool
    notes: tuple[str, ...]


def read_inventory(
    manifest: Manifest,
    place: Place,
    rows: SortedRows,
    *,
    prefixes: Sequence[str] = (),
    versions: Literal["auto", "yes", "no"] = "auto",
    etag_is_md5: bool = False,
    jobs: int = _READERS,
    reporter: Reporter = SILENT,
) -> InventoryListing:
    """Read every data file, check its MD5, and put current objects whose keys begin with any of `prefixes` in `rows`.

    An ETag of 32 hex digits counts as an MD5 where the inventory says that the object is encrypted by SSE-S3 or not at
    all; where it does not say, only with `etag_is_md5`. With `versions="no"` version ids are left out.

    Raises:
        BadInventoryError: a file is altered, cut short, of another bucket or other columns than the manifest says, or
            lacks some; a key has two latest entries, or there are keys, sizes or times that no object has.
        MissingInventoryFileError: a file is not there.
        EmptyInventoryError: there is nothing to take.
        SourceError: the bucket that has the files refused or did not answer.
    """
    _check_columns(manifest, versions)
    with SortedRows(_KNOWN_SCHEMA, folder=rows.folder) as known:
        taken = _Taken(manifest, rows, known, prefixes, with_versions=versions != "no", told=etag_is_md5)

        def read(file: DataFile) -> None:
            for table in _read_tables(manifest, file, place):
                taken.add(table)

        reporter.start(f"reading the inventory of {manifest.bucket}", total=len(manifest.files))
        with closing(map_unordered(read, manifest.files, jobs=min(jobs, _READERS))) as results:
            for _ in results:
                reporter.advance()
        reporter.finish()
        for prefix in prefixes or ("",):
            if prefix not in taken.found:
                under = f" whose key begins with {prefix!r}" if prefix else ""
                raise EmptyInventoryError(f"{manifest.where} lists no current object{under}: check what it inventories")
        lost = _keys_without_latest(manifest, known, rows) if taken.older or taken.markers else (0, "")
        return InventoryListing(
            older_versions=taken.older,
            delete_markers=taken.markers,
            etags_are_md5=etag_is_md5 or "encryption_status" in manifest.columns,
            notes=_notes(manifest, taken, lost, told=etag_is_md5),
        )


_KNOWN_SCHEMA = pa.schema([pa.field("key", pa.string()), pa.field("has_latest", pa.bool_())])


class _Taken:
    """The tables of data files, as threads bring them: current objects go to `rows`, the rest is counted.

    `known` gets the keys of other entries and whether they are the latest: that some keys have no latest entry, only
    all files together tell.
    """

    def __init__(
        self,
        manifest: Manifest,
        rows: SortedRows,
        known: SortedRows,
        prefixes: Sequence[str],
        *,
        with_versions: bool,
        told: bool,
    ) -> None:
        self._manifest, self._rows, self._known, self._prefixes = manifest, rows, known, prefixes
        self._with_versions, self._told = with_versions, told
        self._lock = threading.Lock()
        self.found = set[str]()
        self.older = self.markers = 0
        self.has_versions = False

    def add(self, table: pa.Table) -> None:
        begins = {prefix: pc.starts_with(table["key"], prefix) for prefix in self._prefixes}
        if begins:
            table = table.filter(reduce(pc.or_, begins.values()))
        older = markers = 0
        if "is_latest" in self._manifest.columns:
            table, older, markers = self._take_latest(table)
        rows = _as_snapshot_columns(table, told=self._told)
        if not self._with_versions:
            rows = _with(rows, "version_id", pa.nulls(len(rows), pa.string()))
        found = {prefix for prefix in self._prefixes or ("",) if pc.any(pc.starts_with(rows["key"], prefix)).as_py()}
        self._rows.add(rows)
        with self._lock:
            self.older += older
            self.markers += markers
            self.found |= found
            self.has_versions = self.has_versions or rows["version_id"].null_count < len(rows)

    def _take_latest(self, table: pa.Table) -> tuple[pa.Table, int, int]:
        is_latest = pc.fill_null(table["is_latest"], fill_value=False)
        is_marker = pc.fill_null(table["is_delete_marker"], fill_value=False)
        is_current = pc.and_(is_latest, pc.invert(is_marker))
        markers = pc.sum(is_marker).as_py() or 0
        older = len(table) - markers - (pc.sum(is_current).as_py() or 0)
        if older or markers:
            others = pc.invert(is_current)
            keys, has_latest = table["key"].filter(others), is_latest.filter(others)
            self._known.add(pa.table([keys, has_latest], schema=_KNOWN_SCHEMA))
            table = table.filter(is_current)
        # "all versions reports mark any null-versioned objects with empty strings in the version ID field".
        version_ids = pc.if_else(pc.equal(table["version_id"], ""), None, table["version_id"])
        return _with(table, "version_id", pc.fill_null(version_ids, "null")), older, markers


def _keys_without_latest(manifest: Manifest, known: SortedRows, rows: SortedRows) -> tuple[int, str]:
    """How many keys have versions and no latest one, and the first of them; `rows` are the latest that are objects.

    Raises:
        BadInventoryError: a key has two latest entries.
    """
    for batch in rows.batches():
        has_latest = pa.repeat(pa.scalar(value=True), len(batch))
        known.add(pa.table([batch["key"], has_latest], schema=_KNOWN_SCHEMA))
    count, example, open_key, open_latest = 0, "", None, 1
    for batch in known.batches():
        keys = batch.group_by("key", use_threads=False).aggregate([("has_latest", "sum")])
        names, latest = keys["key"], keys["has_latest_sum"]
        if open_key is not None and names[0].as_py() == open_key:
            first = pa.array([open_latest + latest[0].as_py()], latest.type)
            latest = pa.chunked_array([first, *latest.slice(1).chunks])
        elif open_key is not None and not open_latest:
            count, example = count + 1, example or open_key
        if len(twice := names.filter(pc.greater(latest, 1))):
            raise manifest.has_two_latest(twice[0].as_py())
        # The last key may go on in the next batch.
        lost = names.slice(0, len(names) - 1).filter(pc.equal(latest.slice(0, len(latest) - 1), 0))
        count, example = count + len(lost), example or (lost[0].as_py() if len(lost) else "")
        open_key, open_latest = names[-1].as_py(), latest[-1].as_py()
    if open_key is not None and not open_latest:
        count, example = count + 1, example or open_key
    return count, example


def _check_columns(manifest: Manifest, versions: str) -> None:
    columns = Counter(manifest.columns)
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise BadInventoryError(
            f"{manifest.where}: expected the columns key and size, missing {' and '.join(missing)}, "
            f"got {', '.join(manifest.columns) or 'nothing'}: add them to the inventory's configuration"
        )
    found = [name for name in _VERSIONED if name in columns]
    if found and len(found) < len(_VERSIONED):
        raise BadInventoryError(
            f"{manifest.where}: expected {', '.join(_VERSIONED)} together, got {' and '.join(found)} alone: "
            "configure the inventory anew"
        )
    if versions == "yes" and not found:
        raise BadInventoryError(
            f"{manifest.where} lists current versions only, without their ids: leave out --versions yes, "
            "or let the inventory include all versions"
        )


def _read_tables(manifest: Manifest, file: DataFile, place: Place) -> Iterator[pa.Table]:
    """The columns of a data file that mean something here, typed and named as a snapshot's, a piece at a time."""
    data = place.read(file)
    check_bytes(manifest, file, data, where=place.where(file))
    wanted = [name for name in manifest.columns if name in _TYPES]
    try:
        for table in _READ[manifest.file_format](manifest, data, wanted):
            columns = {_RENAMED.get(name, name): table[name].cast(_TYPES[name]) for name in wanted}
            yield _checked(manifest, file, pa.table(columns))
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, KeyError, OSError) as error:
        raise BadInventoryError(
            f"{file.key}: expected {manifest.file_format} with the columns that {manifest.where} states "
            f"({', '.join(manifest.columns)}), but: {str(error).rstrip('.')}. Is it damaged, or were files of two "
            "inventories mixed? Copy it again"
        ) from error


def _checked(manifest: Manifest, file: DataFile, table: pa.Table) -> pa.Table:
    if missing := pc.sum(pc.fill_null(pc.equal(table["key"], ""), fill_value=True)).as_py():
        raise BadInventoryError(
            f"{file.key}: expected a key in each row, got {counted(missing, 'row')} without one: copy it again"
        )
    if (fault := impossible_number(table)) is not None:
        raise BadInventoryError(f"{file.key}: expected {fault[0]}, got {fault[1]}: copy it again")
    if "bucket" in table.column_names:
        others = [name for name in pc.unique(table["bucket"]).to_pylist() if name not in (None, manifest.bucket)]
        if others:
            raise BadInventoryError(
                f"{file.key}: expected objects of {manifest.bucket}, of which {manifest.where} is, got some of "
                f"{others[0]}: take the manifest and the data files of one inventory"
            )
    if manifest.file_format != "CSV":
        return table
    try:
        return _with(table, "key", decode_keys(table["key"]))
    except BadKeyError as error:
        raise BadInventoryError(f"{file.key}: {error}") from error


def _read_csv(manifest: Manifest, data: pa.Buffer, wanted: list[str]) -> Iterator[pa.Table]:
    # pyarrow.csv would take a file without a header, whose rows all have the number of columns that it is told; but not
    # one without rows, which says that there are no objects.
    with pa.input_stream(pa.BufferReader(data), compression="gzip") as stream:
        if not stream.read(1):
            return
    with (
        pa.input_stream(pa.BufferReader(data), compression="gzip") as stream,
        pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(column_names=list(manifest.columns), block_size=_BLOCK_BYTES),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: _TYPES[name] for name in wanted},
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        ) as reader,
    ):
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _read_parquet(_: Manifest, data: pa.Buffer, wanted: list[str]) -> Iterator[pa.Table]:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        _check_present(wanted, file.schema_arrow.names)
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
            yield pa.Table.from_batches([batch])


def _read_orc(_: Manifest, data: pa.Buffer, wanted: list[str]) -> Iterator[pa.Table]:
    from pyarrow import orc  # noqa: PLC0415 - rarely used, and some builds of Arrow are without it

    file = orc.ORCFile(pa.BufferReader(data))
    _check_present(wanted, file.schema.names)
    for stripe in range(file.nstripes):
        yield pa.Table.from_batches([file.read_stripe(stripe, columns=wanted)])


_READ = {"CSV": _read_csv, "ORC": _read_orc, "Parquet": _read_parquet}


def _check_present(wanted: list[str], names: list[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise pa.ArrowInvalid(f"it lacks {' and '.join(missing)}")


class BadKeyError(InputError):
    """A key in CSV of S3's is not URL-encoded, or is no UTF-8."""


def decode_keys(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys as S3 has them: "object key names in CSV are URL-encoded". Few need more than a look.

    Raises:
        BadKeyError: one is not.
    """
    is_encoded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(is_encoded).as_py():
        return keys
    encoded = keys.filter(is_encoded)
    # What is no escape would stay as it is.
    if (row := pc.index(pc.match_substring_regex(encoded, _NO_ESCAPE), value=True).as_py()) >= 0:
        raise BadKeyError(f"expected URL-encoded keys, got {encoded[row].as_py()!r}, with a % that begins no escape")
    try:
        decoded = [unquote_plus(key, errors="strict") for key in encoded.to_pylist()]
    except UnicodeDecodeError as error:
        raise BadKeyError(f"expected URL-encoded UTF-8 keys: {error}") from error
    return pc.replace_with_mask(keys.combine_chunks(), is_encoded.combine_chunks(), pa.array(decoded, pa.string()))


def _as_snapshot_columns(table: pa.Table, *, told: bool) -> pa.Table:
    plain = pa.scalar(told)
    if "encryption_status" in table.column_names:
        status = table["encryption_status"]
        plain = pc.if_else(pc.is_null(status), told, pc.is_in(status, _PLAIN_ETAGS))
    columns = [
        table[name] if name in table.column_names else pa.nulls(len(table), SCHEMA.field(name).type)
        for name in SCHEMA.names
    ]
    table = pa.table(columns, schema=SCHEMA)
    etags = pc.utf8_trim(table["etag"], '"')
    table = _with(table, "etag", pc.if_else(pc.equal(etags, ""), None, etags))
    believed = fill_md5(table)["md5"]
    return _with(table, "md5", pc.if_else(plain, believed, pa.scalar(None, pa.string())))


def _with(table: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values)


def _notes(manifest: Manifest, taken: _Taken, lost: tuple[int, str], *, told: bool) -> tuple[str, ...]:
    notes = ["an inventory may lack what was written shortly before it was made"]
    if told:
        notes.append("ETags without `-` were taken as MD5s because --etag-is-md5 says so; no object was read to check")
    elif "encryption_status" in manifest.columns:
        notes.append("ETags without `-` were taken as MD5s where the inventory states SSE-S3 or no encryption")
    else:
        notes.append(
            "ETags were not taken as MD5s: only an inventory that states EncryptionStatus can, or --etag-is-md5"
        )
    if not taken.has_versions:
        notes.append("the objects have no version ids: they can be overwritten without a trace")
    if lost[0]:
        notes.append(
            f"left out, since they have older versions and no latest one in this inventory: "
            f"{counted(lost[0], 'key')}, such as {lost[1]!r}; the next inventory should have them"
        )
    return tuple(notes)
