"""git's object format, judged by git."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK, Commit, TreeEntry, hex_id, object_id, tag_body, write_tree
from tests.core_support import git, git_text


class Objects(dict):
    """An `ObjectWriter` that keeps kind and body by id."""

    def add(self, kind, body):
        """Keep one object."""
        raw_id = object_id(kind, body)
        self[raw_id] = (kind, body)
        return raw_id


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """An empty bare repository, for git to compute in."""
    folder = tmp_path_factory.mktemp("objects") / "r.git"
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    return folder


BLOB = object_id(b"blob", b"")
NAME = st.one_of(
    st.sampled_from([b"a", b"a-b", b"a.b", b"a0", b"ab", b"a b", b"a\xc3\xa9", b"A", b"a\x01", b"a.", b"b", b"."]),
    st.binary(min_size=1, max_size=4).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")),
)
PATHS = st.sets(st.lists(NAME, min_size=1, max_size=4).map(b"/".join), max_size=25).map(
    # A name cannot be a file and a folder at once.
    lambda paths: sorted(path for path in paths if not any(other.startswith(path + b"/") for other in paths))
)


def mktree(repository, entries):
    """The tree of sorted files as `git mktree` makes it, folder by folder, in git's own order of names."""
    folders = {}
    lines = []
    for path, mode, raw_id in entries:
        name, slash, rest = path.partition(b"/")
        if slash:
            folders.setdefault(name, []).append(TreeEntry(rest, mode, raw_id))
        else:
            kind = b"commit" if mode == GITLINK else b"blob"
            lines.append(b"%s %s %s\t%s\0" % (mode, kind, raw_id.hex().encode(), name))
    for name, inside in folders.items():
        lines.append(b"40000 tree %s\t%s\0" % (mktree(repository, inside).encode(), name))
    return git(repository, "mktree", "-z", "--missing", data=b"".join(lines)).decode().strip()


@settings(max_examples=25)
@given(PATHS, st.sampled_from([FILE, SYMLINK, GITLINK]))
@example([b"a-b/x", b"a.b", b"a/b", b"a/c/d", b"a0"], FILE)
@example([b"a b", b"a-", b"a.", b"a/a", b"a/b", b"aa"], SYMLINK)
@example([], FILE)
def test_trees_are_gits(repository, paths, mode):
    """The trees of any files, in one pass, have the ids that `git mktree` gives."""
    entries = [TreeEntry(path, mode, BLOB) for path in paths]
    assert hex_id(write_tree(Objects(), entries)) == mktree(repository, entries)


def test_a_tree_is_that_of_gits_index(repository, tmp_path):
    """`git write-tree` of an index with the same files gives the same id."""
    paths = ["a-b", "a.b", "a/b/c", "a/b0", "a/bc", "a0", "é/日本", "x y/'q'"]
    lines = "".join(f"100644 {BLOB.hex()}\t{path}\0" for path in paths).encode()
    environment = {"GIT_INDEX_FILE": str(tmp_path / "index"), "PATH": "/usr/bin:/bin"}
    for words in (["update-index", "-z", "--index-info"], ["write-tree", "--missing-ok"]):
        done = subprocess.run(
            ["git", *words], cwd=repository, input=lines, check=True, capture_output=True, env=environment
        )
    entries = sorted(TreeEntry(path.encode(), FILE, BLOB) for path in paths)
    assert hex_id(write_tree(Objects(), entries)) == done.stdout.decode().strip()


@pytest.mark.parametrize("paths", [[b"b", b"a"], [b"a", b"a"], [b"a", b"a/b"], [b"a/b", b"a/b/c"]])
def test_what_is_no_tree_is_refused(paths):
    """Unsorted, doubled, or a file that is a folder too: a defect of the caller, told at once."""
    entries = [TreeEntry(path, FILE, BLOB) for path in paths]
    with pytest.raises(ValueError, match="expected sorted paths of files"):
        write_tree(Objects(), entries)


@pytest.mark.parametrize("body", [b"", b"x", b"\0\n", b"y" * 100_000])
def test_ids_are_gits(repository, body):
    """`git hash-object` gives the same id."""
    assert git(repository, "hash-object", "--stdin", data=body).decode().strip() == object_id(b"blob", body).hex()


def test_commits_and_tags_are_sound(tmp_path):
    """Git takes them, finds no fault with them, and reads who, when and what."""
    repository = tmp_path / "r.git"
    git(tmp_path, "init", "--quiet", "--bare", repository)
    tree = object_id(b"tree", b"")
    git(repository, "hash-object", "-t", "tree", "-w", "--stdin")
    ids = []
    for parents in ((), (0,), (0, 1)):
        commit = Commit(tree=tree, parents=tuple(bytes.fromhex(ids[p]) for p in parents), time=1700000000, message="é")
        written = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", data=commit.body()).decode().strip()
        assert written == object_id(b"commit", commit.body()).hex()
        ids.append(written)
    tag = tag_body(commit=ids[-1], name="2026.1.0", time=1700000000)
    assert git(repository, "mktag", data=tag).decode().strip() == object_id(b"tag", tag).hex()
    assert git_text(repository, "fsck", "--strict", "--no-dangling") == ""
    form = "%an|%ae|%at|%cn|%ce|%ct|%s|%P"
    who = "opendata|opendata@invalid|1700000000"
    assert git_text(repository, "show", "-s", f"--format={form}", ids[-1]) == f"{who}|{who}|é|{ids[0]} {ids[1]}"
