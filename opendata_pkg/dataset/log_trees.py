"""The trees of a git-annex branch: thousands of small folders, of which most hold the two logs of one key.

A log's path is `abc/def/KEY.log`: git-annex names the folders by the first hexadecimal digits of the key's MD5
(doc/internals/hashing, "hashDirLower"). So in all trees but the deepest every entry has one length, and is found and
put in its place in the bytes as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from opendata_pkg.git.deflate import repeat, store
from opendata_pkg.git.objects import FILE, FOLDER
from opendata_pkg.git.trees import parse_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.trees import Read

LOCATION, WEB = b".log", b".log.web"
"""How the names of a key's location log and URL log end."""

# Of the path of a log, `abc/` and `abc/def/`.
_TOP, _LEAF = slice(0, 4), slice(0, 8)
_FILE_ENTRY = FILE + b" %s%s\0%s"
# "Mode, space, name, NUL, 20-byte id", of a folder `abc`: where these parts are, and where the next entry begins.
_HEAD = len(FOLDER) + 1
_NAME = slice(_HEAD, _HEAD + 3)
_ID = slice(_HEAD + 4, _HEAD + 24)
_ENTRY_BYTES = _ID.stop


class Log(NamedTuple):
    """A key's logs: their path without `.log`, and the 20-byte ids of the location log and of the URL log."""

    stem: bytes
    location: bytes
    web: bytes


class LogTrees:
    """Of a branch that was released: all of its folders that the logs of some keys are in, or would be."""

    def __init__(self, read: Read, root: bytes, stems: Iterable[bytes]) -> None:
        """Read the folders of these stems, below the tree `root`: a level at a time."""
        self.root = root
        leaves = sorted({stem[_LEAF] for stem in stems})
        (top,) = read([root])
        # By path, with its final slash; of the deepest, in `leaves`, name → entry.
        self._folders = {b"": _checked(top)}
        ids = self._ids(dict.fromkeys(leaf[_TOP] for leaf in leaves))
        self._folders.update(zip(ids, map(_checked, read(ids.values())), strict=True))
        ids = self._ids(leaves)
        self._leaves = dict(zip(ids, map(parse_tree, read(ids.values())), strict=True))

    def folder(self, path: bytes) -> bytes:
        """The tree of `abc/`, or of the top (`b""`), as it is; nothing if it is not there."""
        return self._folders.get(path, b"")

    def leaf(self, path: bytes) -> dict[bytes, bytes]:
        """The entries of `abc/def/`, by name."""
        return self._leaves.get(path, {})

    def logs(self, stems: Iterable[bytes]) -> Iterator[Log]:
        """The logs of those of the keys that have any."""
        for stem in stems:
            tree = self._leaves.get(stem[_LEAF])
            if tree is not None and (web := tree.get(stem[8:] + WEB)) is not None:
                yield Log(stem, tree[stem[8:] + LOCATION][-20:], web[-20:])

    def _ids(self, paths: Iterable[bytes]) -> dict[bytes, bytes]:
        """The ids of those folders that are there; what is above them has been read."""
        found = {}
        for path in paths:
            above, name = self._folders.get(path[:-4], b""), path[-4:-1]
            start = _place(above, name)
            if above[start + _NAME.start : start + _NAME.stop] == name:
                found[path] = above[start + _ID.start : start + _ID.stop]
        return found


def write_log_tree(writer: ObjectWriter, logs: Iterable[Log], old: LogTrees | None = None) -> bytes:
    """Write the trees of a git-annex branch, of logs sorted by stem; returns the top tree's id.

    With `old`, the branch that was released becomes one that has these logs, too: of all of them it has the folders.
    What does not change is not written.
    """
    leaf_paths: list[bytes] = []

    def leaves() -> Iterator[bytes]:
        for path, group in groupby(logs, key=lambda log: log.stem[_LEAF]):
            entries = [
                entry
                for stem, location, web in group
                for entry in (_FILE_ENTRY % (stem[8:], LOCATION, location), _FILE_ENTRY % (stem[8:], WEB, web))
            ]
            before = {} if old is None else old.leaf(path)
            if before:
                after = before | {entry[len(FILE) + 1 : -21]: entry for entry in entries}
                if after == before:
                    continue
                entries = list(after.values())
            leaf_paths.append(path)
            # By whole names: `a-b.log` sorts before `a.log`. (All begin with the same mode.)
            yield b"".join(entries if len(entries) == 2 else sorted(entries))  # noqa: PLR2004 - one key

    ids = list(writer.add_all(b"tree", leaves(), _pack_leaf))
    if old is not None and not ids:
        return old.root
    top_paths: list[bytes] = []

    def tops() -> Iterator[bytes]:
        for path, group in groupby(zip(leaf_paths, ids, strict=True), key=lambda leaf: leaf[0][_TOP]):
            top_paths.append(path)
            entries = [b"%s %s\0%s" % (FOLDER, leaf[4:7], raw_id) for leaf, raw_id in group]
            yield _with_folders(b"" if old is None else old.folder(path), entries)

    found = zip(top_paths, list(writer.add_all(b"tree", tops(), store)), strict=True)
    entries = [b"%s %s\0%s" % (FOLDER, path[:3], raw_id) for path, raw_id in found]
    return writer.add(b"tree", _with_folders(b"" if old is None else old.folder(b""), entries))


def _checked(body: bytes) -> bytes:
    """A tree of folders `abc`, as all are that are not the deepest.

    Raises:
        ValueError: it is another; then nothing can be found in it.
    """
    count, rest = divmod(len(body), _ENTRY_BYTES)
    if rest or body[_HEAD - 1 :: _ENTRY_BYTES] != b" " * count or body[_NAME.stop :: _ENTRY_BYTES] != bytes(count):
        raise ValueError(f"expected a tree of folders named by three letters, got {len(body)} bytes that are none")
    return body


def _place(body: bytes, name: bytes, start: int = 0) -> int:
    """Where the entry of a folder begins in a tree of such, or is to begin; not before `start`."""

    def name_at(number: int) -> bytes:
        at = number * _ENTRY_BYTES
        return body[at + _NAME.start : at + _NAME.stop]

    numbers = range(len(body) // _ENTRY_BYTES)
    return _ENTRY_BYTES * bisect_left(numbers, name, start // _ENTRY_BYTES, key=name_at)


def _with_folders(body: bytes, entries: list[bytes]) -> bytes:
    """A tree of folders with some of them set, which are sorted."""
    if not body:
        return b"".join(entries)
    parts: list[bytes] = []
    done = 0
    for entry in entries:
        at = _place(body, entry[_NAME], done)
        parts += body[done:at], entry
        is_there = body[at : at + _ID.start] == entry[: _ID.start]
        done = at + _ENTRY_BYTES * is_there
    return b"".join((*parts, body[done:]))


def _pack_leaf(body: bytes) -> bytes:
    """A folder of one key, packed: both its entries begin alike. Of another folder, most bytes are ids."""
    first = body.find(b"\0") + 21
    shared = first - 21
    alike = body[:shared].endswith(LOCATION) and body[first : first + shared] == body[:shared]
    return repeat(body, first, shared, first) if alike else store(body)
