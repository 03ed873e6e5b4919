"""Trees that differ from a known one: only what is on the way to a change is read and written.

Source: git's Documentation, "Git Internals - Git Objects".
"""

from __future__ import annotations

import re
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from opendata_pkg.git.objects import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opendata_pkg.git.objects import ObjectWriter

Tree = dict[bytes, bytes]
"""Name → entry, "mode, space, name, NUL, 20-byte id", in git's order, where no more than ids has changed."""

# An id may hold any byte: but where one entry ends, the next begins.
_ENTRY = re.compile(rb"([0-7]+ ([^\0]+)\0.{20})", re.DOTALL)
_ID_BYTES = 20
_FOLDER = FOLDER + b" "
# Where one of this many names of a tree is new, or fewer, looking for its place is quicker than sorting all.
_FEW = 8

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
    tree = {name: entry for entry, name in _ENTRY.findall(body)}
    if sum(map(len, tree.values())) != len(body):
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
            folder: entry[-_ID_BYTES:]
            for parent in level
            for folder in below.get(parent, ())
            if (entry := trees[parent].get(folder[len(parent) : -1])) is not None and entry.startswith(_FOLDER)
        }
    return trees


def read_files(read: Read, trees: Mapping[bytes, Tree], paths: Iterable[bytes]) -> dict[bytes, bytes]:
    """Those of the files that are there: path → content. `trees` are the folders on the way (`read_trees`)."""
    ids: dict[bytes, bytes] = {}
    for path in paths:
        cut = path.rfind(b"/") + 1
        entry = trees.get(path[:cut], {}).get(path[cut:])
        if entry is not None and not entry.startswith(_FOLDER):
            ids[path] = entry[-_ID_BYTES:]
    # Many are the same: most keys of a release have one location log.
    unique = dict.fromkeys(ids.values(), b"")
    unique.update(zip(unique, read(unique), strict=True))
    return {path: unique[raw_id] for path, raw_id in ids.items()}


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
) -> bytes:
    """`edit_tree`, of which `trees` are all folders on the way to an edit that are there; they are changed."""
    folders = folders_of([*(edit.path for edit in edits), *anew])
    trees.update({folder: {} for folder in anew})
    changed = _Changed(trees)
    for path, mode, raw_id in edits:
        cut = path.rfind(b"/") + 1
        if raw_id is None:
            changed.remove(path[:cut], path[cut:], mode)
        else:
            changed.put(path[:cut], path[cut:], mode, raw_id)
    levels: dict[int, list[bytes]] = {}
    for folder in folders - {b""}:
        levels.setdefault(folder.count(b"/"), []).append(folder)
    # Deeper folders first, those that are as deep as each other together.
    for _, level in sorted(levels.items(), reverse=True):
        written = [folder for folder in level if trees.get(folder)]
        ids = dict(zip(written, writer.add_all(b"tree", map(changed.body, written)), strict=True))
        for folder in level:
            cut = folder.rfind(b"/", 0, -1) + 1
            if folder in ids:
                changed.put(folder[:cut], folder[cut:-1], FOLDER, ids[folder])
            else:
                changed.remove(folder[:cut], folder[cut:-1], FOLDER)
    return writer.add(b"tree", changed.body(b""))


class _Changed:
    """Trees that are being changed, by folder."""

    def __init__(self, trees: dict[bytes, Tree]) -> None:
        self._trees = trees
        # Folder → names that stand behind all others of its tree, wherever they belong.
        self._late: defaultdict[bytes, set[bytes]] = defaultdict(set)

    def put(self, folder: bytes, name: bytes, mode: bytes, raw_id: bytes) -> None:
        tree = self._trees.setdefault(folder, {})
        before = tree.get(name)
        if before is None or before.startswith(_FOLDER) != (mode == FOLDER):
            tree.pop(name, None)
            self._late[folder].add(name)
        tree[name] = b"%s %s\0%s" % (mode, name, raw_id)

    def remove(self, folder: bytes, name: bytes, mode: bytes) -> None:
        """Remove what is there in that mode."""
        tree = self._trees.get(folder, {})
        if tree.get(name, b"").startswith(mode + b" "):
            del tree[name]
            self._late[folder].discard(name)

    def body(self, folder: bytes) -> bytes:
        """A tree as git has it."""
        tree = self._trees[folder]
        late = len(self._late.get(folder, ()))
        if not late:
            return b"".join(tree.values())
        names = list(tree)
        found, others = names[: len(names) - late], names[len(names) - late :]

        def place(name: bytes) -> bytes:
            # A folder sorts as if its name ended in a slash.
            return name + b"/" if tree[name].startswith(_FOLDER) else name

        if late * _FEW < len(names):
            for name in others:
                insort(found, name, key=place)
        else:
            found = sorted(names, key=place)
        return b"".join(map(tree.__getitem__, found))
