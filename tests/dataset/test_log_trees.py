"""The folders of a git-annex branch, judged by the trees that would be written of all files from nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.dataset.log_trees import Log, LogTrees, write_log_tree
from opendata_pkg.git.objects import FILE, TreeEntry, object_id, write_tree
from tests.git.test_trees import Memory, tree_of

# Few folders at each level, and names of which one begins as the other.
STEMS = st.builds(
    lambda top, leaf, name: f"{top}/{leaf}/{name}".encode(),
    *[st.sampled_from(["000", "00a", "0a0", "100", "fff"])] * 2,
    st.sampled_from(["a", "a-b", "a.log", "b", "é&s"]),
)
CONTENTS = st.dictionaries(STEMS, st.tuples(st.binary(max_size=1), st.binary(max_size=1)), max_size=25)


def logs_of(contents):
    """Logs of such contents, sorted."""
    return [Log(stem, *(object_id(b"blob", body) for body in contents[stem])) for stem in sorted(contents)]


def whole_tree(memory, contents):
    """The tree of these logs, as any other tree is written."""
    files = [
        (log.stem + kind, blob)
        for log in logs_of(contents)
        for kind, blob in ((b".log", log[1]), (b".log.web", log[2]))
    ]
    return write_tree(memory, [TreeEntry(path, FILE, blob) for path, blob in sorted(files)])


@given(CONTENTS.filter(bool))
def test_a_branch_is_the_tree_of_its_logs(contents):
    """Written in bulk, it is what it would be file by file."""
    assert write_log_tree(Memory(), logs_of(contents)) == whole_tree(Memory(), contents)


@given(CONTENTS, CONTENTS)
def test_logs_are_added_to_a_branch(before, new):
    """New and other logs, into folders that are there or not: the tree of all; folders without any are not written."""
    memory = Memory()
    root = whole_tree(memory, before)
    trees = LogTrees(memory.read, root, new)
    assert list(trees.logs(sorted(new))) == logs_of({stem: before[stem] for stem in before if stem in new})
    written = []
    memory.add = lambda kind, body: written.append(body) or Memory.add(memory, kind, body)
    after = before | new
    assert write_log_tree(memory, logs_of(new), trees) == whole_tree(Memory(), after)
    others = [stem for stem in after if before.get(stem) != after[stem]]
    assert len(written) == len({path for stem in others for path in (b"", stem[:3], stem[:7])})


@settings(max_examples=30)
@given(st.sets(st.integers(0, 0xFFF), min_size=200, max_size=300), st.sets(st.integers(0, 0xFFF), max_size=30))
def test_few_folders_among_many(before, new):
    """Of hundreds of folders each is found, and each new one stands where git wants it."""
    memory = Memory()
    contents = {b"%03x/%03x/k" % (number, number // 2): (b"1", b"2") for number in before}
    more = {b"%03x/%03x/k" % (number, number // 2): (b"1", b"3") for number in new}
    root = whole_tree(memory, contents)
    trees = LogTrees(memory.read, root, more)
    assert {log.stem for log in trees.logs(more)} == contents.keys() & more.keys()
    assert write_log_tree(memory, logs_of(more), trees) == whole_tree(memory, contents | more)


@pytest.mark.parametrize("path", [b"ab", b"abcd", b"abc/x/k.log"])
def test_a_branch_of_another_shape_is_refused(path):
    """Nothing is looked for in folders that are not named as git-annex names them."""
    memory = Memory()
    root = tree_of(memory, {path: b"", b"000/000/k.log": b""})
    with pytest.raises(ValueError, match="expected a"):
        LogTrees(memory.read, root, [b"abc/def/k"])
