"""Snapshots of which only the header is read, without Arrow: of what was released already, nobody needs more."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.snapshot.header import SnapshotHeader, header_path, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.snapshot.storage import SnapshotSummary


@dataclass(frozen=True, slots=True)
class UnreadSnapshot:
    """A snapshot in a file that is a copy of a whole one: how many objects it holds is what its header says.

    `last` is the file of another snapshot that is needed where its rows are.
    """

    path: Path
    header: SnapshotHeader
    id: str
    objects: int
    last: Path | None = None

    def __len__(self) -> int:
        """How many objects it holds."""
        return self.objects

    def read(self) -> Snapshot:
        """The snapshot with its rows; `filed.read_beside` gives the other one.

        Raises:
            BrokenSnapshotError: the file has been altered since.
        """
        from opendata_pkg.snapshot.filed import read_filed  # noqa: PLC0415

        return read_filed(self.path, self.last)

    def write(self, path: Path) -> SnapshotSummary:
        """Write it elsewhere, as `Snapshot.write`."""
        return self.read().write(path)


def open_snapshot(path: Path, kept: Callable[[str], Path], last: str | None) -> Snapshot | UnreadSnapshot:
    """`Snapshot.read`, but of the header alone if there is a copy of the file that was checked before.

    `kept` gives the path at which a copy of the snapshot of an id would be; the file itself is no copy of it. `last` is
    the id of the snapshot with which it is to be compared, if there is one.

    Raises:
        NotFoundError: there is no such file, or its header is missing.
        BrokenSnapshotError: the rows are cut short, altered, or of another snapshot.
    """
    document = read_header(path)
    copy = kept(document["id"])
    whole = copy.is_file() and header_path(copy).is_file() and not copy.samefile(path)
    other = None if last is None or last == document["id"] else kept(last)
    unread = UnreadSnapshot(path, SnapshotHeader.from_dict(document), document["id"], document["objects"], other)
    # Byte by byte: to read the rows and check them takes twenty times as long.
    return unread if whole and filecmp.cmp(path, copy, shallow=False) else unread.read()
