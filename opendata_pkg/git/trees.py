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

# An id may hold any byte: but where one entry ends, the next begins.
# A space, a NUL and an id.
_FIXED_BYTES = 22
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
    tree = {name: (mode, raw_id) for mode, name, raw_id in _ENTRY.findall(body)}
    if sum(len(name) + len(mode) + _FIXED_BYTES for name, (mode, _) in tree.items()) != len(body):
        raise ValueError(f"expected a git tree, got {len(body)} bytes that are none")
    return tree


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
    # Deeper folders first.
    for folder in sorted(folders - {b""}, key=lambda folder: -folder.count(b"/")):
        cut = folder.rfind(b"/", 0, -1) + 1
        parent, name = trees.setdefault(folder[:cut], {}), folder[cut:-1]
        if tree := trees.get(folder, {}):
            parent[name] = FOLDER, _write(writer, tree, pack)
        elif parent.get(name, (b"",))[0] == FOLDER:
            del parent[name]
    return _write(writer, trees[b""], pack)


def _write(writer: ObjectWriter, tree: Mapping[bytes, tuple[bytes, bytes]], pack: Pack) -> bytes:
    # A folder sorts as if its name ended in a slash.
    order = sorted(tree.items(), key=lambda item: item[0] + b"/" if item[1][0] == FOLDER else item[0])
    body = b"".join([b"%s %s\0%s" % (mode, name, raw_id) for name, (mode, raw_id) in order])
    return next(writer.add_all(b"tree", (body,), pack))
