"""A snapshot: an immutable, sorted list of the current objects of a source. Everything else is computed from it.

On disk it is `NAME.parquet` (one row an object, columns as in `SCHEMA`) and `NAME.json` (the header).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.columns.spool import SPOOL_BYTES, spooled
from opendata_pkg.model import ETag, Md5, ObjectKey, S3Object, Sha256, VersionId
from opendata_pkg.snapshot.canonical import canonical_rows
from opendata_pkg.snapshot.pair import read_table, read_two_tables
from opendata_pkg.snapshot.rows import BATCH_ROWS, SCHEMA, each_key_once, new_id, objects_to_table, with_columns
from opendata_pkg.snapshot.storage import Counts, StoredSnapshot, write_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opendata_pkg.snapshot.header import SnapshotHeader
    from opendata_pkg.snapshot.storage import SnapshotSummary

_TIMES = SCHEMA.names.index("last_modified")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        table = spooled(_of_length(batches, BATCH_ROWS), SCHEMA, folder=folder)
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
        digest = new_id(self.header)
        for batch in self.table.to_batches(max_chunksize=BATCH_ROWS):
            digest.update(canonical_rows(batch))
        return digest.hexdigest()

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes."""
        return int(pc.sum(self.table["size"]).as_py() or 0)

    def objects(self, start: int = 0, stop: int | None = None) -> Iterator[S3Object]:
        """The rows from `start` up to `stop`, in key order, a batch in memory at a time."""
        length = (len(self) if stop is None else stop) - start
        for batch in self.table.slice(start, length).to_batches(max_chunksize=BATCH_ROWS):
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
        for batch in self.table.select(columns).to_batches(max_chunksize=BATCH_ROWS):
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
        return Counts().add(self.table).summary(self.header, self.id)

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot back and check that it is whole: its rows must give the id that the header names.

        Many rows are in a file that is mapped, as `collect` says.

        Raises:
            NotFoundError: there is no such file, or its header is missing.
            BrokenSnapshotError: the rows are cut short, altered, or of another snapshot.
        """
        stored = StoredSnapshot.open(path)
        return _of_id(cls(read_table(stored), stored.header), stored.id)

    @classmethod
    def read_two(cls, path: Path, other: Path) -> tuple[Snapshot, Snapshot]:
        """`read` both: what is the same in both files is read once, and is once in memory.

        Raises:
            NotFoundError, BrokenSnapshotError: as `read`, of either.
        """
        stored = StoredSnapshot.open(path), StoredSnapshot.open(other)
        first, second = (
            _of_id(cls(table, one.header), one.id) for table, one in zip(read_two_tables(*stored), stored, strict=True)
        )
        return first, second


def _of_id(snapshot: Snapshot, identity: str) -> Snapshot:
    """The same, of whose rows the id has just been computed."""
    snapshot.__dict__["id"] = identity
    return snapshot


def _of_length(batches: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows, so many at a time, whatever pieces they come in."""
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
