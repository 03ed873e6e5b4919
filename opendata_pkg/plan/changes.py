"""What became of each object between two states, one by one and a million at a time, by one rule. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import are_equal, one_array
from opendata_pkg.columns.spool import in_rows_order
from opendata_pkg.written import ChangeCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opendata_pkg.model import S3Object

KNOWN = ("size", "version_id", "etag", "sha256", "md5", "last_modified")
"""The columns of a table that say what is known of an object. Storage class is none: no byte changes with it."""

# What tells whether content is other, best first: the first of which both sides know. Last comes when it was written.
_CONTENT = ("sha256", "md5", "size", "etag")
# Rows that are matched at a time: their keys stay in the processor's cache, and equal pieces are passed over whole.
_BLOCK_ROWS = 16_384


class Change(StrEnum):
    """What became of one object. `regraded`: the same content, of which more or other is known now."""

    SAME = "same"
    REGRADED = "regraded"
    CHANGED = "changed"


def compare(before: S3Object, after: S3Object) -> Change:
    """What became of an object's content: by a digest both have, else by size, else by what S3 says of it."""
    if before.sha256 is not None and after.sha256 is not None:
        other = before.sha256 != after.sha256
    elif before.md5 is not None and after.md5 is not None:
        other = before.md5 != after.md5
    elif None not in (before.size_bytes, after.size_bytes) and before.size_bytes != after.size_bytes:
        other = True
    elif before.etag is not None and after.etag is not None:
        other = before.etag != after.etag
    else:
        other = before.last_modified != after.last_modified
    if other:
        return Change.CHANGED
    return Change.SAME if _known(before) == _known(after) else Change.REGRADED


def _known(entry: S3Object) -> tuple[object, ...]:
    """What a dataset records of an object. Storage class is no part of it: no byte changes with it."""
    return entry.size_bytes, entry.version_id, entry.etag, entry.sha256, entry.md5, entry.last_modified


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChanges:
    """What became of the rows of two tables: numbers of rows of the first (`removed`), second (`added`) or both.

    All are int64 arrays in the order of their table; `changed` and `regraded` are pairs (first, second) of one length.
    """

    added: pa.Array
    removed: pa.Array
    changed: tuple[pa.Array, pa.Array]
    regraded: tuple[pa.Array, pa.Array]

    def counts(self) -> ChangeCounts:
        """How many there are of each."""
        return ChangeCounts(
            added=len(self.added),
            changed=len(self.changed[0]),
            removed=len(self.removed),
            regraded=len(self.regraded[0]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The rows of two tables that are not the same in both: `gone` from the one before, `new` in the one after."""

    gone: pa.Table
    new: pa.Table
    counts: ChangeCounts

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(len(self.gone) or len(self.new))


def difference(before: pa.Table, after: pa.Table) -> Difference:
    """What is new and gone between two tables, as `compare_rows` takes them; a row that changed is both."""
    rows = compare_rows(before, after)
    gone = pa.concat_arrays([rows.removed, rows.changed[0], rows.regraded[0]])
    new = pa.concat_arrays([rows.added, rows.changed[1], rows.regraded[1]])
    return Difference(
        gone=in_rows_order(before, gone.sort()).combine_chunks(),
        new=in_rows_order(after, new.sort()).combine_chunks(),
        counts=rows.counts(),
    )


def differences(before: Iterable[pa.Table], after: Iterable[pa.Table]) -> Iterator[Difference]:
    """`difference` of rows that come in pieces of any length, in the order of their keys; only pieces are in memory."""
    pieces = _side_by_side((table for table in before if len(table)), (table for table in after if len(table)))
    yield from filter(None, (difference(*pair) for pair in pieces))


def _side_by_side(before: Iterator[pa.Table], after: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Pieces of both that hold the same stretch of keys: each time up to the nearest end of a table."""
    old, new = next(before, None), next(after, None)
    while old is not None and new is not None:
        ends = old["key"][-1].as_py(), new["key"][-1].as_py()
        old_stop, new_stop = (_first_after(table["key"], min(ends)) for table in (old, new))
        yield old.slice(0, old_stop), new.slice(0, new_stop)
        old = old.slice(old_stop) if old_stop < len(old) else next(before, None)
        new = new.slice(new_stop) if new_stop < len(new) else next(after, None)
    while old is not None:
        yield old, old.slice(0, 0)
        old = next(before, None)
    while new is not None:
        yield new.slice(0, 0), new
        new = next(after, None)


def _first_after(keys: pa.ChunkedArray, bound: str) -> int:
    # Python orders texts by code points, which is the order of their UTF-8 bytes.
    return bisect_right(range(len(keys)), bound, key=lambda row: keys[row].as_py())


def compare_rows(before: pa.Table, after: pa.Table, *, by: str = "key") -> RowChanges:
    """`compare` on all rows of two tables that are the same in the column `by`; no object becomes one of Python's.

    Both tables are sorted by the UTF-8 bytes of that column, and have each value once. Of the columns in `KNOWN` those
    are compared that both have: what one side never knows tells nothing.
    """
    names = tuple(name for name in KNOWN if name in before.column_names and name in after.column_names)
    before, after = before.select([by, *names]), after.select([by, *names])
    parts = [_compare_block(*block, by, names) for block in _blocks(before, after, by)]

    def joined(numbers: Iterable[pa.Array]) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.int64()), *numbers])

    return RowChanges(
        added=joined(part.added for part in parts),
        removed=joined(part.removed for part in parts),
        changed=(joined(part.changed[0] for part in parts), joined(part.changed[1] for part in parts)),
        regraded=(joined(part.regraded[0] for part in parts), joined(part.regraded[1] for part in parts)),
    )


_Block = tuple[pa.Table, int]
"""Rows that follow each other, and the number of the first."""


def _blocks(before: pa.Table, after: pa.Table, by: str) -> Iterator[tuple[_Block, _Block]]:
    """Pieces of both tables that hold the same stretch of the column `by`."""
    old, new = before[by], after[by]
    old_start = new_start = 0
    while new_start < len(new) or old_start < len(old):
        new_stop = min(new_start + _BLOCK_ROWS, len(new))
        old_stop = len(old)
        if new_stop < len(new):
            # Python orders texts by code points, which is the order of their UTF-8 bytes.
            old_stop = bisect_left(range(len(old)), new[new_stop].as_py(), old_start, key=lambda row: old[row].as_py())
        yield (
            (before.slice(old_start, old_stop - old_start), old_start),
            (after.slice(new_start, new_stop - new_start), new_start),
        )
        old_start, new_start = old_stop, new_stop


def _compare_block(before: _Block, after: _Block, by: str, names: Sequence[str]) -> RowChanges:
    (old, old_start), (new, new_start) = before, after
    none = pa.array([], pa.int64())
    added = removed = none
    old_rows = new_rows = None
    if not are_equal(old[by], new[by]):
        old_keys, new_keys = old[by].combine_chunks(), new[by].combine_chunks()
        found = pc.index_in(new_keys, value_set=old_keys)
        added = _numbers(pc.is_null(found))
        removed = _numbers(pc.invert(pc.is_in(old_keys, value_set=new_keys)))
        old_rows, new_rows = pc.drop_null(found).cast(pa.int64()), _numbers(pc.is_valid(found))
        old, new = old.take(old_rows), new.take(new_rows)
    other = [_is_distinct(old[name], new[name]) for name in names if not are_equal(old[name], new[name])]
    differing = none
    if other:
        together = other[0]
        for more in other[1:]:
            together = pc.or_(together, more)
        differing = _numbers(together)
    changed = regraded = none
    if len(differing):
        content = _has_other_content(old.take(differing), new.take(differing), names)
        changed, regraded = differing.filter(content), differing.filter(pc.invert(content))

    def pair(rows: pa.Array) -> tuple[pa.Array, pa.Array]:
        of_old = rows if old_rows is None else old_rows.take(rows)
        of_new = rows if new_rows is None else new_rows.take(rows)
        return pc.add(of_old, old_start), pc.add(of_new, new_start)

    return RowChanges(
        added=pc.add(added, new_start),
        removed=pc.add(removed, old_start),
        changed=pair(changed),
        regraded=pair(regraded),
    )


def _has_other_content(old: pa.Table, new: pa.Table, names: Sequence[str]) -> pa.Array:
    """`compare`'s rule on columns: the same row of both tables is the same object."""
    other = pa.repeat(pa.scalar(value=False), len(old))
    if "last_modified" in names:
        other = _is_distinct(old["last_modified"], new["last_modified"])
    for name in reversed([name for name in _CONTENT if name in names]):
        # Null where one of them is not known.
        differ = one_array(pc.not_equal(old[name], new[name]))
        # Objects of one size may differ in content; objects of two sizes do.
        tells = differ if name == "size" else pc.is_valid(differ)
        other = pc.if_else(pc.fill_null(tells, fill_value=False), differ, other)
    return other


def _is_distinct(old: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.Array:
    """Whether two columns differ, row by row; unknown is a value like others."""
    differ = pc.fill_null(pc.not_equal(old, new), fill_value=False)
    return one_array(pc.or_(differ, pc.xor(pc.is_null(old), pc.is_null(new))))


def _numbers(mask: pa.Array) -> pa.Array:
    return pc.indices_nonzero(mask).cast(pa.int64())
