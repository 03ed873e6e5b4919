"""A snapshot in its files, written and read as rows come: `NAME.parquet`, one row an object; `NAME.json`, its header.

Where a row group of the Parquet file ends depends on the keys alone, so that of two snapshots that have most rows in
common most row groups are the same, byte for byte.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opendata_pkg.documents import FORMAT, dump_json, validate
from opendata_pkg.files import replacing, write_text
from opendata_pkg.parallel import ahead
from opendata_pkg.snapshot.canonical import ID_COLUMNS, canonical_rows
from opendata_pkg.snapshot.check import BrokenSnapshotError, RowCheck
from opendata_pkg.snapshot.header import SnapshotHeader, header_path, read_header
from opendata_pkg.snapshot.rows import BATCH_ROWS, SCHEMA, new_id

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Rows that are read at a time: few enough to stay in the processor's cache from one stage of work to the next.
READ_ROWS = 16_384
# Of how many rows Arrow may keep what it has read.
_ROWS_AT_ONCE = 65_536
# A row group ends before a key whose CRC-32 is a multiple of the second, as shards of inventories do, once it has the
# first; where no such key comes, at the last. So one row more or less changes one group, mostly, and all others keep
# their bytes. Smaller ones compress worse and take longer to read; of larger ones, few stay the same.
_LEAST_ROWS = 4096
_MORE_ROWS = 4096
_MOST_ROWS = 65_536
# All other columns hardly have a value twice: with a dictionary they are larger, and slower to read.
_FEW_VALUES = ["storage_class"]


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
        digest = new_id(self.header)
        names = [name for name in SCHEMA.names if name in columns or name in ID_COLUMNS]
        with reading(self):
            # Decoding, canonical rows and SHA-256 let go of Python's lock: each stage has a thread.
            for table in ahead(_hashed(ahead(unchecked_rows(self.path, names)), digest, RowCheck(self.path))):
                yield table.select(columns)
        self.check(digest)

    def check(self, digest: hashlib._Hash) -> None:
        """Raise an error if that is not the digest of its id, after all of its rows."""
        if digest.hexdigest() != self.id:
            raise BrokenSnapshotError(
                f"{self.path} has snapshot id {digest.hexdigest()}, but {header_path(self.path)} says {self.id}: "
                "the two files do not belong together or one was altered; copy both again, or scan again"
            )


@contextmanager
def reading(stored: StoredSnapshot) -> Iterator[None]:
    """Tell what Arrow finds wrong with a snapshot's Parquet file."""
    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise BrokenSnapshotError(
            f"{stored.path} is no whole snapshot ({error}); it may have been cut short: copy it again, or scan again"
        ) from error


def unchecked_rows(path: Path, columns: Sequence[str] = SCHEMA.names) -> Iterator[pa.Table]:
    """The rows of a snapshot's Parquet file as they are, in some columns of `SCHEMA`: for files that were checked."""
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    # Not by file name alone: Arrow would read `a=b/` in a path as a partition.
    with pq.ParquetFile(path) as file:
        for batch in decoded(file, range(file.metadata.num_row_groups), READ_ROWS, columns):
            yield in_schema(batch, schema)


def decoded(file: pq.ParquetFile, groups: Iterable[int], rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some row groups of a Parquet file, by their numbers, in batches of up to so many rows.

    What Arrow has read it keeps until it has read all that it was asked for: of ten million rows, a gigabyte. So it is
    asked for a few groups at a time.
    """
    few, held = list[int](), 0
    for number in groups:
        few.append(number)
        held += file.metadata.row_group(number).num_rows
        if held >= _ROWS_AT_ONCE:
            yield from file.iter_batches(rows, row_groups=few, columns=columns, use_threads=False)
            few, held = [], 0
    if few:
        yield from file.iter_batches(rows, row_groups=few, columns=columns, use_threads=False)


def in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """A batch of a Parquet file, with some columns of `SCHEMA` in their order."""
    return pa.Table.from_batches([batch]).select(schema.names).cast(schema)


def _hashed(tables: Iterable[pa.Table], digest: hashlib._Hash, check: RowCheck) -> Iterator[pa.Table]:
    """The same tables, after their rows were looked at and went into the digest of an id."""
    for table in tables:
        for batch in table.to_batches():
            check.look(batch)
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
    header_file, digest, counts = header_path(path), new_id(header), Counts()
    with replacing(path) as stream:
        with pq.ParquetWriter(stream, SCHEMA, compression="zstd", use_dictionary=_FEW_VALUES) as writer:
            for group in _row_groups(batches):
                writer.write_table(group, row_group_size=_MOST_ROWS)
                counts.add(group)
                for batch in group.to_batches():
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
        and all(_LEAST_ROWS <= group.num_rows <= _MOST_ROWS for group in groups[:-1])
        and all(group.num_rows <= _MOST_ROWS for group in groups[-1:])
        and all(before.num_rows == _MOST_ROWS or _begins_rightly(group) for before, group in pairwise(groups))
        and all(group.column(0).compression == "ZSTD" for group in groups)
    )


def _begins_rightly(group: pq.RowGroupMetaData) -> bool:
    statistics = group.column(0).statistics
    # Rows are sorted: the least key is the first.
    return statistics is not None and statistics.has_min_max and _begins_group(statistics.min.encode())


def _begins_group(key: bytes) -> bool:
    return zlib.crc32(key) % _MORE_ROWS == 0


def _row_groups(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows as they are in a file, whatever pieces they come in: it does not tell how its rows were read."""
    waiting, count = list[pa.Table](), 0
    for rows, is_begin in _runs(batches):
        if (is_begin and count >= _LEAST_ROWS) or count == _MOST_ROWS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, count = [], 0
        start = 0
        while count + len(rows) - start > _MOST_ROWS:
            stop = start + _MOST_ROWS - count
            yield pa.concat_tables([*waiting, rows.slice(start, stop - start)]).combine_chunks()
            waiting, count, start = [], 0, stop
        waiting.append(rows.slice(start))
        count += len(rows) - start
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def _runs(batches: Iterable[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
    """The rows up to where a group may begin, and whether one does with them; none are empty."""
    for table in batches:
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            keys = batch["key"].cast(pa.binary()).to_pylist()
            begins = [row for row, key in enumerate(keys) if _begins_group(key)]
            edges = sorted({0, *begins, len(keys)})
            for start, stop in pairwise(edges):
                yield pa.Table.from_batches([batch.slice(start, stop - start)]), start in begins


class Counts:
    """What a header says of the rows."""

    def __init__(self) -> None:
        """Begin with no rows."""
        self._objects = self._size_bytes = self._unknown = self._without = 0

    def add(self, table: pa.Table) -> Counts:
        """Count rows."""
        self._objects += len(table)
        self._size_bytes += pc.sum(table["size"]).as_py() or 0
        self._unknown += table["size"].null_count
        self._without += pc.coalesce(table["sha256"], table["md5"]).null_count
        return self

    def summary(self, header: SnapshotHeader, identity: str) -> SnapshotSummary:
        """What was counted, with what else is known."""
        return SnapshotSummary(
            header=header,
            id=identity,
            objects=self._objects,
            size_bytes=self._size_bytes,
            unknown_sizes=self._unknown,
            without_digest=self._without,
        )
