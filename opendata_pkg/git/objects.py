"""git's object format: ids and bodies of blobs, trees, commits and tags.

Source: git's Documentation, "Git Internals - Git Objects", and gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from opendata_pkg.model import ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FILE = b"100644"
SYMLINK = b"120000"
GITLINK = b"160000"
FOLDER = b"40000"

# Constants, so that no two machines or people make different commits of the same data.
IDENTITY = "opendata <opendata@invalid>"


class TreeEntry(NamedTuple):
    """One file of a whole tree: its path from the top as bytes, its mode, the 20-byte id of its blob (or commit)."""

    path: bytes
    mode: bytes
    id: bytes


class ObjectWriter(Protocol):
    """Where objects go. Adding gives the 20-byte id; adding what is there already costs nothing."""

    def add(self, kind: bytes, body: bytes) -> bytes:
        """Write one object of kind `blob`, `tree`, `commit` or `tag`."""
        ...

    def add_all(self, kind: bytes, bodies: Iterable[bytes], pack: Callable[[bytes], bytes] = ...) -> Iterator[bytes]:
        """Write objects of one kind as they are asked for; `pack` makes a zlib stream of a body."""
        ...


def object_id(kind: bytes, body: bytes) -> bytes:
    """The 20-byte id: "SHA-1 of the header (type, space, size, NUL) and the content"."""
    return hashlib.sha1(b"%s %d\0" % (kind, len(body)) + body, usedforsecurity=False).digest()


def hex_id(raw: bytes) -> ObjectId:
    """A 20-byte id as 40 hex digits."""
    return ObjectId(raw.hex())


def write_tree(writer: ObjectWriter, entries: Iterable[TreeEntry]) -> bytes:
    """Write the trees of files sorted by the bytes of their paths; returns the top tree's 20-byte id.

    Whole-path byte order is git's own order within each tree (a folder sorts as if its name ended in `/`), so one pass
    with a stack of open folders makes every tree, in memory of one branch of the tree.

    Raises:
        ValueError: a path is not after the one before, or is a folder too: a defect of the caller.
    """
    # Each open folder: its path with a final slash, and the body of its tree so far.
    names: list[bytes] = [b""]
    bodies: list[bytearray] = [bytearray()]
    folder, body, last = b"", bodies[0], b""

    def close() -> None:
        path = names.pop()
        name = path[len(names[-1]) : -1]
        tree = writer.add(b"tree", bytes(bodies.pop()))
        bodies[-1] += b"%s %s\0" % (FOLDER, name) + tree

    for path, mode, raw_id in entries:
        start = path.rfind(b"/") + 1
        if path <= last or (start != len(folder) and path.startswith(last + b"/")):
            raise ValueError(f"expected sorted paths of files, got {path!r} after {last!r}")
        last = path
        if path[:start] != folder:
            while not path.startswith(names[-1]):
                close()
            while (slash := path.find(b"/", len(names[-1]))) >= 0:
                names.append(path[: slash + 1])
                bodies.append(bytearray())
            folder, body = names[-1], bodies[-1]
        body += b"%s %s\0%s" % (mode, path[start:], raw_id)
    while len(names) > 1:
        close()
    return writer.add(b"tree", bytes(bodies[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit by the constant identity at `time` (seconds, UTC)."""

    tree: bytes
    parents: tuple[bytes, ...]
    time: int
    message: str

    def body(self) -> bytes:
        """The commit object's content."""
        lines = [f"tree {self.tree.hex()}", *(f"parent {parent.hex()}" for parent in self.parents)]
        lines += [f"author {IDENTITY} {self.time} +0000", f"committer {IDENTITY} {self.time} +0000"]
        return ("\n".join(lines) + f"\n\n{self.message}\n").encode()


def tag_body(*, commit: ObjectId, name: str, time: int) -> bytes:
    """An annotated tag's content, by the constant identity."""
    return (f"object {commit}\ntype commit\ntag {name}\ntagger {IDENTITY} {time} +0000\n\nRelease {name}\n").encode()
