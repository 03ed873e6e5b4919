"""Columns of text at once: the few rows that need thought one by one, all others in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

INT64_MAX = (1 << 63) - 1
"""The largest number of Arrow's: what people give may be larger, no size or count is."""

# More than any text has.
_LONGEST_BYTES = 1 << 30


def replace_where(values: pa.Array, odd: pa.Array, function: Callable[[str], str]) -> pa.Array:
    """`values` with those where `odd` is true replaced by `function` of them; neither may hold nulls."""
    if not odd.true_count:
        return values
    found = [function(value) for value in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(values, odd, pa.array(found, pa.string()))


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece, without a copy where it is."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def are_equal(column: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns have the same values; those that are at the same place in memory are not looked at."""
    is_same = len(column) == len(other) and column.num_chunks == other.num_chunks
    if is_same and all(map(_is_same_memory, column.chunks, other.chunks)):
        return True
    return bool(column.equals(other))


def _is_same_memory(array: pa.Array, other: pa.Array) -> bool:
    return (array.offset, len(array), *_addresses(array)) == (other.offset, len(other), *_addresses(other))


def _addresses(array: pa.Array) -> list[int]:
    return [0 if buffer is None else buffer.address for buffer in array.buffers()]


def in_arrow(data: bytes) -> pa.Buffer:
    """Bytes in memory of Arrow's own, for its threads to read.

    They may let go of them late, when Python is ending already; with Python's bytes they would need Python's lock for
    that, and the process would be aborted.
    """
    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return buffer


def bytes_of(texts: pa.Array) -> memoryview:
    """The texts of an array one behind the other, without a copy; none may be null."""
    _, offsets, data = texts.buffers()
    bounds = memoryview(offsets).cast("i")
    # Arrow may leave out the bytes of an array that has none.
    return memoryview(data or b"")[bounds[texts.offset] : bounds[texts.offset + len(texts)]]


def without_prefix(texts: pa.Array, prefix: str) -> pa.Array:
    """Texts that all begin with a prefix, without it.

    By bytes, which is many times quicker than by characters. Arrow's slice must be told an end, or it may fail.
    """
    if not prefix:
        return texts
    cut = pc.binary_slice(texts.cast(pa.binary()), start=len(prefix.encode()), stop=_LONGEST_BYTES)
    return cut.view(pa.string())


def hold_any(texts: pa.Array, letters: bytes) -> bool:
    """Whether any text holds one of these bytes, asked of all bytes together: far quicker than each text."""
    data = bytes(bytes_of(texts)) if len(texts) else b""
    return len(data.translate(None, letters)) < len(data)


def holds(texts: pa.Array, piece: bytes) -> bool:
    """Whether a piece stands in the texts put one behind the other: no, or perhaps in one of them."""
    return len(texts) > 0 and piece in bytes(bytes_of(texts))


def joined(*parts: pa.Array | str) -> pa.Array:
    """Texts put together row by row; null where a part is."""
    return pc.binary_join_element_wise(*parts, "")
