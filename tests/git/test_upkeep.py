"""Packs after many small updates, judged by git."""

import os

import pytest

from opendata_pkg.git.objects import FILE, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import Repository
from opendata_pkg.git.upkeep import MAX_PACKS, put_packs_together, refresh_server_info, superseded
from tests.core_support import git, git_text, publish, repository_of, snapshot_of


@pytest.fixture
def repository(tmp_path):
    """An empty repository of ours."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def update(repository, number, files=3):
    """One more commit with a few new files, in a pack of its own."""
    parent = repository.refs().get("refs/heads/main")
    with repository.writer() as writer:
        entries = [TreeEntry(b"%04d" % n, FILE, writer.add(b"blob", os.urandom(20))) for n in range(files)]
        parents = () if parent is None else (bytes.fromhex(parent),)
        tree = write_tree(writer, entries)
        commit = writer.add(b"commit", Commit(tree=tree, parents=parents, time=number, message="m").body())
    repository.update_refs({"refs/heads/main": hex_id(commit)})


def packs_of(repository):
    """The names of the packs."""
    return {path.stem for path in (repository.path / "objects" / "pack").glob("*.pack")}


def listed(repository):
    """The names of the packs that a web server hands out."""
    refresh_server_info(repository.path)
    lines = (repository.path / "objects" / "info" / "packs").read_text().split()
    assert set(lines[::2]) == {"P"}
    return {name.removesuffix(".pack") for name in lines[1::2]}


def test_many_updates_leave_few_packs(repository):
    """After each of fifty updates: few packs, all objects, all history; and what was first and large stays as it is."""
    update(repository, 0, files=2000)
    (large,) = packs_of(repository)
    for number in range(1, 50):
        update(repository, number)
        put_packs_together(repository.path, f"{number}.0.0")
        assert len(listed(repository)) <= MAX_PACKS
        assert len(packs_of(repository)) <= 2 * MAX_PACKS
        assert large in listed(repository)
    assert git_text(repository.path, "fsck", "--strict", "--full") == ""
    assert git_text(repository.path, "rev-list", "--count", "main") == "50"
    for path in (repository.path / "objects" / "pack").glob("*.idx"):
        git(repository.path, "verify-pack", path)


def test_superseded_packs_stay_for_one_release(repository):
    """Not listed any more, but there for who has an old list; gone with the next release, and not with the same again."""
    for number in range(MAX_PACKS + 1):
        update(repository, number)
    before = packs_of(repository)
    for _ in range(2):
        put_packs_together(repository.path, "1.0.0")
        assert packs_of(repository) > before
        assert len(listed(repository)) == 1
        assert set(superseded(repository.path)) == before
    put_packs_together(repository.path, "1.1.0")
    assert packs_of(repository) == listed(repository)
    assert not packs_of(repository) & before
    assert git_text(repository.path, "fsck", "--strict", "--full") == ""


def test_a_pack_that_holds_all_is_not_superseded(repository):
    """Killed after the new pack and before the note of the old ones, and done again: the new one is not an old one."""
    for number in range(MAX_PACKS + 1):
        update(repository, number)
    before = packs_of(repository)
    put_packs_together(repository.path, "1.0.0")
    (repository.path / "objects" / "info" / "opendata-superseded").unlink()
    put_packs_together(repository.path, "1.0.0")
    assert set(superseded(repository.path)) == before
    assert len(listed(repository)) == 1
    put_packs_together(repository.path, "1.1.0")
    assert len(packs_of(repository)) == 1
    assert git_text(repository.path, "fsck", "--strict", "--full") == ""


def test_an_index_of_several_packs_goes_with_them(repository):
    """A steward's multi-pack index would name packs that are gone: git then finds fault with the repository."""
    for number in range(MAX_PACKS + 1):
        update(repository, number)
    put_packs_together(repository.path, "1.0.0")
    git(repository.path, "multi-pack-index", "write")
    put_packs_together(repository.path, "1.1.0")
    assert git_text(repository.path, "fsck", "--strict", "--full") == ""
    git(repository.path, "multi-pack-index", "write")
    put_packs_together(repository.path, "1.2.0")
    assert (repository.path / "objects" / "pack" / "multi-pack-index").exists()


def test_a_pack_to_keep_is_kept(repository):
    """A steward's `.keep` is heeded, as git does."""
    update(repository, 0)
    (kept,) = packs_of(repository)
    (repository.path / "objects" / "pack" / f"{kept}.keep").touch()
    for number in range(1, MAX_PACKS + 3):
        update(repository, number)
    put_packs_together(repository.path, "1.0.0")
    assert kept in listed(repository)
    assert len(listed(repository)) == 2


def test_releases_put_packs_together(tmp_path):
    """Twelve small releases: no repository has many packs, and each is sound and whole."""
    keys = ["Rat/a"]
    for number in range(12):
        keys.append(f"Rat/{number}")
        publish(tmp_path / "store", f"{number + 1}.0.0", snapshot_of(*keys))
    repository = repository_of(tmp_path / "store", "rat")
    assert len(listed(Repository(repository))) <= MAX_PACKS
    assert git_text(repository, "fsck", "--strict", "--full") == ""
    assert git_text(repository, "rev-list", "--count", "main") == "12"
