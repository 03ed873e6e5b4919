"""The rows of a snapshot as its id takes them (docs/explanation/identity.md). Pure: bytes out."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import bytes_of
from opendata_pkg.text import escape_line

_FIELDS = ("version_id", "size", "etag", "sha256", "md5")
ID_COLUMNS = ("key", *_FIELDS, "last_modified")
"""The columns that a snapshot's id is over."""

_FIRST_PRINTABLE = 0x20


def canonical_rows(batch: pa.RecordBatch) -> memoryview:
    """The rows as their snapshot's id takes them: `KEY TAB VERSION TAB … TAB MICROSECONDS LF`."""
    columns = [_escaped(batch["key"])]
    columns += [_field(batch[name]) for name in _FIELDS]
    microseconds = batch["last_modified"].cast(pa.int64()).cast(pa.string())
    columns.append(pc.binary_join_element_wise(pc.fill_null(microseconds, "-"), "", "\n"))
    lines = pc.binary_join_element_wise(*columns, "\t")
    # None is null, so that the array's own bytes are all lines one after the other: they need not become Python's.
    return bytes_of(lines)


def _is_safe(texts: pa.Array) -> bool:
    """Whether no value holds a character that `escape_line` encodes, asked of all bytes together.

    UTF-8 uses no byte below 0x80 but for ASCII. Arrow's minimum and `in` are many times quicker than a regular
    expression, and of 300 MB it matters.
    """
    data = bytes(bytes_of(texts))
    if not data:
        return True
    lowest = pc.min_max(pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)]))["min"].as_py()
    return lowest >= _FIRST_PRINTABLE and b"%" not in data and b"\x7f" not in data


def _escaped(texts: pa.Array) -> pa.Array:
    if _is_safe(texts):
        return texts
    return pa.array([None if text is None else escape_line(text) for text in texts.to_pylist()], pa.string())


def _field(values: pa.Array) -> pa.Array | str:
    """Values as canonical rows have them: `-` if unknown, so that a value that is `-` itself must be encoded.

    ETags and versionIds are anything a server or a listing file says: a tab in one must not look like another column.
    """
    if values.null_count == len(values):
        return "-"
    if pa.types.is_integer(values.type):
        return pc.fill_null(values.cast(pa.string()), "-")
    texts = _escaped(values)
    if pc.any(is_dash := pc.equal(texts, "-")).as_py():
        texts = pc.if_else(is_dash, "%2D", texts)
    return pc.fill_null(texts, "-")
