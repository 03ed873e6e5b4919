"""S3 Inventory: the list of a bucket's objects that Amazon writes for its owner, as CSV, ORC or Parquet.

What its columns mean is in Amazon S3's user guide ("Amazon S3 Inventory list"). Columns all through, no row by itself.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from opendata_pkg.listing.etags import fill_md5
from opendata_pkg.listing.manifest import BadInventoryError, check_bytes
from opendata_pkg.model import NotFoundError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opendata_pkg.listing.manifest import DataFile, Manifest, Place

_TYPES = {
    "key": pa.string(),
    "version_id": pa.string(),
    "is_latest": pa.bool_(),
    "is_delete_marker": pa.bool_(),
    "size": SCHEMA.field("size").type,
    "last_modified_date": SCHEMA.field("last_modified").type,
    "e_tag": pa.string(),
    "storage_class": pa.string(),
    "encryption_status": pa.string(),
}
_RENAMED = {"e_tag": "etag", "last_modified_date": "last_modified"}
_REQUIRED = ("key", "size")
_VERSIONED = ("version_id", "is_latest", "is_delete_marker")
# "encrypted by SSE-S3 or plaintext": see etags.py.
_PLAIN_ETAGS = pa.array(["SSE-S3", "NOT-SSE"])
# Each file at work is in memory, decompressed.
_READERS = 4


class EmptyInventoryError(NotFoundError):
    """An inventory has no current objects, or none under the prefixes asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryListing:
    """The current objects of an inventory in the columns of a snapshot, unsorted; `delete_markers` are of all keys."""

    table: pa.Table
    older_versions: int
    delete_markers: int
    etags_are_md5: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one data file holds: current objects, how many versions and markers, and the keys that these are of."""

    table: pa.Table
    older_versions: int
    delete_markers: int
    latest_markers: pa.ChunkedArray
    older_keys: pa.ChunkedArray


def read_inventory(
    manifest: Manifest,
    place: Place,
    *,
    prefixes: Sequence[str] = (),
    versions: Literal["auto", "yes", "no"] = "auto",
    etag_is_md5: bool = False,
    jobs: int = _READERS,
    reporter: Reporter = SILENT,
) -> InventoryListing:
    """Read every data file, check its MD5, and take the current objects whose keys begin with any of `prefixes`.

    An ETag of 32 hex digits counts as an MD5 where the inventory says that the object is encrypted by SSE-S3 or not at
    all; where it does not say, only with `etag_is_md5`. With `versions="no"` version ids are left out.

    Raises:
        BadInventoryError: a file is altered, cut short, of other columns than the manifest says, or lacks some.
        MissingInventoryFileError: a file is not there.
        EmptyInventoryError: there is nothing to take.
        SourceError: the bucket that has the files refused or did not answer.
    """
    _check_columns(manifest, versions)

    def read(file: DataFile) -> _Part:
        return _part(manifest, _read_table(manifest, file, place), prefixes, told=etag_is_md5)

    reporter.start(f"reading the inventory of {manifest.bucket}", total=len(manifest.files))
    parts = []
    with closing(map_unordered(read, manifest.files, jobs=min(jobs, _READERS))) as results:
        for _, part in results:
            parts.append(part)
            reporter.advance()
    reporter.finish()
    table = pa.concat_tables([part.table for part in parts]) if parts else SCHEMA.empty_table()
    for prefix in prefixes or ("",):
        if not pc.any(pc.starts_with(table["key"], prefix)).as_py():
            under = f" whose key begins with {prefix!r}" if prefix else ""
            raise EmptyInventoryError(f"{manifest.where} lists no current object{under}: check what it inventories")
    if versions == "no":
        table = _with(table, "version_id", pa.nulls(len(table), pa.string()))
    return InventoryListing(
        table=table,
        older_versions=sum(part.older_versions for part in parts),
        delete_markers=sum(part.delete_markers for part in parts),
        etags_are_md5=etag_is_md5 or "encryption_status" in manifest.columns,
        notes=_notes(manifest, table, parts, told=etag_is_md5),
    )


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


def _read_table(manifest: Manifest, file: DataFile, place: Place) -> pa.Table:
    """The columns of a data file that mean something here, in the types of `_TYPES`."""
    data = place.read(file)
    check_bytes(manifest, file, data)
    wanted = [name for name in manifest.columns if name in _TYPES]
    try:
        table = _READ[manifest.file_format](manifest, data, wanted)
        table = pa.table({name: table[name].cast(_TYPES[name]) for name in wanted})
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, KeyError, OSError) as error:
        raise BadInventoryError(
            f"{file.key}: expected {manifest.file_format} with the columns that {manifest.where} states "
            f"({', '.join(manifest.columns)}), but: {error}. Were files of two inventories mixed?"
        ) from error
    if table["key"].null_count:
        raise BadInventoryError(f"{file.key}: expected a key in each row, {table['key'].null_count} rows have none")
    if manifest.file_format == "CSV":
        try:
            table = _with(table, "key", decode_keys(table["key"]))
        except UnicodeDecodeError as error:
            raise BadInventoryError(f"{file.key}: expected URL-encoded UTF-8 keys: {error}") from error
    return table


def _read_csv(manifest: Manifest, data: pa.Buffer, wanted: list[str]) -> pa.Table:
    # pyarrow.csv would take a file without a header, whose rows all have the number of columns that it is told.
    with pa.input_stream(pa.BufferReader(data), compression="gzip") as stream:
        return pa.csv.read_csv(
            stream,
            read_options=pa.csv.ReadOptions(column_names=list(manifest.columns)),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: _TYPES[name] for name in wanted},
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )


def _read_parquet(_: Manifest, data: pa.Buffer, wanted: list[str]) -> pa.Table:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        _check_present(wanted, file.schema_arrow.names)
        return file.read(columns=wanted)


def _read_orc(_: Manifest, data: pa.Buffer, wanted: list[str]) -> pa.Table:
    from pyarrow import orc  # noqa: PLC0415 - rarely used, and some builds of Arrow are without it

    file = orc.ORCFile(pa.BufferReader(data))
    _check_present(wanted, file.schema.names)
    return file.read(columns=wanted)


_READ = {"CSV": _read_csv, "ORC": _read_orc, "Parquet": _read_parquet}


def _check_present(wanted: list[str], names: list[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise pa.ArrowInvalid(f"it lacks {' and '.join(missing)}")


def decode_keys(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys as S3 has them: "object key names in CSV are URL-encoded". Few need more than a look."""
    is_encoded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(is_encoded).as_py():
        return keys
    decoded = [unquote_plus(key, errors="strict") for key in keys.filter(is_encoded).to_pylist()]
    return pc.replace_with_mask(keys.combine_chunks(), is_encoded.combine_chunks(), pa.array(decoded, pa.string()))


def _part(manifest: Manifest, table: pa.Table, prefixes: Sequence[str], *, told: bool) -> _Part:
    if prefixes:
        chosen = pc.starts_with(table["key"], prefixes[0])
        for prefix in prefixes[1:]:
            chosen = pc.or_(chosen, pc.starts_with(table["key"], prefix))
        table = table.filter(chosen)
    older = markers = 0
    latest_markers = older_keys = pa.chunked_array([], pa.string())
    if "is_latest" in manifest.columns:
        is_latest = pc.fill_null(table["is_latest"], fill_value=False)
        is_marker = pc.fill_null(table["is_delete_marker"], fill_value=False)
        is_current = pc.and_(is_latest, pc.invert(is_marker))
        markers = pc.sum(is_marker).as_py() or 0
        older = len(table) - markers - (pc.sum(is_current).as_py() or 0)
        if older or markers:
            latest_markers = table["key"].filter(pc.and_(is_latest, is_marker))
            older_keys = table["key"].filter(pc.invert(is_latest))
            table = table.filter(is_current)
        # "all versions reports mark any null-versioned objects with empty strings in the version ID field".
        version_ids = pc.if_else(pc.equal(table["version_id"], ""), None, table["version_id"])
        table = _with(table, "version_id", pc.fill_null(version_ids, "null"))
    return _Part(_as_snapshot_columns(table, told=told), older, markers, latest_markers, older_keys)


def _as_snapshot_columns(table: pa.Table, *, told: bool) -> pa.Table:
    plain = pa.scalar(told)
    if "encryption_status" in table.column_names:
        status = table["encryption_status"]
        plain = pc.if_else(pc.is_null(status), told, pc.is_in(status, _PLAIN_ETAGS))
    table = table.rename_columns([_RENAMED.get(name, name) for name in table.column_names])
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


def _notes(manifest: Manifest, table: pa.Table, parts: Sequence[_Part], *, told: bool) -> tuple[str, ...]:
    notes = ["an inventory may lack what was written shortly before it was made"]
    if told:
        notes.append("ETags without `-` were taken as MD5s because --etag-is-md5 says so; no object was read to check")
    elif "encryption_status" in manifest.columns:
        notes.append("ETags without `-` were taken as MD5s where the inventory states SSE-S3 or no encryption")
    else:
        notes.append(
            "ETags were not taken as MD5s: only an inventory that states EncryptionStatus can, or --etag-is-md5"
        )
    if table["version_id"].null_count == len(table):
        notes.append("the objects have no version ids: they can be overwritten without a trace")
    known = pa.chunked_array([*table["key"].chunks, *_chunks(part.latest_markers for part in parts)], pa.string())
    older = pa.chunked_array(_chunks(part.older_keys for part in parts), pa.string()).unique()
    lost = older.filter(pc.invert(pc.is_in(older, known)))
    if len(lost):
        notes.append(
            f"{len(lost)} keys have older versions and no latest one in this inventory, such as "
            f"{lost[0].as_py()!r}: they were left out; the next inventory should have them"
        )
    return tuple(notes)


def _chunks(columns: Iterable[pa.ChunkedArray]) -> list[pa.Array]:
    return [chunk for column in columns for chunk in column.chunks]
