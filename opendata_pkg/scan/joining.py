"""Joining: digests that were computed elsewhere come into a snapshot, by key and versionId. Nothing is read."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.digest_files import DIGEST_BYTES, ENTRY_SCHEMA, read_digests
from opendata_pkg.model import InputError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.rows import with_columns
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opendata_pkg.snapshot.storage import StoredSnapshot


_STATE = ["version_id", "size", "etag"]


class DigestsDisagreeError(InputError):
    """Two sources give one object different digests."""

    def __init__(self, key: str, name: str, known: str, said: str) -> None:
        self.key = key
        super().__init__(
            f"{key!r}: expected one {name}, got {known} and {said}: one of them is of other bytes; "
            "scan the bucket again, or remove the wrong entry"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    """The snapshot with the digests, and what became of the files' entries.

    `filled` objects learnt a digest. `matched` entries are of objects of the snapshot, `other_state` ones of another
    version, size or ETag, `not_listed` ones of no object in it; `unusable` ones were no digest of an object's bytes.
    """

    snapshot: Snapshot
    filled: int
    matched: int
    other_state: int
    not_listed: int
    unusable: int


def join_digests(
    snapshot: Snapshot | StoredSnapshot, paths: Sequence[Path], *, reporter: Reporter = SILENT
) -> JoinResult:
    """Fill in the digests that files have and the snapshot lacks.

    An entry belongs to the object of its key if what it says of version, size and ETag is not otherwise in the
    snapshot. An entry that says no version is taken for any. Both sides are gone through side by side, in the order of
    keys, so that neither has to be in memory.

    Raises:
        DigestsDisagreeError: an object has another digest already, or the entries give it two.
        OpenDataError: as `read_digests` says.
    """
    unusable, counts = 0, _Counts()
    with SortedRows(ENTRY_SCHEMA) as entries:
        for path in paths:
            for part in read_digests(path, bucket=snapshot.header.bucket, reporter=reporter):
                unusable += part.unusable
                entries.add(part.table)
        filled = Snapshot.collect(_joined(snapshot.batches(), entries.batches(), counts), snapshot.header)
    names = ", ".join(path.name for path in paths)
    if counts.filled:
        filled = filled.with_columns({}, (f"digests of {counted(counts.filled, 'object')} were taken from {names}",))
    elif isinstance(snapshot, Snapshot):
        filled = snapshot
    return JoinResult(
        snapshot=filled,
        filled=counts.filled,
        matched=counts.matched,
        other_state=counts.listed - counts.matched,
        not_listed=counts.entries - counts.listed,
        unusable=unusable,
    )


@dataclass(slots=True)
class _Counts:
    """What became of the entries so far."""

    entries: int = 0
    listed: int = 0
    matched: int = 0
    filled: int = 0


def _joined(rows: Iterable[pa.Table], entries: Iterator[pa.Table], counts: _Counts) -> Iterator[pa.Table]:
    """A snapshot's rows with what entries say of them; both are in the order of keys."""
    ahead = ENTRY_SCHEMA.empty_table()
    for table in rows:
        if not len(table):
            continue
        last, parts = table["key"][-1].as_py(), []
        while True:
            count = bisect_right(range(len(ahead)), last, key=partial(_key, ahead))
            parts.append(ahead.slice(0, count))
            ahead = ahead.slice(count)
            if len(ahead) or (more := next(entries, None)) is None:
                break
            ahead = more
        yield _fill_in(table, pa.concat_tables(parts), counts)
    counts.entries += len(ahead) + sum(map(len, entries))


def _key(table: pa.Table, row: int) -> str:
    return str(table["key"][row].as_py())


def _fill_in(table: pa.Table, entries: pa.Table, counts: _Counts) -> pa.Table:
    """Rows of a snapshot with what entries say of them."""
    rows = pc.index_in(entries["key"], value_set=table["key"].combine_chunks())
    listed = entries.append_column("row", rows).filter(pc.is_valid(rows))
    matched = listed.filter(_is_same_state(listed, table.select(_STATE).take(listed["row"])))
    matched = matched.take(pc.sort_indices(matched["row"])).combine_chunks()
    columns, learnt = {}, pa.repeat(False, len(table))
    for name in DIGEST_BYTES:
        columns[name], is_new = _fill(table[name].combine_chunks(), matched, name)
        learnt = pc.or_(learnt, is_new)
    counts.entries += len(entries)
    counts.listed += len(listed)
    counts.matched += len(matched)
    counts.filled += pc.sum(learnt).as_py() or 0
    return with_columns(table, columns)


def _is_same_state(entries: pa.Table, known: pa.Table) -> pa.ChunkedArray:
    same = pc.fill_null(pc.equal(entries["version_id"], pc.fill_null(known["version_id"], "null")), fill_value=True)
    for name in ("size", "etag"):
        same = pc.and_(same, pc.fill_null(pc.equal(entries[name], known[name]), fill_value=True))
    return same


def _fill(known: pa.Array, matched: pa.Table, name: str) -> tuple[pa.Array, pa.Array]:
    """A snapshot's column with what the entries say, sorted by row, and which rows are new."""
    said = matched.filter(pc.is_valid(matched[name])).combine_chunks()
    rows, digests = said["row"].combine_chunks(), said[name].combine_chunks()
    before = known.take(rows)
    if (at := pc.index(pc.not_equal(digests, before), value=True).as_py()) >= 0:
        raise DigestsDisagreeError(said["key"][at].as_py(), name, before[at].as_py(), digests[at].as_py())
    if len(rows) > 1:
        same_row = pc.equal(rows.slice(0, len(rows) - 1), rows.slice(1))
        differ = pc.and_(same_row, pc.not_equal(digests.slice(0, len(rows) - 1), digests.slice(1)))
        if (at := pc.index(differ, value=True).as_py()) >= 0:
            raise DigestsDisagreeError(said["key"][at].as_py(), name, digests[at].as_py(), digests[at + 1].as_py())
        is_first = pa.concat_arrays([pa.array([True]), pc.invert(same_row)])
        rows, digests = rows.filter(is_first), digests.filter(is_first)
    is_said = pc.is_in(pa.array(range(len(known)), rows.type), rows)
    return pc.replace_with_mask(known, is_said, digests), pc.and_(is_said, pc.is_null(known))
