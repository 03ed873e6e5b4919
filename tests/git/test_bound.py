"""What a release binds of a repository's packs: byte for byte, and only if they are all that its commits need."""

import hashlib
import shutil

import pytest

from opendata_pkg.git.bound import bind_packs
from opendata_pkg.git.bound_packs import BoundFile, BoundPack
from opendata_pkg.git.objects import FILE, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import Repository
from opendata_pkg.git.upkeep import MAX_PACKS, put_packs_together
from tests.core_support import git

LIE = BoundPack(pack=BoundFile(size_bytes=1, sha256="0" * 64), index=BoundFile(size_bytes=2, sha256="1" * 64))
"""What no file on disk has: where it is handed on, nothing was read."""


@pytest.fixture
def repository(tmp_path):
    """A repository of ours with one commit of three files, in one pack."""
    found = Repository(tmp_path / "r.git")
    found.create()
    update(found, 0)
    return found


def update(repository, number):
    """One more commit, in a pack of its own; returns what the writer says of it."""
    parent = repository.refs().get("refs/heads/main")
    with repository.writer() as writer:
        entries = [TreeEntry(b"%04d" % n, FILE, writer.add(b"blob", b"%d %d" % (number, n))) for n in range(3)]
        parents = () if parent is None else (bytes.fromhex(parent),)
        tree = write_tree(writer, entries)
        commit = writer.add(b"commit", Commit(tree=tree, parents=parents, time=number, message="m").body())
    repository.update_refs({"refs/heads/main": hex_id(commit)})
    return {writer.written.name: writer.written.bound}


def bind(repository, before=None, written=None):
    """Bind the packs for what is in `main`."""
    commits = [repository.refs()["refs/heads/main"]]
    return bind_packs(repository.path, commits, before=before, written=written or {})


def on_disk(repository, names=None):
    """Every pack, or those named, as it is."""

    def digest(path):
        return BoundFile(size_bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    found = (repository.path / "objects" / "pack").glob("*.pack")
    return {
        path.stem: BoundPack(pack=digest(path), index=digest(path.with_suffix(".idx")))
        for path in found
        if names is None or path.stem in names
    }


def only_pack(repository):
    """The name of the only pack."""
    (name,) = on_disk(repository)
    return name


def test_a_writer_tells_what_it_wrote(repository):
    """Size and digest of the pack and of its index, as they are on disk; nothing where nothing was new."""
    first = on_disk(repository)
    written = update(repository, 1)
    assert written == {name: pack for name, pack in on_disk(repository).items() if name not in first}
    with repository.writer() as writer:
        writer.add(b"blob", b"1 1")
    assert writer.written is None


def test_what_is_known_is_not_read(repository):
    """What was bound before, and what the build has just written, is taken at its word."""
    first = only_pack(repository)
    assert bind(repository, before={}, written={first: LIE}) == {first: LIE}
    assert bind(repository, before={first: LIE}) == {first: LIE}
    written = update(repository, 1)
    assert bind(repository, before={first: LIE}, written=written) == {first: LIE, **written}


def test_what_is_not_known_is_read(repository):
    """A repository of which nothing was bound yet, and a pack that a killed build has left."""
    assert bind(repository) == on_disk(repository)
    first = only_pack(repository)
    update(repository, 1)
    assert bind(repository, before={first: LIE}) == on_disk(repository) | {first: LIE}


def test_packs_put_together(repository):
    """Only the one that has taken the place of the others is offered, and so bound."""
    before = on_disk(repository)
    for number in range(1, MAX_PACKS + 1):
        before |= update(repository, number)
    put_packs_together(repository.path, "1.0.0")
    (new,) = on_disk(repository).keys() - before.keys()
    assert bind(repository, before=before) == on_disk(repository, {new})


def test_packs_of_a_steward(repository):
    """What `git gc` made of the packs is bound anew, since it holds everything too."""
    before = on_disk(repository) | update(repository, 1)
    git(repository.path, "gc", "--quiet", "--prune=now")
    assert bind(repository, before=before) == on_disk(repository)
    assert on_disk(repository).keys() != before.keys()


def test_objects_in_files_of_their_own(repository):
    """A repository that was unpacked, in part or whole, is not bound: its packs do not hold everything."""
    before = on_disk(repository) | update(repository, 1)
    pack = repository.path / "objects" / "pack" / f"{min(before)}.pack"
    data = pack.read_bytes()
    for path in (pack.with_suffix(".idx"), pack):
        path.unlink()
    git(repository.path, "unpack-objects", "-q", data=data)
    git(repository.path, "fsck", "--strict")
    assert bind(repository, before=before) is None
    assert bind(repository) is None
    # What is written now says nothing of what was there before.
    written = update(repository, 2)
    assert bind(repository, written=written) is None


def test_objects_of_another_repository(repository, tmp_path):
    """One that borrows objects is not bound."""
    lender = tmp_path / "lender.git"
    shutil.copytree(repository.path, lender)
    (repository.path / "objects" / "info" / "alternates").write_text(f"{lender / 'objects'}\n")
    for path in (repository.path / "objects" / "pack").iterdir():
        path.unlink()
    assert git(repository.path, "rev-list", "--objects", "main")
    assert bind(repository, before=on_disk(Repository(lender))) is None


@pytest.mark.parametrize("suffix", [".pack", ".idx"])
def test_damage_is_not_bound(suffix, repository):
    """A byte of a pack or index that changed since it was written: nobody is told to take it without looking."""
    path = repository.path / "objects" / "pack" / f"{only_pack(repository)}{suffix}"
    data = bytearray(path.read_bytes())
    data[-30] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)
    assert bind(repository, before={}) is None
