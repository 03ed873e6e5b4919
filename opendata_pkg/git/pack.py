"""Objects written straight into one pack and its index: no process, no loose file per object.

Source: gitformat-pack(5), quoted at each part. `git index-pack --verify` and `git fsck --strict` are the judges.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import sys
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple, Self
from zlib import crc32

from opendata_pkg.files import sync_file
from opendata_pkg.git.bound_packs import BoundFile, BoundPack
from opendata_pkg.git.deflate import deflate
from opendata_pkg.git.packs import FANOUT, INDEX_MAGIC, LARGE_OFFSET, TYPES, Packs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

_CHECKSUM_BITS = 32
_BLOCK_BYTES = 1 << 20


class _Head(NamedTuple):
    """What objects of one kind and length begin with: in their hash, and in a pack."""

    digest: hashlib._Hash
    packed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPack:
    """A whole pack and its index, `name` with `.pack` and `.idx`, under temporary names until `publish`."""

    name: str
    bound: BoundPack
    pack: Path
    index: Path

    def publish(self) -> None:
        """Bring both to disk, and give them their names: only then git and other readers know of them.

        OSError as the system says; a file that still has its temporary name is left to `Repository.remove_leftovers`.
        """
        files = self.pack, self.index
        for file in files:
            sync_file(file)
        # git takes a pack for there once its .idx is: so the pack first.
        for file, suffix in zip(files, self.bound.files, strict=True):
            file.rename(file.with_name(f"{self.name}{suffix}"))


class PackWriter:
    """Writes new objects into one pack; `with` publishes it at the end, or leaves nothing behind on an error.

    Memory: about 150 bytes an object for its id, checksum and offset; bodies are not kept. `written` is the pack, once
    the block has ended; None if there was nothing to write. Without `publish`, that is left to whoever takes it.
    """

    def __init__(self, folder: Path, *, publish: bool = True) -> None:
        """For a pack in `folder` (`objects/pack`), which is made; `with` begins it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._publish = publish
        self._known = Packs(folder)
        self.written: WrittenPack | None = None
        # Id → offset in the pack and, in the lower bits, the checksum of what stands there.
        self._entries: dict[bytes, int] = {}
        self._heads: dict[tuple[bytes, int], _Head] = {}
        token = secrets.token_hex(8)
        self._path, self._index_path = folder / f"tmp_pack_{token}", folder / f"tmp_idx_{token}"
        self._stream: IO[bytes]
        self._position = 0

    def add(self, kind: bytes, body: bytes) -> bytes:
        """Write one object, unless this pack or an older one has it; returns its 20-byte id."""
        return next(self.add_all(kind, (body,)))

    def add_all(
        self, kind: bytes, bodies: Iterable[bytes], pack: Callable[[bytes], bytes] = deflate
    ) -> Iterator[bytes]:
        """Write objects of one kind as they are asked for, and give their ids; `pack` makes a zlib stream of a body."""
        heads, entries, known = self._heads, self._entries, self._known
        for body in bodies:
            head = heads.get((kind, len(body))) or self._head(kind, len(body))
            digest = head.digest.copy()
            digest.update(body)
            raw_id = digest.digest()
            if raw_id not in entries and not (known and raw_id in known):
                packed = head.packed + pack(body)
                entries[raw_id] = self._position << _CHECKSUM_BITS | crc32(packed)
                self._position += len(packed)
                self._stream.write(packed)
            yield raw_id

    def _head(self, kind: bytes, length: int) -> _Head:
        # As in `object_id`: a hash is the sooner made from one that has begun alike.
        digest = hashlib.sha1(b"%s %d\0" % (kind, length), usedforsecurity=False)
        packed = bytearray()
        # "n-byte type and length (3-bit type, (n-1)*7+4-bit length)".
        byte, rest = TYPES[kind] << 4 | length & 15, length >> 4
        while rest:
            packed.append(byte | 0x80)
            byte, rest = rest & 0x7F, rest >> 7
        packed.append(byte)
        head = self._heads[kind, length] = _Head(digest, bytes(packed))
        return head

    def __enter__(self) -> Self:
        """The writer itself, its file begun."""
        is_begun = False
        try:
            self._stream = self._path.open("x+b", buffering=1 << 20)
            # "4-byte signature 'PACK', 4-byte version number, 4-byte number of objects": the count is not known yet.
            self._position = self._stream.write(b"PACK" + struct.pack(">LL", 2, 0))
            is_begun = True
        finally:
            # Ctrl-C may come before anybody has the writer.
            if not is_begun:
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish the pack if the block ended well and wrote anything."""
        try:
            if kind is None and self._entries:
                written = self._finish()
                if self._publish:
                    written.publish()
                self.written = written
        finally:
            if self.written is None:
                for path in (self._path, self._index_path):
                    path.unlink(missing_ok=True)
            self._known.close()
            # Last: on a full disk it fails, for there are bytes yet to be written.
            self._stream.close()

    def _finish(self) -> WrittenPack:
        # "The trailer records a pack checksum of all of the above", and the header's count is part of it.
        self._stream.seek(8)
        self._stream.write(struct.pack(">L", len(self._entries)))
        self._stream.flush()
        self._stream.seek(0)
        # In one reading, from the system's memory: the checksum, and the digest that a release binds the pack by.
        trailer, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
        while block := self._stream.read(_BLOCK_BYTES):
            trailer.update(block)
            sha256.update(block)
        checksum = trailer.digest()
        sha256.update(checksum)
        self._stream.write(checksum)
        self._stream.flush()
        index = self._index(checksum)
        self._index_path.write_bytes(index)
        for file in (self._path, self._index_path):
            file.chmod(0o444)
        return WrittenPack(
            name=f"pack-{checksum.hex()}",
            bound=BoundPack(
                pack=BoundFile(size_bytes=self._position + len(checksum), sha256=sha256.hexdigest()),
                index=BoundFile(size_bytes=len(index), sha256=hashlib.sha256(index).hexdigest()),
            ),
            pack=self._path,
            index=self._index_path,
        )

    def _index(self, pack_checksum: bytes) -> bytes:
        """The version-2 index of the objects written."""
        names = sorted(self._entries)
        entries = [self._entries[name] for name in names]
        # "A 256-entry fan-out table": how many ids have a first byte of at most this.
        fanout = [bisect_left(names, bytes([first + 1])) for first in range(FANOUT - 1)] + [len(names)]
        # "A table of sorted object names ... of 4-byte CRC32 values of the packed object data ... of 4-byte offset
        # values ... large offsets are encoded as an index into the next table with the msbit set."
        checksums = array("I", [entry & 0xFFFF_FFFF for entry in entries])
        small, large = array("I"), array("Q")
        for entry in entries:
            if (offset := entry >> _CHECKSUM_BITS) < LARGE_OFFSET:
                small.append(offset)
            else:
                small.append(LARGE_OFFSET | len(large))
                large.append(offset)
        tables = array("I", fanout), checksums, small, large
        if sys.byteorder == "little":
            for table in tables:
                table.byteswap()
        head, *rest = (table.tobytes() for table in tables)
        # "Index checksum of all of the above."
        parts = (INDEX_MAGIC, struct.pack(">L", 2), head, *names, *rest, pack_checksum)
        content = b"".join(parts)
        return content + hashlib.sha1(content, usedforsecurity=False).digest()
