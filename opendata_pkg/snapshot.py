"""A snapshot: an immutable, sorted list of the current objects of a source. Everything else is computed from it.

On disk it is `NAME.parquet` (one row an object, columns as in `SCHEMA`) and `NAME.json` (the header).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opendata_pkg.canonical import ID_COLUMNS, canonical_rows
from opendata_pkg.documents import FORMAT, dump_json, validate
from opendata_pkg.files import replacing, write_text
from opendata_pkg.model import ETag, InputError, Md5, ObjectKey, S3Object, Sha256, VersionId
from opendata_pkg.parallel import ahead
from opendata_pkg.snapshot_header import SnapshotHeader, header_path, read_header
from opendata_pkg.sorting import SortedRows
from opendata_pkg.spool import SPOOL_BYTES, spooled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("md5", pa.string()),
        pa.field("last_modified", pa.timestamp("us", tz="UTC")),
        pa.field("storage_class", pa.string()),
    ]
)
"""Columns of the Parquet file; docs/reference/snapshot.md describes each."""

_BATCH_ROWS = 65_536
# Rows that are read at a time: few enough to stay in the processor's cache from one stage of work to the next.
_READ_ROWS = 16_384
_TIMES = SCHEMA.names.index("last_modified")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DuplicateKeyError(InputError):
    """A source named one key twice."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"expected each key once, got {key!r} twice: scan the source again, or mend the listing file")


class BrokenSnapshotError(InputError):
    """A snapshot's files do not belong together, or were cut short."""


@dataclass(frozen=True)
class Snapshot:
    """Rows in `SCHEMA`, sorted by the UTF-8 bytes of their keys, each once; and a header. Made by `create`."""

    table: pa.Table
    header: SnapshotHeader

    @classmethod
    def create(cls, table: pa.Table, header: SnapshotHeader) -> Snapshot:
        """Sort the rows, whatever order the source lists in, and check that each key stands once.

        Raises:
            DuplicateKeyError: a key stands twice.
        """
        with SortedRows(SCHEMA, folder=False) as rows:
            rows.add(table.select(SCHEMA.names).cast(SCHEMA))
            return cls.collect(each_key_once(rows.batches()), header)

    @classmethod
    def collect(cls, batches: Iterable[pa.Table], header: SnapshotHeader, *, folder: Path | None = None) -> Snapshot:
        """A snapshot of rows that are in order, each key once; many of them are in a file in `folder`, as `spooled`."""
        table = spooled(_of_length(batches, _BATCH_ROWS), SCHEMA, folder=folder)
        # In memory, one piece is quicker to look things up in; a mapped file must not be copied into memory.
        return cls(table.combine_chunks() if table.nbytes <= SPOOL_BYTES else table, header)

    @classmethod
    def from_objects(cls, objects: Iterable[S3Object], header: SnapshotHeader) -> Snapshot:
        """A snapshot of objects one by one; scanners of large sources hand columns to `create`."""
        return cls.create(objects_to_table(objects), header)

    def __len__(self) -> int:
        """How many objects it holds."""
        return int(self.table.num_rows)

    @cached_property
    def id(self) -> str:
        """64 hex digits: sha256 over the base URL and the canonical rows (docs/explanation/identity.md).

        Storage class is left out: moving an object to a colder tier changes no byte of it. The base URL is in: the same
        keys elsewhere are other objects.
        """
        digest = _new_id(self.header)
        for batch in self.table.to_batches(max_chunksize=_BATCH_ROWS):
            digest.update(canonical_rows(batch))
        return digest.hexdigest()

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes."""
        return int(pc.sum(self.table["size"]).as_py() or 0)

    def objects(self, start: int = 0, stop: int | None = None) -> Iterator[S3Object]:
        """The rows from `start` up to `stop`, in key order, a batch in memory at a time."""
        length = (len(self) if stop is None else stop) - start
        for batch in self.table.slice(start, length).to_batches(max_chunksize=_BATCH_ROWS):
            # As numbers: Arrow would look `UTC` up in a time zone database, which small systems do not have.
            batch = batch.set_column(_TIMES, "last_modified", batch["last_modified"].cast(pa.int64()))  # noqa: PLW2901
            columns = [batch.column(index).to_pylist() for index in range(len(SCHEMA))]
            for key, version_id, size, etag, sha256, md5, last_modified, storage_class in zip(*columns, strict=True):
                yield S3Object(
                    key=ObjectKey(key),
                    version_id=None if version_id is None else VersionId(version_id),
                    size_bytes=size,
                    etag=None if etag is None else ETag(etag),
                    sha256=None if sha256 is None else Sha256(sha256),
                    md5=None if md5 is None else Md5(md5),
                    last_modified=None if last_modified is None else _EPOCH + timedelta(microseconds=last_modified),
                    storage_class=storage_class,
                )

    def batches(self, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
        """The rows in order, in some of the columns: as `StoredSnapshot.batches`."""
        for batch in self.table.select(columns).to_batches(max_chunksize=_BATCH_ROWS):
            yield pa.Table.from_batches([batch])

    def first_at_or_after(self, text: str) -> int:
        """The index of the first row whose key is `text` or sorts after it, by bytes."""
        keys, wanted = self.table["key"], text.encode()
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if keys[middle].as_buffer().to_pybytes() < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def prefix_range(self, prefix: str) -> tuple[int, int]:
        """The rows whose keys begin with `prefix`, as (start, stop): sorted rows with one prefix stand together."""
        if not prefix:
            return 0, len(self)
        start = self.first_at_or_after(prefix)
        wanted, keys = prefix.encode(), self.table["key"]
        low, high = start, len(self)
        while low < high:
            middle = (low + high) // 2
            if keys[middle].as_buffer().to_pybytes().startswith(wanted):
                low = middle + 1
            else:
                high = middle
        return start, low

    def get(self, key: str) -> S3Object | None:
        """The object of that key, or None."""
        index = self.first_at_or_after(key)
        found = next(self.objects(index, index + 1), None) if index < len(self) else None
        return found if found is not None and found.key == key else None

    def with_columns(self, columns: dict[str, pa.Array], notes: tuple[str, ...] = ()) -> Snapshot:
        """The same objects with other values in the named columns (same order, same length)."""
        return Snapshot(with_columns(self.table, columns), replace(self.header, notes=self.header.notes + notes))

    def write(self, path: Path) -> SnapshotSummary:
        """Write `path` (ending in `.parquet`) and the header beside it, each atomically, the header last."""
        return write_snapshot([self.table], self.header, path)

    @cached_property
    def summary(self) -> SnapshotSummary:
        """Its header and what is counted of its rows."""
        return _Counts().add(self.table).summary(self.header, self.id)

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot back and check that it is whole: its rows must give the id that the header names.

        Many rows are in a file that is mapped, as `collect` says.

        Raises:
            NotFoundError: there is no such file, or its header is missing.
            BrokenSnapshotError: the rows are cut short, altered, or of another snapshot.
        """
        stored = StoredSnapshot.open(path)
        snapshot = cls.collect(stored.batches(), stored.header)
        # It has just been computed of these rows.
        snapshot.__dict__["id"] = stored.id
        return snapshot


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot in its file: its rows come as they are read, some ten thousand at a time. Made by `open`.

    How many objects and bytes it has is what its header says.
    """

    path: Path
    header: SnapshotHeader
    id: str
    objects: int
    size_bytes: int

    @classmethod
    def open(cls, path: Path) -> StoredSnapshot:
        """Read the header alone.

        Raises:
            NotFoundError: there is no such file, or its header is missing.
        """
        document = read_header(path)
        header = SnapshotHeader.from_dict(document)
        return cls(path, header, document["id"], document["objects"], document["bytes"])

    def __len__(self) -> int:
        """How many objects it holds."""
        return self.objects

    def batches(self, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
        """The rows in order, in some of the columns of `SCHEMA`. Only who took all of them knows that they are right.

        Raises:
            BrokenSnapshotError: the rows are cut short, altered, or of another snapshot: said after the last of them.
        """
        digest = _new_id(self.header)
        try:
            # Decoding, canonical rows and SHA-256 let go of Python's lock: each stage has a thread.
            names = [name for name in SCHEMA.names if name in columns or name in ID_COLUMNS]
            for table in ahead(_hashed(ahead(unchecked_rows(self.path, names)), digest)):
                yield table.select(columns)
        except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, OSError) as error:
            raise BrokenSnapshotError(
                f"{self.path} is no whole snapshot ({error}); it may have been cut short: copy it again, or scan again"
            ) from error
        if digest.hexdigest() != self.id:
            raise BrokenSnapshotError(
                f"{self.path} has snapshot id {digest.hexdigest()}, but {header_path(self.path)} says {self.id}: "
                "the two files do not belong together or one was altered; copy both again, or scan again"
            )


def unchecked_rows(path: Path, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
    """The rows of a snapshot's Parquet file as they are, in some columns of `SCHEMA`: for files that were checked."""
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    # Not by file name alone: Arrow would read `a=b/` in a path as a partition.
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_READ_ROWS, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch]).select(columns).cast(schema)


def _hashed(tables: Iterable[pa.Table], digest: hashlib._Hash) -> Iterator[pa.Table]:
    """The same tables, after their rows went into the digest of an id."""
    for table in tables:
        for batch in table.to_batches():
            digest.update(canonical_rows(batch))
        yield table


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSummary:
    """What is known of a snapshot without its rows. `size_bytes` sums the known sizes."""

    header: SnapshotHeader
    id: str
    objects: int
    size_bytes: int
    unknown_sizes: int
    without_digest: int

    def document(self) -> dict[str, Any]:
        """The JSON header: format, id, counts, then what the source said."""
        return {
            "format": FORMAT,
            "id": self.id,
            "objects": self.objects,
            "bytes": self.size_bytes,
            "unknown_sizes": self.unknown_sizes,
            **self.header.to_dict(),
        }


def write_snapshot(batches: Iterable[pa.Table], header: SnapshotHeader, path: Path) -> SnapshotSummary:
    """Write rows that are in order, each key once, as they come: as many as there are, in little memory.

    Raises:
        InputError: `path` does not end in `.parquet`.
    """
    header_file, digest, counts = header_path(path), _new_id(header), _Counts()
    with replacing(path) as stream:
        with pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for group in _of_length(batches, _BATCH_ROWS):
                writer.write_table(group, row_group_size=_BATCH_ROWS)
                counts.add(group)
                for batch in group.to_batches(max_chunksize=_BATCH_ROWS):
                    digest.update(canonical_rows(batch))
        summary = counts.summary(header, digest.hexdigest())
        document = summary.document()
        validate(document, "snapshot-header", where=str(header_file))
    write_text(header_file, dump_json(document))
    return summary


def is_as_written(stream: BinaryIO) -> bool:
    """Whether a Parquet file that holds a snapshot's rows has them in the shape that `write_snapshot` gives them."""
    found = pq.ParquetFile(stream).metadata
    groups = [found.row_group(number) for number in range(found.num_row_groups)]
    return bool(
        found.schema.to_arrow_schema().equals(SCHEMA)
        and all(group.num_rows == _BATCH_ROWS for group in groups[:-1])
        and all(group.num_rows <= _BATCH_ROWS for group in groups[-1:])
        and all(group.column(0).compression == "ZSTD" for group in groups)
    )


def each_key_once(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Rows in order, as they come.

    Raises:
        DuplicateKeyError: a key stands twice.
    """
    last = None
    for batch in batches:
        if not len(batch):
            continue
        keys = batch["key"]
        if last is not None and keys[0].as_py() == last:
            raise DuplicateKeyError(last)
        if len(batch) > 1:
            same = pc.equal(keys.slice(0, len(keys) - 1), keys.slice(1))
            if pc.any(same).as_py():
                raise DuplicateKeyError(keys[pc.index(same, value=True).as_py()].as_py())
        last = keys[len(keys) - 1].as_py()
        yield batch


class _Counts:
    """What a header says of the rows."""

    def __init__(self) -> None:
        self._objects = self._size_bytes = self._unknown = self._without = 0

    def add(self, table: pa.Table) -> _Counts:
        self._objects += len(table)
        self._size_bytes += pc.sum(table["size"]).as_py() or 0
        self._unknown += table["size"].null_count
        self._without += pc.coalesce(table["sha256"], table["md5"]).null_count
        return self

    def summary(self, header: SnapshotHeader, identity: str) -> SnapshotSummary:
        return SnapshotSummary(
            header=header,
            id=identity,
            objects=self._objects,
            size_bytes=self._size_bytes,
            unknown_sizes=self._unknown,
            without_digest=self._without,
        )


def _of_length(batches: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows, so many at a time, whatever pieces they come in: a file does not tell how its rows were read."""
    waiting, count = list[pa.Table](), 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= rows:
            table, start = pa.concat_tables(waiting), 0
            while count - start >= rows:
                yield table.slice(start, rows)
                start += rows
            waiting, count = [table.slice(start)], count - start
    if count:
        yield pa.concat_tables(waiting)


def _new_id(header: SnapshotHeader) -> hashlib._Hash:
    return hashlib.sha256(f"opendata snapshot {FORMAT}\n{header.base_url or '-'}\n".encode())


def with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    """Rows of a snapshot with other values in the named columns."""
    for name, values in columns.items():
        index = SCHEMA.names.index(name)
        table = table.set_column(index, SCHEMA.field(index), values)
    return table


def objects_to_table(objects: Iterable[S3Object]) -> pa.Table:
    """Objects as columns, in the order given."""
    rows = [
        (o.key, o.version_id, o.size_bytes, o.etag, o.sha256, o.md5, o.last_modified, o.storage_class) for o in objects
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
