"""Trees that differ from a known one: only what is on the way to a change is read and written.

Source: git's Documentation, "Git Internals - Git Objects".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from opendata_pkg.git.deflate import deflate
from opendata_pkg.git.objects import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opendata_pkg.git.objects import ObjectWriter

Tree = dict[bytes, tuple[bytes, bytes]]
"""Name → (mode, 20-byte id)."""

# A space and a NUL.
_SEPARATORS_BYTES = 2
# An id may hold any byte: but where one entry ends, the next begins.
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)

Pack = Callable[[bytes], bytes]
Read = Callable[[Iterable[bytes]], Iterator[bytes]]
"""Gives the bodies of objects of 20-byte ids, in order."""


class Edit(NamedTuple):
    """A file of a mode: set to an object, or (None) removed, if it is there in that mode."""

    path: bytes
    mode: bytes
    id: bytes | None


def parse_tree(body: bytes) -> Tree:
    """A tree object's entries: "mode, space, name, NUL, 20-byte id", one behind the other.

    Raises:
        ValueError: it is no tree; nothing of one may be passed over, or files would be lost.
    """
    entries = _ENTRY.findall(body)
    if sum(map(len, map(b"".join, entries))) + _SEPARATORS_BYTES * len(entries) != len(body):
        raise ValueError(f"expected a git tree, got {len(body)} bytes that are none")
    return {name: (mode, raw_id) for mode, name, raw_id in entries}


def folders_of(paths: Iterable[bytes]) -> set[bytes]:
    """Every folder, with its final slash, that one of the paths is in; `b""` is the top."""
    found = {b""}
    for path in paths:
        cut = path.rfind(b"/") + 1
        while cut and path[:cut] not in found:
            found.add(path[:cut])
            cut = path.rfind(b"/", 0, cut - 1) + 1
    return found


def read_trees(read: Read, root: bytes, folders: set[bytes]) -> dict[bytes, Tree]:
    """Those of the folders that a tree has, a level at a time; names end in a slash, `b""` is the top."""
    below: dict[bytes, list[bytes]] = {}
    for folder in folders - {b""}:
        below.setdefault(folder[: folder.rfind(b"/", 0, -1) + 1], []).append(folder)
    trees: dict[bytes, Tree] = {}
    level = {b"": root}
    while level:
        trees.update(zip(level, map(parse_tree, read(level.values())), strict=True))
        level = {
            folder: entry[1]
            for parent in level
            for folder in below.get(parent, ())
            if (entry := trees[parent].get(folder[len(parent) : -1])) is not None and entry[0] == FOLDER
        }
    return trees


def read_files(read: Read, trees: Mapping[bytes, Tree], paths: Iterable[bytes]) -> dict[bytes, bytes]:
    """Those of the files that are there: path → content. `trees` are the folders on the way (`read_trees`)."""
    ids: dict[bytes, bytes] = {}
    for path in paths:
        cut = path.rfind(b"/") + 1
        entry = trees.get(path[:cut], {}).get(path[cut:])
        if entry is not None and entry[0] != FOLDER:
            ids[path] = entry[1]
    return dict(zip(ids, read(ids.values()), strict=True))


def edit_tree(
    read: Read, writer: ObjectWriter, root: bytes, edits: Iterable[Edit], *, anew: Iterable[bytes] = ()
) -> bytes:
    """Write the tree that `root` becomes with the edits; returns its id. Folders that become empty vanish.

    `anew` are folders (with a final slash) of which nothing is kept but what the edits set.
    """
    edits = list(edits)
    trees = read_trees(read, root, folders_of([*(edit.path for edit in edits), *anew]))
    return edit_trees(trees, writer, edits, anew=anew)


def edit_trees(
    trees: dict[bytes, Tree],
    writer: ObjectWriter,
    edits: Sequence[Edit],
    *,
    anew: Iterable[bytes] = (),
    pack: Pack = deflate,
) -> bytes:
    """`edit_tree`, of which `trees` are all folders on the way to an edit that are there; they are changed.

    `pack` makes a zlib stream of a tree.
    """
    folders = folders_of([*(edit.path for edit in edits), *anew])
    trees.update({folder: {} for folder in anew})
    for path, mode, raw_id in edits:
        cut = path.rfind(b"/") + 1
        tree = trees.setdefault(path[:cut], {})
        if raw_id is not None:
            tree[path[cut:]] = mode, raw_id
        elif tree.get(path[cut:], (b"",))[0] == mode:
            del tree[path[cut:]]
    levels: dict[int, list[bytes]] = {}
    for folder in folders - {b""}:
        levels.setdefault(folder.count(b"/"), []).append(folder)
    # Deeper folders first, those that are as deep as each other together.
    for _, level in sorted(levels.items(), reverse=True):
        written = [folder for folder in level if trees.get(folder)]
        bodies = (_body(trees[folder]) for folder in written)
        ids = dict(zip(written, writer.add_all(b"tree", bodies, pack), strict=True))
        for folder in level:
            cut = folder.rfind(b"/", 0, -1) + 1
            parent, name = trees.setdefault(folder[:cut], {}), folder[cut:-1]
            if folder in ids:
                parent[name] = FOLDER, ids[folder]
            elif parent.get(name, (b"",))[0] == FOLDER:
                del parent[name]
    return next(writer.add_all(b"tree", [_body(trees[b""])], pack))


def _body(tree: Tree) -> bytes:
    """A tree as git has it."""
    # A folder sorts as if its name ended in a slash.
    entries = [
        (name + b"/" if mode == FOLDER else name, b"%s %s\0%s" % (mode, name, raw_id))
        for name, (mode, raw_id) in tree.items()
    ]
    return b"".join([entry for _, entry in sorted(entries)])
