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
    from collections.abc import Collection, Mapping, Sequence

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


class SparseIndex:
    """An index of a tree's files; the paths in `wanted` are those of the sparse checkout, all others are not there.

    `lines` come as `git ls-tree -r` lists them: "sorted in ascending order on the name field, as a string of unsigned
    bytes". What depends on the checkout is filled in when that is done, so that the rest can be made meanwhile.
    """

    def __init__(self, lines: Sequence[TreeLine], wanted: Collection[bytes]) -> None:
        ids = unhexlify(b"".join([line[1] for line in lines]))
        absent = {mode: _stat_fields(mode, None) for mode in {line[0] for line in lines}}
        around = {length: _around(length, extended=True) for length in {len(line[2]) for line in lines}}
        self._pieces = [_HEADER.pack(b"DIRC", _VERSION, len(lines))]
        # Where fields of lstat belong among the pieces.
        self._there: list[tuple[int, TreeLine]] = []
        for start, line in zip(range(0, len(ids), _ID_BYTES), lines, strict=True):
            mode, _, path = line
            name = ids[start : start + _ID_BYTES]
            if path in wanted:
                self._there.append((len(self._pieces), line))
                before, after = _around(len(path), extended=False)
                self._pieces += b"", b"%b%b%b%b" % (name, before, path, after)
            else:
                before, after = around[len(path)]
                self._pieces.append(b"%b%b%b%b%b" % (absent[mode], name, before, path, after))

    def to_bytes(self, there: Mapping[bytes, os.stat_result]) -> bytes:
        """The file; `there` is what lstat(2) says of what is checked out; git looks again at those it does not name."""
        for number, (mode, _, path) in self._there:
            self._pieces[number] = _stat_fields(mode, there.get(path))
        content = b"".join(self._pieces)
        return content + hashlib.sha1(content, usedforsecurity=False).digest()


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
