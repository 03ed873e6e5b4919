"""Sorting more rows than memory holds: sorted runs in files without a name, then merged, columns all through."""

from __future__ import annotations

import bisect
import tempfile
import threading
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import IO

RUN_BYTES = 128 << 20
"""What is held in memory before it is sorted and put away."""

_BATCH_ROWS = 32_768


class SortedRows:
    """Takes tables in any order, from any thread, and hands their rows out by the UTF-8 bytes of column `key`.

    Rows beyond `RUN_BYTES` wait in files that have no name, in `folder` (by default that of temporary files), and so
    are gone with the process, however it ends; where `folder` is False they stay in memory. No column of what it hands
    out exceeds the 2 GiB that Arrow's strings can hold.
    """

    def __init__(self, schema: pa.Schema, *, folder: Path | Literal[False] | None = None) -> None:
        self.folder, self._schema = folder, schema
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._runs: list[pa.Table | IO[bytes]] = []
        self._files = ExitStack()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def add(self, table: pa.Table) -> None:
        """Take rows in.

        Raises:
            OSError: the disk is full.
        """
        pieces = -(-table.nbytes // RUN_BYTES) or 1
        rows = -(-len(table) // pieces) or 1
        with self._lock:
            for start in range(0, len(table), rows):
                piece = table.slice(start, rows)
                self._pending.append(piece)
                self._pending_bytes += piece.nbytes
                if self._pending_bytes >= RUN_BYTES:
                    self._put_away()

    def batches(self) -> Iterator[pa.Table]:
        """All rows in order, some ten thousand at a time; more than once, if need be."""
        with self._lock:
            self._put_away(last=True)
        runs = [self._read(run) for run in self._runs]
        yield from _merged(runs) if len(runs) > 1 else chain(*runs)

    def _put_away(self, *, last: bool = False) -> None:
        if not self._pending:
            return
        table = _sorted(pa.concat_tables(self._pending))
        self._pending, self._pending_bytes = [], 0
        if self.folder is False or (last and not self._runs):
            self._runs.append(table)
            return
        file = self._files.enter_context(nameless(self.folder))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(pa.PythonFile(file, mode="w"), self._schema, options=options) as writer:
            writer.write_table(table, max_chunksize=_BATCH_ROWS)
        file.flush()
        self._runs.append(file)
        del table
        # Arrow keeps what it has freed; a run's memory is more than all that follows needs.
        pa.default_memory_pool().release_unused()

    def _read(self, run: pa.Table | IO[bytes]) -> Iterator[pa.Table]:
        if isinstance(run, pa.Table):
            for start in range(0, len(run), _BATCH_ROWS):
                yield run.slice(start, _BATCH_ROWS)
            return
        run.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(run, mode="r")) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])


def nameless(folder: Path | None) -> IO[bytes]:
    """A file that has no name, in `folder` or that of temporary files: gone with the process, however it ends."""
    return tempfile.TemporaryFile(dir=folder, prefix=".opendata-rows-")


def _sorted(table: pa.Table) -> pa.Table:
    # Arrow compares strings by their bytes, which is S3's own order ("UTF-8 binary order").
    return table.take(pc.sort_indices(table, sort_keys=[("key", "ascending")]))


def _merged(runs: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Sorted runs as one: each step takes from every run what does not come after the nearest end of a batch."""
    heads = [(head, run) for run in runs if (head := next(run, None)) is not None]
    while heads:
        bound = min(_key(head, len(head) - 1) for head, _ in heads)
        taken, left = [], []
        for head, run in heads:
            count = bisect.bisect_right(range(len(head)), bound, key=partial(_key, head))
            taken.append(head.slice(0, count))
            rest = head.slice(count) if count < len(head) else next(run, None)
            if rest is not None:
                left.append((rest, run))
        heads = left
        yield _sorted(pa.concat_tables(taken))


def _key(table: pa.Table, row: int) -> str:
    # Python compares texts by code points, whose order is that of their UTF-8.
    return str(table["key"][row].as_py())
