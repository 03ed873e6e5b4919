"""Which of the files that were removed and of those that were added are one file, at another path. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

Pairs = tuple[pa.Array, pa.Array]
"""Numbers of one length: rows of the first, rows of the second."""

_NO_PAIRS = pa.array([], pa.int64()), pa.array([], pa.int64())


def find_moves(gone: pa.Table, come: pa.Table) -> Pairs:
    """Pairs of rows that are one file at two paths."""
    found = _NO_PAIRS
    for content in (_by_sha256, _by_md5):
        rows = other_rows(gone.num_rows, found[0]), other_rows(come.num_rows, found[1])
        if not all(map(len, rows)):
            break
        old, new = gone.take(rows[0]), come.take(rows[1])
        pairs = _paired_by_content(old, new, _coded(content(old), content(new)))
        # MD5s can be made to collide: files whose SHA-256 differ are not one.
        differ = pc.not_equal(old["sha256"].take(pairs[0]), new["sha256"].take(pairs[1]))
        alike = pc.invert(pc.fill_null(differ, fill_value=False)).combine_chunks()
        found = _both(found, (rows[0].take(pairs[0].filter(alike)), rows[1].take(pairs[1].filter(alike))))
    return found


def _by_sha256(table: pa.Table) -> pa.Array:
    return table["sha256"].combine_chunks()


def _by_md5(table: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(table["md5"], table["size"].cast(pa.string()), "-").combine_chunks()


def _name(table: pa.Table) -> pa.Array:
    return pc.replace_substring_regex(table["path"], r"\A.*/", "").combine_chunks()


def _paired_by_content(old: pa.Table, new: pa.Table, content: Pairs) -> Pairs:
    """Rows whose contents are one: first those that also have the same name, then the rest, each once."""
    rows = tuple(
        pc.indices_nonzero(pc.is_in(codes, value_set=others, skip_nulls=True)).cast(pa.int64())
        for codes, others in (content, content[::-1])
    )
    old, new, content = old.take(rows[0]), new.take(rows[1]), (content[0].take(rows[0]), content[1].take(rows[1]))
    # A folder that moved has files of the same names; copies of one content should not be told as crossing over.
    names = _coded(_name(old), _name(new))
    both = tuple(_mixed(code, name) for code, name in zip(content, names, strict=True))
    found = _matched(both[0], both[1])
    left = other_rows(old.num_rows, found[0]), other_rows(new.num_rows, found[1])
    more = _matched(content[0].take(left[0]), content[1].take(left[1]))
    found = _both(found, (left[0].take(more[0]), left[1].take(more[1])))
    return rows[0].take(found[0]), rows[1].take(found[1])


def _matched(old: pa.Array, new: pa.Array) -> Pairs:
    """Rows of the same number: the first that has it with the first, the second with the second."""
    (old_rows, old_keys), (new_rows, new_keys) = _numbered(*_coded(old, new))
    found = pc.index_in(new_keys, value_set=old_keys)
    return old_rows.take(pc.drop_null(found)), new_rows.filter(pc.is_valid(found))


def _numbered(*codes: pa.Array) -> Iterator[tuple[pa.Array, pa.Array]]:
    """For each array its rows, and its codes made unique by counting those that are equal."""
    for one in codes:
        # Stable: rows of one code stay in their order.
        rows = pc.array_sort_indices(one).cast(pa.int64())
        if not len(rows):
            yield rows, rows
            continue
        one = one.take(rows)  # noqa: PLW2901 - the same codes, in order
        runs = pc.run_end_encode(one, run_end_type=pa.int64())
        starts = pa.concat_arrays([pa.array([0], pa.int64()), runs.run_ends.slice(0, len(runs.run_ends) - 1)])
        first = pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(runs.run_ends, starts))
        yield rows, _mixed(one, pc.subtract(_range(len(one)), first))


def _coded(old: pa.Array, new: pa.Array) -> Pairs:
    """Values as small numbers, the same for the same: quicker to compare and to sort than texts. Null stays null."""
    codes = pa.concat_arrays([old, new]).dictionary_encode().indices.cast(pa.int64())
    return codes.slice(0, len(old)), codes.slice(len(old))


def _mixed(high: pa.Array, low: pa.Array) -> pa.Array:
    """Two small numbers as one."""
    return pc.bit_wise_or(pc.shift_left(high, 32), low)


def _range(length: int) -> pa.Array:
    return pa.array(range(length), pa.int64())


def other_rows(length: int, rows: pa.Array) -> pa.Array:
    """The numbers below `length` that are not among `rows`, in order."""
    numbers = _range(length)
    return numbers.filter(pc.invert(pc.is_in(numbers, value_set=rows))) if len(rows) else numbers


def _both(first: Pairs, second: Pairs) -> Pairs:
    return pa.concat_arrays([first[0], second[0]]), pa.concat_arrays([first[1], second[1]])
