"""Snapshots in files: rows that nobody asks for are not read, and rows that were read need not be encoded anew."""

from __future__ import annotations

import filecmp
import os
import shutil
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from opendata_pkg.documents import dump_json
from opendata_pkg.files import replacing, write_text
from opendata_pkg.snapshot import Snapshot, is_as_written
from opendata_pkg.snapshot_header import SnapshotHeader, header_path, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from opendata_pkg.snapshot import SnapshotSummary

_COPY_BYTES = 1 << 20


class _NoCopyError(Exception):
    """A copy of a file would not be what is wanted."""


def open_snapshot(path: Path, kept: Callable[[str], Path]) -> Snapshot:
    """`Snapshot.read`, but of the rows only when they are asked for, if there is a copy that was checked before.

    `kept` gives the path at which a copy of the snapshot of an id would be; the file itself is no copy of it.

    Raises:
        NotFoundError: there is no such file, or its header is missing.
        BrokenSnapshotError: the rows are cut short, altered, or of another snapshot.
    """
    document = read_header(path)
    copy = kept(document["id"])
    whole = copy.is_file() and header_path(copy).is_file() and not copy.samefile(path)
    # Byte by byte: to read the rows and check them takes twenty times as long.
    if whole and filecmp.cmp(path, copy, shallow=False):
        return _Unread(path, document)
    state = path.stat()
    return _Read(Snapshot.read(path), path, state)


class _Read(Snapshot):
    """A snapshot that was read from a file, of which a copy is as good as writing it."""

    def __init__(self, snapshot: Snapshot, path: Path, state: os.stat_result) -> None:
        # As a frozen class can be given values.
        self.__dict__.update(snapshot.__dict__, id=snapshot.id, _path=path, _state=state)

    def write(self, path: Path) -> SnapshotSummary:
        """Copy the rows, unless the file is another by now or somebody else's; the header is written as always."""
        if not self._copy(path):
            return super().write(path)
        summary = self.summary
        write_text(header_path(path), dump_json(summary.document()))
        return summary

    def _copy(self, path: Path) -> bool:
        """Copy the file; False, and nothing is written, if it is not the one that was read or not as we write them."""
        try:
            with self.__dict__["_path"].open("rb") as stream, replacing(path) as copy:
                shutil.copyfileobj(stream, copy, _COPY_BYTES)
                _check_copied(stream, self.__dict__["_state"])
        except (_NoCopyError, FileNotFoundError):
            return False
        return True


def _check_copied(stream: BinaryIO, state: os.stat_result) -> None:
    """Raise an error if a file is not the one that was in that state, or not as we write them."""
    if _known_by(os.fstat(stream.fileno())) != _known_by(state) or not is_as_written(stream):
        raise _NoCopyError


def _known_by(state: os.stat_result) -> tuple[int, ...]:
    """What changes with a file, were it another one of that name or written anew."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


class _Unread(Snapshot):
    """A snapshot in a file that is a copy of a whole one."""

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        header = SnapshotHeader.from_dict(document)
        # As a frozen class can be given values.
        self.__dict__.update(_path=path, _objects=document["objects"], id=document["id"], header=header)

    def __len__(self) -> int:
        """How many objects it holds: what its header says, until the rows are read."""
        return int(self.table.num_rows if "table" in self.__dict__ else self.__dict__["_objects"])

    @cached_property
    def table(self) -> pa.Table:
        """The rows."""
        return Snapshot.read(self.__dict__["_path"]).table
