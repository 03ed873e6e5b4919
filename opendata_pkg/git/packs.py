"""A repository's packs, read from memory that they are mapped into: no process, and no pipe for each object.

Only what stands whole in a pack is read here. What is a delta, a loose file or in another repository's packs (somebody
may have run `git gc`), git reads: `opendata_pkg.git.repository.ObjectReader`.

Source: gitformat-pack(5), quoted at each part.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# "Undeltified representation: n-byte type and length (3-bit type, (n-1)*7+4-bit length)", with these types:
TYPES = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
INDEX_MAGIC = b"\377tOc"
ID_BYTES = 20
FANOUT = 256
LARGE_OFFSET = 0x80000000

_KINDS = {number: kind for kind, number in TYPES.items()}
# Behind magic, version and fan-out table.
_NAMES_START = 8 + 4 * FANOUT
# So many names are searched through in one go.
_FEW_NAMES = 256


class Packs:
    """The packs in a folder, by any writer, index version 2; mapped when they are first needed."""

    def __init__(self, folder: Path) -> None:
        """Map the indexes in `folder` (`objects/pack`), which may not exist; none of a pack that is gone or cut."""
        self._packs = [
            _Pack(path, index)
            for path in sorted(folder.glob("pack-*.idx"))
            if (index := _map(path)) is not None and _is_index(index) and _has_end(path.with_suffix(".pack"), index)
        ]

    def __bool__(self) -> bool:
        """Whether there is any pack."""
        return bool(self._packs)

    def __contains__(self, raw_id: object) -> bool:
        """Whether an object of that 20-byte id is in a pack."""
        assert isinstance(raw_id, bytes)  # noqa: S101 - a caller's defect, not input
        for pack in self._packs:  # noqa: SIM110 - asked of every object: a generator takes as long again
            if pack.find(raw_id) >= 0:
                return True
        return False

    def read(self, raw_id: bytes) -> bytes | None:
        """The body of an object, which has been hashed again; None if git is to be asked, who may know more."""
        for pack in self._packs:
            if (number := pack.find(raw_id)) >= 0 and (body := pack.read(number, raw_id)) is not None:
                return body
        return None

    def close(self) -> None:
        """Unmap all."""
        for pack in self._packs:
            pack.close()


class _Pack:
    """One pack and its index."""

    def __init__(self, path: Path, index: mmap.mmap) -> None:
        self._path, self._index = path, index
        # "A 256-entry fan-out table": how many ids have a first byte of at most this.
        self._fanout = struct.unpack_from(f">{FANOUT}L", index, 8)
        # "A table of sorted object names ... of 4-byte CRC32 values ... of 4-byte offset values", then of 8-byte ones.
        self._offsets = _NAMES_START + (ID_BYTES + 4) * self._fanout[-1]
        self._content: mmap.mmap | None = None

    def find(self, raw_id: bytes) -> int:
        """Where an id is in the index's "table of sorted object names"; -1: nowhere."""
        index, fanout = self._index, self._fanout
        # The table of first bytes leaves 1/256 of the names to look through.
        low, high = (fanout[raw_id[0] - 1] if raw_id[0] else 0), fanout[raw_id[0]]
        while high - low > _FEW_NAMES:
            middle = (low + high) // 2
            start = _NAMES_START + ID_BYTES * middle
            low, high = (middle, high) if index[start : start + ID_BYTES] <= raw_id else (low, middle)
        # The rest is searched for its bytes, which is quicker; but they may also stand across two names.
        names = index[_NAMES_START + ID_BYTES * low : _NAMES_START + ID_BYTES * high]
        at = names.find(raw_id)
        while at % ID_BYTES and at > 0:
            at = names.find(raw_id, at + 1)
        return low + at // ID_BYTES if at >= 0 else -1

    def read(self, number: int, raw_id: bytes) -> bytes | None:
        """The body of the object of that place in the index; None if it is a delta, or not what its id says."""
        content = self._content = self._content or _map(self._path.with_suffix(".pack"))
        if content is None:
            return None
        start = self._offset(number)
        head = content[start : start + 10]
        if not head or (kind := _KINDS.get(head[0] >> 4 & 7)) is None:
            return None
        size, shift, at = head[0] & 15, 4, 1
        while head[at - 1] & 0x80:
            if at == len(head):
                return None
            size |= (head[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
        # What does not compress is longer than it was, by less than this (zlib.h, deflateBound); more may follow it.
        packed = content[start + at : start + at + size + (size >> 2) + 64]
        try:
            body = zlib.decompress(packed, bufsize=max(size, 1))
        except zlib.error:
            return None
        same = hashlib.sha1(b"%s %d\0%s" % (kind, len(body), body), usedforsecurity=False).digest() == raw_id
        return body if same else None

    def _offset(self, number: int) -> int:
        (offset,) = struct.unpack_from(">L", self._index, self._offsets + 4 * number)
        if offset < LARGE_OFFSET:
            return int(offset)
        # "Large offsets are encoded as an index into the next table with the msbit set."
        large = self._offsets + 4 * self._fanout[-1] + 8 * (offset - LARGE_OFFSET)
        return int.from_bytes(self._index[large : large + 8], "big")

    def close(self) -> None:
        """Unmap both."""
        self._index.close()
        if self._content is not None:
            self._content.close()


def _map(path: Path) -> mmap.mmap | None:
    """A file mapped into memory; None if it is gone, or empty."""
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):
        return None


def _is_index(index: mmap.mmap) -> bool:
    """Whether it is one of version 2, and whole."""
    # It begins with "a 4-byte magic number \377tOc" and "a 4-byte version number (= 2)".
    if len(index) < _NAMES_START or index[:8] != INDEX_MAGIC + struct.pack(">L", 2):
        return False
    (count,) = struct.unpack_from(">L", index, _NAMES_START - 4)
    # Name, checksum and offset of each; behind them the pack's checksum and the index's own.
    return len(index) >= _NAMES_START + (ID_BYTES + 8) * int(count) + 2 * ID_BYTES


def _has_end(pack: Path, index: mmap.mmap) -> bool:
    """Whether a pack ends as its index says: with "a copy of the pack checksum at the end of the packfile"."""
    try:
        with pack.open("rb", buffering=0) as stream:
            stream.seek(-ID_BYTES, os.SEEK_END)
            return stream.read() == index[-2 * ID_BYTES : -ID_BYTES]
    except OSError:
        # Not there, or shorter than that.
        return False


def ids_in(index: Path) -> list[bytes]:
    """The ids of a pack, by its index."""
    data = index.read_bytes()
    (count,) = struct.unpack_from(">L", data, _NAMES_START - 4)
    names = data[_NAMES_START : _NAMES_START + ID_BYTES * count]
    return [names[start : start + ID_BYTES] for start in range(0, len(names), ID_BYTES)]
