"""Tables that may be larger than memory should hold: then they are in a file without a name, mapped into memory.

Such a table is used as any other. Its pages are the kernel's to drop and to read again, so that they crowd nobody out.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.sorting import nameless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SPOOL_BYTES = 512 << 20
"""What a table may take of memory proper."""

_BLOCK_ROWS = 65_536


def spooled(tables: Iterable[pa.Table], schema: pa.Schema, *, folder: Path | None = None) -> pa.Table:
    """The rows of tables of one schema as one table, in their order.

    Beyond `SPOOL_BYTES` they go into a file in `folder` (by default that of temporary files), which is gone with the
    table, or with the process, however it ends.

    Raises:
        OSError: the disk is full.
    """
    pending, count = [schema.empty_table()], 0
    tables = iter(tables)
    for table in tables:
        pending.append(table)
        count += table.nbytes
        if count > SPOOL_BYTES:
            return _mapped(_emptied(pending, tables), schema, folder)
    return pa.concat_tables(pending).unify_dictionaries()


def in_rows_order(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Some rows of a table, or all, in the order given; spooled if they are many.

    Arrow's own `take` puts the pieces of a column together in memory before it takes a row.
    """
    blocks = (rows.slice(start, _BLOCK_ROWS) for start in range(0, len(rows), _BLOCK_ROWS))
    return spooled((_taken(table.to_batches(), block, table.schema) for block in blocks), table.schema)


def _taken(pieces: Iterable[pa.RecordBatch], rows: pa.Array, schema: pa.Schema) -> pa.Table:
    order = pc.sort_indices(rows)
    ascending = rows.take(order)
    numbers = ascending.to_pylist()
    found, start, low = [schema.empty_table()], 0, 0
    for piece in pieces:
        high = bisect_left(numbers, start + len(piece), low)
        if high > low:
            here = pc.subtract(ascending.slice(low, high - low), pa.scalar(start, rows.type))
            found.append(pa.Table.from_batches([piece.take(here)]))
        start, low = start + len(piece), high
    return pa.concat_tables(found).unify_dictionaries().combine_chunks().take(pc.sort_indices(order))


def _emptied(pending: list[pa.Table], tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """All of them, without holding on to those that were pending."""
    pending.reverse()
    return chain((pending.pop() for _ in range(len(pending))), tables)


def _mapped(tables: Iterable[pa.Table], schema: pa.Schema, folder: Path | None) -> pa.Table:
    with nameless(folder) as file:
        with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), schema) as writer:
            for table in tables:
                writer.write_table(table)
        file.flush()
        # A mapping stays when its file is closed; Arrow's arrays keep it as long as there is one of them.
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.py_buffer(mapping)).read_all().unify_dictionaries()
