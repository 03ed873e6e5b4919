"""Stamps: what a file's inode looked like when its digest was computed, so that an unchanged file is not read again.

One text file per snapshot of the cache, which is only appended to: `SIZE MTIME_NS CTIME_NS INODE SHA256 MD5 PATH .`,
separated by tabs; the last line for a path counts. A line that was cut by a crash lacks its end and is passed over.
ctime changes with every change of content, name, links or mode, and cannot be set back: a file that was altered with
its times restored is noticed too.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from opendata_pkg.files import lock_open
from opendata_pkg.model import Md5, Sha256
from opendata_pkg.text import escape_line, unescape_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_END = "."
_UNKNOWN = "-"
_FIELDS = 8
# So many stamps are written together: a lock and a line for each of many small files take longer than the files.
_TOGETHER = 64


class Stamp(NamedTuple):
    """A file's size in bytes, times in ns, inode, and digests when it had them. MD5 only if it was computed."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: Sha256
    md5: Md5 | None = None

    @classmethod
    def of(cls, state: os.stat_result, sha256: Sha256, md5: Md5 | None) -> Self:
        """The stamp of a file in this state, whose bytes have these digests."""
        return cls(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, sha256, md5)

    def fits(self, state: os.stat_result) -> bool:
        """Whether the file is as it was."""
        return (
            self.size_bytes == state.st_size
            and self.mtime_ns == state.st_mtime_ns
            and self.ctime_ns == state.st_ctime_ns
            and self.inode == state.st_ino
        )


class StampLog:
    """The stamps of one snapshot's files, by path. What other processes add is seen by `refresh`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, tuple[str, ...]] = {}
        self._waiting: list[tuple[str, ...]] = []
        self._read_bytes = 0
        self._inode = 0
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> bool:
        """Read what was added since the last time; whether there was anything."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                state = os.fstat(stream.fileno())
                if state.st_ino != self._inode or state.st_size < self._read_bytes:
                    self._lines, self._read_bytes, self._inode = {}, 0, state.st_ino
                if state.st_size == self._read_bytes:
                    return False
                stream.seek(self._read_bytes)
                added = stream.read()
        except OSError:
            # Without stamps, or without leave to read them, files are hashed.
            return False
        # The last line may still be in the making.
        whole = added[: added.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.decode("utf-8", "replace").split("\n"):
            fields = tuple(line.split("\t"))
            if len(fields) == _FIELDS and fields[7] == _END:
                self._lines[fields[6]] = fields
        self._lines.update((fields[6], fields) for fields in self._waiting)
        return bool(whole)

    def get(self, path: str) -> Stamp | None:
        """The stamp of a path, None if there is none that can be read."""
        fields = self._lines.get(escape_line(path))
        return None if fields is None else _parse(fields)

    def items(self) -> Iterator[tuple[str, Stamp]]:
        """Every path with its stamp."""
        for path, fields in list(self._lines.items()):
            if (stamp := _parse(fields)) is not None:
                yield unescape_line(path), stamp

    def add(self, path: str, stamp: Stamp, *, later: bool = False) -> None:
        """Append a stamp; where the file cannot be written, only this process remembers it.

        With `later`, it may wait for others until `flush`.
        """
        fields = _fields(path, stamp)
        with self._lock:
            self._lines[fields[6]] = fields
            self._waiting.append(fields)
            if not later or len(self._waiting) >= _TOGETHER:
                self._flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            with lock_open(self.path) as descriptor:
                end = os.lseek(descriptor, 0, os.SEEK_END)
                # After a line that was cut, begin a new one.
                is_cut = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                lines = "".join("\t".join(fields) + "\n" for fields in waiting)
                os.write(descriptor, (("\n" if is_cut else "") + lines).encode())
        except OSError:
            # A cache may be read-only or full: a stamp only saves time.
            return

    def rewrite(self, paths: Iterable[str]) -> None:
        """Keep one line for each of these paths and drop the rest; nobody can add meanwhile."""
        self.flush()
        with self._lock, lock_open(self.path) as descriptor:
            self._refresh()
            kept = [self._lines[name] for path in paths if (name := escape_line(path)) in self._lines]
            data = "".join("\t".join(fields) + "\n" for fields in kept).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, data, 0)
            self._lines = {fields[6]: fields for fields in kept}
            self._read_bytes = len(data)


def _fields(path: str, stamp: Stamp) -> tuple[str, ...]:
    numbers = (stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns, stamp.inode)
    return (*map(str, numbers), stamp.sha256, stamp.md5 or _UNKNOWN, escape_line(path), _END)


def _parse(fields: tuple[str, ...]) -> Stamp | None:
    try:
        size_bytes, mtime_ns, ctime_ns, inode = map(int, fields[:4])
    except ValueError:
        return None
    md5 = None if fields[5] == _UNKNOWN else Md5(fields[5])
    return Stamp(size_bytes, mtime_ns, ctime_ns, inode, Sha256(fields[4]), md5)
