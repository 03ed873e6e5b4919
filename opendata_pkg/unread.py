"""Snapshots whose rows are read when somebody asks for them: of what was released already, nobody may."""

from __future__ import annotations

import filecmp
from functools import cached_property
from typing import TYPE_CHECKING, Any

from opendata_pkg.snapshot import Snapshot
from opendata_pkg.snapshot_header import SnapshotHeader, header_path, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa


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
    return Snapshot.read(path)


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
