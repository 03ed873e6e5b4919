"""Trees that differ from a known one, judged by the trees that would be written from nothing."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.git.deflate import deflate
from opendata_pkg.git.objects import FILE, FOLDER, SYMLINK, TreeEntry, object_id, write_tree
from opendata_pkg.git.trees import Edit, edit_tree, folders_of, parse_tree, read_files, read_trees

NAMES = st.lists(st.sampled_from(["a", "a-b", "a.b", "b", "ab"]), min_size=1, max_size=3).map(
    lambda parts: "/".join(parts).encode()
)
FILES = st.dictionaries(NAMES, st.binary(max_size=2), max_size=8).map(
    lambda files: {
        path: body for path, body in files.items() if not any(other.startswith(path + b"/") for other in files)
    }
)


class Memory:
    """Objects in a dictionary."""

    def __init__(self):
        self.bodies = {}

    def add(self, kind, body):
        """Keep one."""
        raw_id = object_id(kind, body)
        self.bodies[raw_id] = body
        return raw_id

    def add_all(self, kind, bodies, pack=deflate):
        """Keep some; what they are packed to can be unpacked."""
        for body in bodies:
            assert zlib.decompress(pack(body)) == body
            yield self.add(kind, body)

    def read(self, ids):
        """The bodies of some."""
        return (self.bodies[raw_id] for raw_id in ids)


def tree_of(memory, files):
    """The tree of these files, from nothing."""
    return write_tree(memory, [TreeEntry(path, FILE, memory.add(b"blob", files[path])) for path in sorted(files)])


@given(FILES, FILES)
def test_an_edited_tree_is_the_tree_of_its_files(before, after):
    """Whatever is set and removed, files that become folders and folders that become files too."""
    memory = Memory()
    root = tree_of(memory, before)
    edits = [Edit(path, FILE, None) for path in before.keys() - after.keys()]
    edits += [Edit(path, FILE, memory.add(b"blob", body)) for path, body in after.items() if before.get(path) != body]
    assert edit_tree(memory.read, memory, root, edits) == tree_of(memory, after)
    paths = [*before, *after]
    trees = read_trees(memory.read, tree_of(memory, after), folders_of(paths))
    assert read_files(memory.read, trees, paths) == after


@settings(max_examples=30)
@given(st.sets(st.integers(0, 400), max_size=40), st.sets(st.integers(0, 400), max_size=30), st.booleans())
def test_few_names_among_many(gone, new, folders):
    """Of a large tree, some names go, come, or become folders: each stands where git wants it."""
    memory = Memory()
    before = {b"%d-%s" % (number, b"x" * (number % 3)): b"1" for number in range(0, 400, 2)}
    names = [b"%d-%s" % (number, b"x" * (number % 3)) for number in (*gone, *new)]
    after = {path: body for path, body in before.items() if path not in names}
    added = names[len(gone) :]
    after |= {name + b"/f" if folders else name: b"2" for name in added} | {name + b".b": b"3" for name in added[:3]}
    edits = [Edit(path, FILE, None) for path in before.keys() - after.keys()]
    edits += [Edit(path, FILE, memory.add(b"blob", body)) for path, body in after.items() if before.get(path) != body]
    assert edit_tree(memory.read, memory, tree_of(memory, before), edits) == tree_of(memory, after)


def test_only_a_file_of_that_mode_is_removed():
    """What is of another mode by now is somebody else's; what is not there need not be removed."""
    memory = Memory()
    root = tree_of(memory, {b"README.md": b"ours"})
    assert edit_tree(memory.read, memory, root, [Edit(b"README.md", SYMLINK, None), Edit(b"x", FILE, None)]) == root


def test_a_folder_begins_anew():
    """Nothing of it is kept but what is set."""
    memory = Memory()
    root = tree_of(memory, {b"f/a": b"1", b"f/b": b"2", b"g": b"3"})
    edits = [Edit(b"f/c", FILE, memory.add(b"blob", b"4"))]
    assert edit_tree(memory.read, memory, root, edits, anew=[b"f/"]) == tree_of(memory, {b"f/c": b"4", b"g": b"3"})
    assert parse_tree(memory.bodies[root])[b"f"].startswith(FOLDER)


@pytest.mark.parametrize(
    "body", [b"x", b"100644 a\0" + bytes(19), b"100644 a\0" + bytes(20) + b"rest", b"9 a\0" + bytes(20)]
)
def test_what_is_no_tree_is_refused(body):
    """No entry is passed over in silence."""
    with pytest.raises(ValueError, match="expected a git tree"):
        parse_tree(body)
