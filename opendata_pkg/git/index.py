"""git's index, written at once for a sparse checkout: most of its files are not there, and git need not look for them.

`git read-tree`, `git update-index` and `git checkout-index` each read and write all of it: with 100,000 files they take
ten times as long as writing it once.

Source: gitformat-index(5), version 3.
"""

from __future__ import annotations

import hashlib
import struct
from binascii import unhexlify
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from typing import BinaryIO

TreeLine = tuple[bytes, bytes, bytes]
"""A file as `git ls-tree` lists it: its mode (six octal digits), its id in hex, its path from the top."""

# The header is "4-byte signature DIRC, 4-byte version number, 32-bit number of index entries".
_HEADER = struct.Struct(">4sII")
_VERSION = 3
# "32-bit ctime seconds, nanosecond fractions; mtime seconds, nanosecond fractions; dev; ino; mode; uid; gid; file size.
# This is the on-disk size from stat(2), truncated to 32-bit."
_STAT = struct.Struct(">10I")
_U32 = 0xFFFFFFFF
_NS = 1_000_000_000
# "A 16-bit 'flags' field: 1-bit assume-valid flag, 1-bit extended flag, 2-bit stage, 12-bit name length if the length
# is less than 0xFFF; otherwise 0xFFF"; "(Version 3 or later) a 16-bit field, only applicable if the extended flag is
# set: 1-bit reserved, 1-bit skip-worktree flag".
_EXTENDED = 0x4000
_SKIP_WORKTREE = b"\x40\x00"
_MAX_LENGTH = 0xFFF
# "1-8 nul bytes as necessary to pad the entry to a multiple of eight bytes while keeping the name NUL-terminated."
_ALIGNED = 8
_ID_BYTES = 20
_BEFORE_FLAGS = _STAT.size + _ID_BYTES
_PIECES = 5


class SparseIndex:
    """An index of a tree's files; those at the positions `wanted` are in the sparse checkout, all others are not there.

    `lines` come as `git ls-tree -r` lists them: "sorted in ascending order on the name field, as a string of unsigned
    bytes". What depends on the checkout is filled in when that is done, so that the rest can be made meanwhile.
    """

    def __init__(self, lines: Sequence[TreeLine], wanted: Iterable[int]) -> None:
        ids = unhexlify(b"".join([line[1] for line in lines]))
        absent = {mode: _stat_fields(mode, None) for mode in {line[0] for line in lines}}
        around = {length: _around(length, extended=True) for length in {len(line[2]) for line in lines}}
        self._pieces: list[bytes] = []
        for start, (mode, _, path) in zip(range(0, len(ids), _ID_BYTES), lines, strict=True):
            before, after = around[len(path)]
            self._pieces += absent[mode], ids[start : start + _ID_BYTES], before, path, after
        self._there = [(number, lines[number]) for number in wanted]
        self._head = _HEADER.pack(b"DIRC", _VERSION, len(lines))

    def write(self, stream: BinaryIO, there: Mapping[bytes, os.stat_result]) -> None:
        """Write the file; `there` is what lstat(2) says of what is checked out: git looks again at all else."""
        for number, (mode, _, path) in self._there:
            # Its fields, id, what stands before its path, the path, and what comes after it.
            start = number * _PIECES
            self._pieces[start] = _stat_fields(mode, there.get(path))
            self._pieces[start + 2], self._pieces[start + 4] = _around(len(path), extended=False)
        content = self._head + b"".join(self._pieces)
        stream.write(content)
        stream.write(hashlib.sha1(content, usedforsecurity=False).digest())


def _stat_fields(mode: bytes, found: os.stat_result | None) -> bytes:
    """What stands before an entry's id; the mode is the tree's, as on file systems that know fewer."""
    kind = int(mode, 8)
    if found is None:
        return _STAT.pack(0, 0, 0, 0, 0, 0, kind, 0, 0, 0)
    times = (*divmod(found.st_ctime_ns, _NS), *divmod(found.st_mtime_ns, _NS))
    owner = found.st_uid, found.st_gid, found.st_size
    return _STAT.pack(*(field & _U32 for field in (*times, found.st_dev, found.st_ino, kind, *owner)))


def _around(length: int, *, extended: bool) -> tuple[bytes, bytes]:
    """What stands between an entry's id and its path of that many bytes, and what comes after the path."""
    word = min(length, _MAX_LENGTH) | (_EXTENDED if extended else 0)
    before = word.to_bytes(2, "big") + (_SKIP_WORKTREE if extended else b"")
    size = _BEFORE_FLAGS + len(before) + length
    return before, b"\0" * (_ALIGNED - size % _ALIGNED)
