"""Files counted by git, of many repositories at once."""

import pytest

from opendata_pkg.git import repository as of_repository
from opendata_pkg.git.counting import count_added_links
from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import BrokenRepositoryError, GitError, Repository
from tests.core_support import git, git_text


def commit_of(repository, entries, parent=None):
    """A commit of entries, path → (mode, content); of git links the content is an id."""
    with repository.writer() as writer:
        tree = write_tree(
            writer,
            [
                TreeEntry(path, mode, content if mode == GITLINK else writer.add(b"blob", content))
                for path, (mode, content) in sorted(entries.items())
            ],
        )
        parents = () if parent is None else (bytes.fromhex(parent),)
        return hex_id(writer.add(b"commit", Commit(tree=tree, parents=parents, time=1, message="m").body()))


@pytest.fixture
def repositories(tmp_path):
    """Empty repositories, in folders whose names are not plain."""
    found = [Repository(tmp_path / name / "r.git") for name in ("plain", '"q" #1', "two\nlines", "a:b")]
    for repository in found:
        repository.create()
    return found


@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
def test_what_comes_and_goes_is_counted(repositories, monkeypatch, block_bytes):
    """Links that are new, gone, or take the place of something else, or it theirs; in one go for all repositories."""
    monkeypatch.setattr(of_repository, "_BLOCK_BYTES", block_bytes)
    first, second, third, fourth = repositories
    link, text, module = (SYMLINK, b"to"), (FILE, b"x"), (GITLINK, b"\1" * 20)
    before = {b"a/%d" % number: link for number in range(5)} | {b"t": text, b"u": link, b"m": module}
    old = commit_of(first, before)
    after = {**before, b"b/c": link, b"t": link, b"u": text, b"m": link, b"a/1": (SYMLINK, b"elsewhere")}
    new = commit_of(first, {path: entry for path, entry in after.items() if path not in {b"a/2", b"a/3"}}, old)
    same = commit_of(second, {b"x": link})
    again = commit_of(second, {b"x": link}, same)
    # Names that look like what git says between them.
    odd = commit_of(third, {b":000000 120000 x": link, new.encode(): link, b"-": text})
    none = commit_of(fourth, {b"t": text})
    commits = [(first, old), (first, new), (second, again), (third, odd), (fourth, none)]
    found = count_added_links([(repository.path, commit) for repository, commit in commits])
    assert found == {old: 6, new: 1 + 1 - 1 + 1 - 2, again: 0, odd: 2, none: 0}


def test_a_commit_that_is_not_there(repositories):
    """It has no count."""
    there = commit_of(repositories[0], {b"a": (SYMLINK, b"to")})
    assert count_added_links([(repositories[0].path, there), (repositories[1].path, "1" * 40)]) == {there: 1}


def test_a_tree_that_is_not_there(repositories):
    """git says so, and that is the error."""
    with repositories[0].writer() as writer:
        commit = hex_id(writer.add(b"commit", Commit(tree=b"\1" * 20, parents=(), time=1, message="m").body()))
    with pytest.raises(GitError, match="git diff-tree failed in "):
        count_added_links([(repositories[0].path, commit)])


def other_commit(repository, tree):
    """A commit of a tree that may not be there."""
    with repository.writer() as writer:
        body = Commit(tree=bytes.fromhex(tree), parents=(), time=2, message="other").body()
        return hex_id(writer.add(b"commit", body))


@pytest.mark.parametrize("path", ["", "a", "a/b"])
def test_a_tree_that_only_another_repository_has(repositories, path):
    """At the top or below it: git reads it there, and yet it is said that the first is not whole."""
    first, second = repositories[:2]
    commit = commit_of(second, {b"a/b/c": (SYMLINK, b"to"), b"d": (SYMLINK, b"to")})
    lost = git_text(second.path, "rev-parse", f"{commit}:{path}")
    # All of the other's objects but that one, in a pack.
    every = git_text(second.path, "rev-list", "--objects", "--no-object-names", commit).split()
    listing = "".join(f"{name}\n" for name in every if name != lost)
    packed = git(second.path, "pack-objects", "--stdout", "-q", data=listing.encode())
    git(first.path, "index-pack", "--stdin", data=packed)
    both = [(first.path, commit), (second.path, other_commit(second, git_text(second.path, "rev-parse", commit + ":")))]
    with pytest.raises(
        BrokenRepositoryError, match=rf"wrote {lost} into a pack of .*plain/r.git, but no pack there has it"
    ):
        count_added_links(both)


def test_what_git_has_packed_anew(repositories):
    """Deltas, as a steward's `git gc` makes them, of commits and trees too: all is there."""
    first = repositories[0]
    entries = {b"%02d/%d" % (number, number): (SYMLINK, b"to") for number in range(50)}
    old = commit_of(first, entries)
    new = commit_of(first, {**entries, b"49/0": (SYMLINK, b"to")}, old)
    git(first.path, "update-ref", "refs/heads/main", new)
    git(first.path, "repack", "-adfq", "--depth=50")
    assert count_added_links([(first.path, old), (first.path, new)]) == {old: 50, new: 1}
