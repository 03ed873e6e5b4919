"""Files of a git-annex branch in bulk, judged by what git itself reads and writes."""

import pytest

from opendata_pkg.git.annex_branch import AnnexBranch
from opendata_pkg.git.repository import GitError, Repository
from tests.core_support import git, git_text

PERSON = b"Somebody <s@example.org> 1700000000 +0100"
BRANCH = "refs/heads/git-annex"


@pytest.fixture
def repository(tmp_path):
    """An empty repository."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def logs(count):
    """So many logs in folders of two levels, as git-annex has them."""
    return {b"%03d/%03d/KEY-%d.log" % (number % 7, number, number): b"%ds 1 x\n" % number for number in range(count)}


def written(repository, *changes):
    """A branch on which these were committed, one after the other."""
    branch = AnnexBranch(repository.path)
    for files in changes:
        branch.read(files)
        branch.commit(files, PERSON)
    return branch


def all_of(repository):
    """Every file of the branch, as git reads it."""
    return dict(repository.files_of(repository.head(BRANCH)))


@pytest.mark.parametrize("count", [1, 8, 9, 300])
def test_what_is_set_is_there(repository, count):
    """Few files or many, in a new branch and on top of others; nothing else changes, and git finds all sound."""
    first = {b"uuid.log": b"me\n", b"001/001/other.log": b"1s 1 y\n"}
    written(repository, first, logs(count))
    assert all_of(repository) == first | logs(count)
    assert repository.faults() == ()
    assert (
        git_text(repository.path, "log", "--format=%an <%ae> %at %s", BRANCH).splitlines()
        == ["Somebody <s@example.org> 1700000000 update"] * 2
    )


def test_what_is_asked_for_is_read(repository):
    """In one go, whatever else there is; what is not there is not in the answer."""
    branch = written(repository, logs(300))
    wanted = [b"003/003/KEY-3.log", b"003/003/none.log", b"none/003/KEY-3.log", b"003", b"top"]
    assert branch.read(wanted) == {wanted[0]: b"3s 1 x\n"}
    assert AnnexBranch(repository.path).read(logs(300)) == logs(300)


def test_no_branch_has_no_files(repository):
    """A repository that is no annex yet is no error."""
    assert AnnexBranch(repository.path).read([b"a/b/c.log"]) == {}


def test_a_few_objects_are_no_pack(repository):
    """Who gets file by file does not get pack by pack; many at once are one pack."""
    packs = repository.path / "objects" / "pack"
    written(repository, *({path: body} for path, body in logs(5).items()))
    assert list(packs.glob("*.pack")) == []
    written(repository, logs(300))
    assert len(list(packs.glob("*.pack"))) == 1


def test_others_write_too(repository):
    """What somebody wrote since it was read is seen by the next reading, and never written over."""
    branch, other = written(repository, logs(20)), AnnexBranch(repository.path)
    path, theirs, ours = b"001/001/KEY-1.log", b"2s 1 them\n", b"3s 1 us\n"
    branch.read([path])
    other.read([path])
    other.commit({path: theirs}, PERSON)
    head = repository.head(BRANCH)
    with pytest.raises(GitError, match="git update-ref failed"):
        branch.commit({path: ours}, PERSON)
    assert repository.head(BRANCH) == head
    assert branch.read([path]) == {path: theirs}
    branch.commit({path: theirs + ours}, PERSON)
    assert all_of(repository) == logs(20) | {path: theirs + ours}


def test_a_branch_among_packed_refs(repository):
    """Where git has put all refs into one file, it is found as well."""
    written(repository, logs(3))
    git(repository.path, "pack-refs", "--all")
    written(repository, {b"a/b/c.log": b"new\n"})
    assert all_of(repository) == logs(3) | {b"a/b/c.log": b"new\n"}
