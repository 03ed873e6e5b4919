"""Tables that may be larger than memory should hold: then they are in a file without a name, mapped into memory.

Such a table is used as any other. Its pages are the kernel's to drop and to read again, so that they crowd nobody out;
and we let go of them ourselves from time to time, so that the process is as small as it looks to who measures or limits
it.
"""

from __future__ import annotations

import mmap
import threading
import time
import weakref
from bisect import bisect_left
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.sorting import nameless

if TYPE_CHECKING:
    from collections.abc import Iterable

SPOOL_BYTES = 512 << 20
"""What a table may take of memory proper."""

# What a process may have in memory of files, its libraries among them, before it lets go of what is mapped here.
_RESIDENT_BYTES = 512 << 20
# Arrow reads 100 MB in that time.
_LOOK_S = 0.05

_BLOCK_ROWS = 65_536
# proc_pid_statm(5): "Provides information about memory usage, measured in pages": the third is "number of resident
# shared pages (i.e., backed by a file)".
_STATM = Path("/proc/self/statm")


class Spool:
    """Takes tables of one schema, and gives their rows as one table, in their order; `with` lets go of the file.

    Beyond `SPOOL_BYTES` they go into a file in `folder` (by default that of temporary files), which is gone with the
    table, or with the process, however it ends.
    """

    def __init__(self, schema: pa.Schema, *, folder: Path | None = None) -> None:
        """Begin with no rows."""
        self._schema, self._folder = schema, folder
        self._pending, self._bytes = list[pa.Table](), 0
        self._files = ExitStack()
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """A mapping stays when its file is closed; Arrow's arrays keep it as long as there is one of them."""
        self._files.close()

    def add(self, table: pa.Table) -> None:
        """Take rows.

        Raises:
            OSError: the disk is full.
        """
        if self._writer is not None:
            self._writer.write_table(table)
            return
        self._pending.append(table)
        self._bytes += table.nbytes
        if self._bytes > SPOOL_BYTES:
            self._file = self._files.enter_context(nameless(self._folder))
            self._writer = self._files.enter_context(
                pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), self._schema)
            )
            # Without holding on to those that are written.
            self._pending.reverse()
            while self._pending:
                self._writer.write_table(self._pending.pop())

    def table(self) -> pa.Table:
        """All rows that were added; the last call.

        Raises:
            OSError: the disk is full.
        """
        if self._file is None or self._writer is None:
            return pa.concat_tables(self._pending or [self._schema.empty_table()]).unify_dictionaries()
        self._writer.close()
        self._file.flush()
        mapping = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        if _STATM.exists():
            threading.Thread(target=_let_go, args=(weakref.ref(mapping),), daemon=True).start()
        return pa.ipc.open_stream(pa.py_buffer(mapping)).read_all().unify_dictionaries()


def _let_go(mapped: weakref.ref[mmap.mmap]) -> None:
    """As long as a file is mapped, keep little of it in memory; who reads a page again finds it with the kernel.

    madvise(2), `MADV_DONTNEED`: "subsequent accesses of pages in the range will succeed, but will result in [...]
    repopulating the memory contents from the up-to-date contents of the underlying mapped file".
    """
    while mapped() is not None:
        is_much = int(_STATM.read_bytes().split()[2]) * mmap.PAGESIZE > _RESIDENT_BYTES
        if is_much and (mapping := mapped()) is not None:
            mapping.madvise(mmap.MADV_DONTNEED)
            # The file goes with the table: this thread does not keep it.
            del mapping
        time.sleep(_LOOK_S)


def spooled(tables: Iterable[pa.Table], schema: pa.Schema, *, folder: Path | None = None) -> pa.Table:
    """The rows of tables of one schema as one table, in their order, as `Spool` keeps them.

    Raises:
        OSError: the disk is full.
    """
    with Spool(schema, folder=folder) as spool:
        for table in tables:
            spool.add(table)
        return spool.table()


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
