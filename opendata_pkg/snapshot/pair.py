"""Snapshots as tables, read from their files; two of them at the cost of one and of what differs.

Of two snapshots that follow each other, most row groups of the files are the same, byte for byte. Those are decoded
once, and both tables have them at the same place in memory. Nothing is taken on trust: the ids of both are computed of
all of their rows.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import IO, TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from opendata_pkg.columns.spool import Spool
from opendata_pkg.parallel import ahead
from opendata_pkg.snapshot.canonical import canonical_rows
from opendata_pkg.snapshot.check import RowCheck
from opendata_pkg.snapshot.rows import BATCH_ROWS, SCHEMA, new_id
from opendata_pkg.snapshot.storage import READ_ROWS, decoded, in_schema, reading

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opendata_pkg.snapshot.storage import StoredSnapshot


def read_table(stored: StoredSnapshot) -> pa.Table:
    """The rows of a snapshot, after a check that they give the id that the header names; very many are mapped.

    Raises:
        BrokenSnapshotError: the rows are cut short, altered, or of another snapshot.
    """
    (table,) = _read([stored])
    return table


def read_two_tables(new: StoredSnapshot, old: StoredSnapshot) -> tuple[pa.Table, pa.Table]:
    """As `read_table`, both; what is the same is once in memory."""
    after, before = _read([new, old])
    return after, before


def are_keys_alike(path: Path, other: Path) -> bool:
    """Whether two snapshots surely have the same keys, by the bytes of their files; those are not checked."""
    with _keys_of(path) as keys, _keys_of(other) as others:
        return all(one == another for one, another in zip_longest(keys, others))


@contextmanager
def _keys_of(path: Path) -> Iterator[Iterator[tuple[object, ...]]]:
    """What decides which keys each row group has."""
    with path.open("rb") as stream, pq.ParquetFile(path) as parquet:
        metadata = parquet.metadata
        column = metadata.schema.names.index("key")

        def parts() -> Iterator[tuple[object, ...]]:
            for number in range(metadata.num_row_groups):
                found = _extent(metadata.row_group(number), [column])
                stream.seek(found.start)
                yield metadata.schema.column(column).physical_type, found.shape, stream.read(found.length)

        yield parts()


class _Piece(NamedTuple):
    """Rows that follow in one or in both snapshots."""

    rows: pa.Table
    of_new: bool
    of_old: bool


def _read(snapshots: Sequence[StoredSnapshot]) -> Iterator[pa.Table]:
    """The table of the first; and of the second, if there is one."""
    ids = _Ids(snapshots)
    with ExitStack() as spools:
        new, other = (spools.enter_context(Spool(SCHEMA)) for _ in range(2))
        # Of the second: whether rows are the first's, and from where to where.
        parts: list[tuple[bool, int, int]] = []
        counts = [0, 0]
        # Decoding, canonical rows and SHA-256 let go of Python's lock: each stage has a thread.
        for piece in ahead(ids.hashed(ahead(_pieces(snapshots)))):
            (new if piece.of_new else other).add(piece.rows)
            start = counts[piece.of_new]
            counts[piece.of_new] += len(piece.rows)
            if piece.of_old:
                parts.append((piece.of_new, start, len(piece.rows)))
        ids.check()
        table, rest = new.table(), other.table()
    yield table
    if len(snapshots) > 1:
        slices = [(table if is_shared else rest).slice(start, length) for is_shared, start, length in parts]
        yield pa.concat_tables(slices or [SCHEMA.empty_table()])


class _Ids:
    """The digests of one id or two; the second is computed only from where it is another."""

    def __init__(self, snapshots: Sequence[StoredSnapshot]) -> None:
        self._snapshots = snapshots
        self._checks = [RowCheck(snapshot.path) for snapshot in snapshots]
        self._new = new_id(snapshots[0].header)
        self._old: hashlib._Hash | None = None
        if len(snapshots) > 1 and snapshots[0].header.base_url != snapshots[1].header.base_url:
            self._old = new_id(snapshots[1].header)

    def hashed(self, pieces: Iterable[_Piece]) -> Iterator[_Piece]:
        """The same pieces, after their rows went into the digests."""
        for piece in pieces:
            if self._old is None and not (piece.of_new and piece.of_old):
                self._old = self._new.copy()
            for batch in piece.rows.to_batches(max_chunksize=READ_ROWS):
                self._look(batch, piece)
                rows = canonical_rows(batch)
                if piece.of_new:
                    self._new.update(rows)
                if piece.of_old and self._old is not None:
                    self._old.update(rows)
            yield piece

    def _look(self, rows: pa.RecordBatch, piece: _Piece) -> None:
        """Look at rows, at those that both have once."""
        if piece.of_new:
            self._checks[0].look(rows)
        if piece.of_old:
            self._checks[-1].look(rows, is_known=piece.of_new)

    def check(self) -> None:
        """Raise an error if the rows are not those of the snapshots."""
        for snapshot, digest in zip(self._snapshots, (self._new, self._old or self._new), strict=False):
            snapshot.check(digest)


@dataclass(frozen=True, slots=True)
class _File:
    """An open Parquet file: its bytes, and as Arrow reads it."""

    snapshot: StoredSnapshot
    stream: IO[bytes]
    parquet: pq.ParquetFile

    def groups(self) -> list[_Group]:
        """What tells of each row group whether it may be another's."""
        metadata = self.parquet.metadata
        every = range(metadata.num_columns)
        return [_extent(metadata.row_group(number), every) for number in range(metadata.num_row_groups)]

    def data(self, group: _Group) -> bytes:
        """The bytes of a row group."""
        self.stream.seek(group.start)
        return self.stream.read(group.length)

    def rows(self, groups: Iterable[int]) -> Iterator[pa.Table]:
        """The rows of some row groups."""
        with reading(self.snapshot):
            for batch in decoded(self.parquet, groups, BATCH_ROWS, SCHEMA.names):
                yield in_schema(batch, SCHEMA)


class _Group(NamedTuple):
    """Where a row group is, and what but its bytes decides what its rows are."""

    start: int
    length: int
    shape: tuple[object, ...]


def _extent(found: pq.RowGroupMetaData, numbers: Iterable[int]) -> _Group:
    """What Arrow says of some columns of a row group, which are one behind the other.

    parquet.thrift, struct ColumnMetaData, has `total_compressed_size`: "total byte size of all compressed, and
    potentially encrypted, pages in this column chunk (including the headers)". The dictionary's page comes first.
    """
    columns = [found.column(number) for number in numbers]
    firsts = [
        min(filter(None, (column.dictionary_page_offset, column.data_page_offset)), default=0) for column in columns
    ]
    start = min(firsts, default=0)
    ends = [first + column.total_compressed_size for first, column in zip(firsts, columns, strict=True)]
    shape = [
        (first - start, column.data_page_offset - start, column.total_compressed_size, column.compression)
        for first, column in zip(firsts, columns, strict=True)
    ]
    return _Group(start, max(ends, default=0) - start, (found.num_rows, *shape))


def _pieces(snapshots: Sequence[StoredSnapshot]) -> Iterator[_Piece]:
    """All rows: what is the same in both, and around it what is the second's, then what is the first's."""
    with ExitStack() as files:
        opened: list[_File] = []
        for snapshot in snapshots:
            with reading(snapshot):
                stream = files.enter_context(snapshot.path.open("rb"))
                opened.append(_File(snapshot, stream, files.enter_context(pq.ParquetFile(snapshot.path))))
        new, old = opened[0], opened[-1]
        counts = [file.parquet.metadata.num_row_groups for file in opened]
        with reading(new.snapshot):
            same = _same_groups(new, old) if new is not old else []
        next_new = next_old = 0
        for in_new, in_old, length in [*_runs(same), (counts[0], counts[-1], 0)]:
            if new is not old:
                for rows in old.rows(range(next_old, in_old)):
                    yield _Piece(rows, of_new=False, of_old=True)
            for rows in new.rows(range(next_new, in_new)):
                yield _Piece(rows, of_new=True, of_old=False)
            next_new, next_old = in_new + length, in_old + length
            for rows in new.rows(range(in_new, next_new)):
                yield _Piece(rows, of_new=True, of_old=True)


def _runs(pairs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Pairs of numbers that follow each other as one: the first of both, and how many there are."""
    for _, group in groupby(enumerate(pairs), key=lambda entry: (entry[1][0] - entry[0], entry[1][1] - entry[0])):
        run = [pair for _, pair in group]
        yield *run[0], len(run)


def _same_groups(new: _File, old: _File) -> list[tuple[int, int]]:
    """The numbers of row groups that are the same in both files, in their order."""
    if not new.parquet.metadata.schema.equals(old.parquet.metadata.schema):
        return []
    known: dict[tuple[object, ...], list[int]] = {}
    groups = old.groups()
    for number, group in enumerate(groups):
        known.setdefault(group.shape, []).append(number)
    found: list[tuple[int, int]] = []
    for number, group in enumerate(new.groups()):
        least = found[-1][1] if found else -1
        likely = [other for other in known.get(group.shape, ()) if other > least]
        data = new.data(group) if likely else b""
        match = next((other for other in likely if old.data(groups[other]) == data), None)
        if match is not None:
            found.append((number, match))
    return found
