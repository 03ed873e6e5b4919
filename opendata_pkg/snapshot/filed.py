"""A snapshot that was read from a file: to keep it, the file is copied, and its rows are not encoded anew."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

from opendata_pkg.documents import dump_json
from opendata_pkg.files import replacing, write_text
from opendata_pkg.snapshot.header import header_path
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import is_as_written

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.snapshot.storage import SnapshotSummary

_COPY_BYTES = 1 << 20


class _NoCopyError(Exception):
    """A copy of a file would not be what is wanted."""


def read_filed(path: Path, last: Path | None = None) -> Snapshot:
    """`Snapshot.read`, of a file that is likely to be kept; and of another with which it is to be compared."""
    state = path.stat()
    if last is None:
        return _Filed(Snapshot.read(path), path, state, None)
    snapshot, beside = Snapshot.read_two(path, last)
    return _Filed(snapshot, path, state, beside)


def read_beside(snapshot: Snapshot, identity: str) -> Snapshot | None:
    """The snapshot of that id, if it was read together with another one."""
    beside = snapshot.beside if isinstance(snapshot, _Filed) else None
    return beside if beside is not None and beside.id == identity else None


class _Filed(Snapshot):
    """A snapshot that was read from a file, of which a copy is as good as writing it."""

    def __init__(self, snapshot: Snapshot, path: Path, state: os.stat_result, beside: Snapshot | None) -> None:
        # As a frozen class can be given values.
        self.__dict__.update(snapshot.__dict__, _path=path, _state=state, _beside=beside)

    @property
    def beside(self) -> Snapshot | None:
        """Another one that was read with it."""
        found: Snapshot | None = self.__dict__["_beside"]
        return found

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
