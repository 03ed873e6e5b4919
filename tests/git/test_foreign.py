"""What somebody else has done to a repository is noticed, and left as it is."""

import pytest

from opendata_pkg.git.foreign import ForeignCommitError, check_heads, check_tag
from opendata_pkg.git.objects import FILE, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import BrokenRepositoryError, Repository
from tests.core_support import git


@pytest.fixture
def repository(tmp_path):
    """An empty repository of ours."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def commit_of(repository, files, *, parents=()):
    """A commit with these files (path → content)."""
    with repository.writer() as writer:
        entries = [TreeEntry(path, FILE, writer.add(b"blob", body)) for path, body in sorted(files.items())]
        tree = write_tree(writer, entries)
        commit = Commit(tree=tree, parents=tuple(map(bytes.fromhex, parents)), time=1, message="m")
        return hex_id(writer.add(b"commit", commit.body()))


@pytest.mark.parametrize("moved", ["refs/heads/main", "refs/heads/git-annex"])
def test_somebody_elses_commit_is_noticed(repository, moved):
    """A published branch that is not where the last release left it stops the build; its commits are kept."""
    first = commit_of(repository, {b"a": b"x"})
    theirs = commit_of(repository, {b"a": b"y"}, parents=[first])
    repository.update_refs({"refs/heads/main": first, "refs/heads/git-annex": first})
    check_heads(repository, (first, first))
    repository.update_refs({moved: theirs})
    with pytest.raises(
        ForeignCommitError, match=rf"expected {moved} of .*r\.git at {first}, as last released, got {theirs}"
    ):
        check_heads(repository, (first, first), (theirs, theirs))
    refs = repository.refs()
    check_heads(repository, (theirs, theirs), (refs["refs/heads/main"], refs["refs/heads/git-annex"]))
    assert repository.refs()[moved] == theirs


def test_a_deleted_branch_is_noticed(repository):
    """None is another place than the one it was left at."""
    first = commit_of(repository, {b"a": b"x"})
    repository.update_refs({"refs/heads/git-annex": first})
    with pytest.raises(ForeignCommitError, match=r"expected refs/heads/main .* got none: somebody has written"):
        check_heads(repository, (first, first))


def test_a_branch_that_should_not_be_there_is_noticed(repository):
    """Nor may anybody publish in a repository before we do."""
    check_heads(repository, (None, None))
    first = commit_of(repository, {b"a": b"x"})
    repository.update_refs({"refs/heads/main": first})
    with pytest.raises(
        ForeignCommitError, match=rf"expected refs/heads/main of .* at no commit, as last .*, got {first}"
    ):
        check_heads(repository, (None, None))


def test_a_repository_that_is_gone(tmp_path):
    """It is not said that somebody has moved its branches."""
    with pytest.raises(
        BrokenRepositoryError, match=r"expected a repository at .*r\.git, found none: restore the store"
    ):
        check_heads(Repository(tmp_path / "r.git"), ("1" * 40, "2" * 40))


@pytest.mark.parametrize("packed", [False, True])
def test_a_tag_that_is_there_already(repository, packed):
    """Ours, as after a release that was interrupted; of another's, the tag is named; wherever git keeps it."""
    ours, theirs = (commit_of(repository, {b"a": body}) for body in (b"x", b"y"))
    check_tag(repository, "1.0.0", ours)
    repository.update_refs({"refs/tags/1.0.0": theirs})
    if packed:
        git(repository.path, "pack-refs", "--all")
    check_tag(repository, "1.0.0", theirs)
    with pytest.raises(
        ForeignCommitError, match=rf"expected no tag 1\.0\.0 in .*r\.git yet, got {theirs}: somebody has"
    ):
        check_tag(repository, "1.0.0", ours)
