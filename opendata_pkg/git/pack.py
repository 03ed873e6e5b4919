"""Objects written straight into one pack and its index: no process, no loose file per object.

Source: gitformat-pack(5), quoted at each part. `git index-pack --verify` and `git fsck --strict` are the judges.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import tempfile
import zlib
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from opendata_pkg.git.objects import object_id

if TYPE_CHECKING:
    import io
    from types import TracebackType

# "Undeltified representation: n-byte type and length (3-bit type, (n-1)*7+4-bit length)", with these types:
_TYPES = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
_ID_BYTES = 20
_FANOUT = 256
_LARGE_OFFSET = 0x80000000
_INDEX_MAGIC = b"\377tOc"
# Small objects are most of a dataset. Setting zlib up at its default memory level costs ten times the compression
# itself; with the smallest window and memory the result is as small and ten times sooner there.
_SMALL_BYTES = 512


def _deflate(body: bytes) -> bytes:
    if len(body) <= _SMALL_BYTES:
        small = zlib.compressobj(1, zlib.DEFLATED, 9, 1)
        return small.compress(body) + small.flush()
    return zlib.compress(body, 1)


class PackedIds:
    """The ids in a repository's packs, looked up in their mapped indexes; packs by any writer, index version 2."""

    def __init__(self, folder: Path) -> None:
        """Map the indexes in `folder` (`objects/pack`), which may not exist."""
        self._maps: list[tuple[mmap.mmap, tuple[int, ...]]] = []
        for path in sorted(folder.glob("pack-*.idx")):
            with path.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            # The index begins with "a 4-byte magic number \377tOc", "a 4-byte version number (= 2)" and the
            # "256-entry fan-out table".
            if mapped[:8] == _INDEX_MAGIC + struct.pack(">L", 2):
                self._maps.append((mapped, struct.unpack_from(f">{_FANOUT}L", mapped, 8)))

    def __contains__(self, raw_id: object) -> bool:
        """Whether an object of that 20-byte id is in a pack."""
        assert isinstance(raw_id, bytes)  # noqa: S101 - a caller's defect, not input
        for mapped, fanout in self._maps:
            low, high = (fanout[raw_id[0] - 1] if raw_id[0] else 0), fanout[raw_id[0]]
            while low < high:
                middle = (low + high) // 2
                start = 8 + 4 * _FANOUT + _ID_BYTES * middle
                found = mapped[start : start + _ID_BYTES]
                if found == raw_id:
                    return True
                if found < raw_id:
                    low = middle + 1
                else:
                    high = middle
        return False

    def close(self) -> None:
        """Unmap the indexes."""
        for mapped, _ in self._maps:
            mapped.close()


class PackWriter:
    """Writes new objects into one pack; `with` publishes it at the end, or leaves nothing behind on an error.

    Memory: about 150 bytes an object for its id, checksum and offset; bodies are not kept.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a pack in `folder` (`objects/pack`), which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._known = PackedIds(folder)
        self._offsets: dict[bytes, tuple[int, int]] = {}
        handle, name = tempfile.mkstemp(dir=folder, prefix="tmp_pack_")
        self._path = Path(name)
        self._stream = os.fdopen(handle, "w+b", buffering=1 << 20)
        # "4-byte signature 'PACK', 4-byte version number, 4-byte number of objects": the count is not known yet.
        self._stream.write(b"PACK" + struct.pack(">LL", 2, 0))
        self._position = 12

    def add(self, kind: bytes, body: bytes) -> bytes:
        """Write one object, unless this pack or an older one has it; returns its 20-byte id."""
        raw_id = object_id(kind, body)
        if raw_id in self._offsets or raw_id in self._known:
            return raw_id
        length = len(body)
        header = bytearray()
        byte = _TYPES[kind] << 4 | length & 15
        length >>= 4
        while length:
            header.append(byte | 0x80)
            byte = length & 0x7F
            length >>= 7
        header.append(byte)
        packed = bytes(header) + _deflate(body)
        self._offsets[raw_id] = (zlib.crc32(packed), self._position)
        self._stream.write(packed)
        self._position += len(packed)
        return raw_id

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish the pack if the block ended well and wrote anything."""
        try:
            if kind is None and self._offsets:
                self._publish()
        finally:
            self._path.unlink(missing_ok=True)
            self._known.close()
            # Last: on a full disk it fails, for there are bytes yet to be written.
            self._stream.close()

    def _publish(self) -> None:
        # "The trailer records a pack checksum of all of the above", and the header's count is part of it.
        self._stream.seek(8)
        self._stream.write(struct.pack(">L", len(self._offsets)))
        self._stream.flush()
        self._stream.seek(0)
        checksum = hashlib.file_digest(
            cast("io.BufferedRandom", self._stream), lambda: hashlib.sha1(usedforsecurity=False)
        ).digest()
        self._stream.seek(0, os.SEEK_END)
        self._stream.write(checksum)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        index = self._index(checksum)
        target = self._folder / f"pack-{checksum.hex()}.pack"
        temporary = self._folder / f"tmp_idx_{self._path.name.removeprefix('tmp_pack_')}"
        try:
            with temporary.open("wb") as stream:
                stream.write(index)
                stream.flush()
                os.fsync(stream.fileno())
            for file in (self._path, temporary):
                file.chmod(0o444)
            # git takes a pack for there once its .idx is: so the pack first.
            self._path.rename(target)
            temporary.rename(target.with_suffix(".idx"))
        finally:
            temporary.unlink(missing_ok=True)

    def _index(self, pack_checksum: bytes) -> bytes:
        """The version-2 index of the objects written."""
        ids = sorted(self._offsets)
        # "A 256-entry fan-out table": how many ids have a first byte of at most this.
        counts = [0] * _FANOUT
        for raw_id in ids:
            counts[raw_id[0]] += 1
        parts = [_INDEX_MAGIC, struct.pack(">L", 2), struct.pack(f">{_FANOUT}L", *accumulate(counts))]
        # "A table of sorted object names ... of 4-byte CRC32 values of the packed object data ... of 4-byte offset
        # values ... large offsets are encoded as an index into the next table with the msbit set."
        parts.append(b"".join(ids))
        parts.append(struct.pack(f">{len(ids)}L", *(self._offsets[raw_id][0] for raw_id in ids)))
        small: list[int] = []
        large: list[int] = []
        for raw_id in ids:
            offset = self._offsets[raw_id][1]
            if offset < _LARGE_OFFSET:
                small.append(offset)
            else:
                small.append(_LARGE_OFFSET | len(large))
                large.append(offset)
        parts += [struct.pack(f">{len(ids)}L", *small), struct.pack(f">{len(large)}Q", *large), pack_checksum]
        # "Index checksum of all of the above."
        content = b"".join(parts)
        return content + hashlib.sha1(content, usedforsecurity=False).digest()
