"""Packs written straight from Python, judged by git."""

import hashlib
import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.git.objects import FILE, Commit, TreeEntry, object_id, write_tree
from opendata_pkg.git.pack import PackWriter
from opendata_pkg.git.packs import Packs
from opendata_pkg.git.repository import Repository
from tests.core_support import git, git_text


class _StopError(Exception):
    """Stands for whatever may happen halfway."""


@pytest.fixture
def repository(tmp_path):
    """An empty repository of ours."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def packs_of(repository):
    """The names of all files in the pack folder."""
    return sorted(path.name for path in (repository.path / "objects" / "pack").iterdir())


def read_all(repository, ids):
    """Kind and body of objects by 20-byte id, as one `git cat-file --batch` gives them."""
    data = git(repository.path, "cat-file", "--batch", data="".join(f"{raw_id.hex()}\n" for raw_id in ids).encode())
    found = {}
    for raw_id in ids:
        head, _, data = data.partition(b"\n")
        name, kind, size = head.split()
        assert name.decode() == raw_id.hex()
        found[raw_id] = (kind, data[: int(size)])
        data = data[int(size) + 1 :]
    return found


BODY = st.one_of(
    st.binary(max_size=40),
    # Around the length where another compressor sets in, and where the length takes one more byte.
    st.sampled_from([0, 15, 16, 511, 512, 513, 2047, 2048, 40_000, 300_000]).flatmap(
        lambda size: st.sampled_from([b"\0", b"ab", os.urandom(64)]).map(
            lambda part: (part * (size // len(part) + 1))[:size]
        )
    ),
)


@settings(max_examples=20)
@given(st.lists(BODY, min_size=1, max_size=30))
def test_git_reads_what_was_written(tmp_path_factory, bodies):
    """Every object comes back identical, the index verifies, and the repository has no fault."""
    repository = Repository(tmp_path_factory.mktemp("pack") / "r.git")
    repository.create()
    with repository.writer() as writer:
        wanted = {writer.add(b"blob", body): (b"blob", body) for body in bodies}
        tree = write_tree(writer, [TreeEntry(raw_id.hex().encode(), FILE, raw_id) for raw_id in sorted(wanted)])
        commit = Commit(tree=tree, parents=(), time=1, message="m").body()
        wanted[writer.add(b"commit", commit)] = (b"commit", commit)
    assert read_all(repository, list(wanted)) == wanted
    assert all(object_id(kind, body) == raw_id for raw_id, (kind, body) in wanted.items())
    (index,) = (repository.path / "objects" / "pack").glob("*.idx")
    git(repository.path, "index-pack", "--verify", index.with_suffix(".pack"))
    assert git_text(repository.path, "fsck", "--strict", "--full", "--no-dangling") == ""


def test_git_would_index_it_the_same_way(repository, tmp_path):
    """`git index-pack` of our pack makes our index, byte for byte."""
    with repository.writer() as writer:
        for number in range(700):
            writer.add(b"blob", b"%d" % number)
    (ours,) = (repository.path / "objects" / "pack").glob("*.idx")
    git(repository.path, "index-pack", "--index-version=2", "-o", tmp_path / "git.idx", ours.with_suffix(".pack"))
    assert ours.read_bytes() == (tmp_path / "git.idx").read_bytes()


def test_the_pack_is_named_by_its_checksum(repository):
    """As git names packs today, so that two writers of the same objects meet in one file; and nobody may write to it."""
    with repository.writer() as writer:
        writer.add(b"blob", b"x")
    index, pack = packs_of(repository)
    data = (repository.path / "objects" / "pack" / pack).read_bytes()
    assert pack == f"pack-{data[-20:].hex()}.pack"
    assert hashlib.sha1(data[:-20], usedforsecurity=False).digest() == data[-20:]
    modes = {(repository.path / "objects" / "pack" / name).stat().st_mode & 0o777 for name in (index, pack)}
    assert modes == {0o444}


def test_objects_that_are_there_are_not_written_again(repository):
    """Neither those of the same pack, nor of an older one, nor of one that `git gc` made; new ones are."""
    with repository.writer() as writer:
        ids = [writer.add(b"blob", b"%d" % number) for number in range(300)]
        assert [writer.add(b"blob", b"%d" % number) for number in range(300)] == ids
        tree = write_tree(writer, [TreeEntry(b"%03d" % n, FILE, raw_id) for n, raw_id in enumerate(ids)])
        commit = writer.add(b"commit", Commit(tree=tree, parents=(), time=1, message="m").body())
    repository.update_refs({"refs/heads/main": commit.hex()})
    git(repository.path, "gc", "--quiet")
    before = packs_of(repository)
    with repository.writer() as writer:
        assert [writer.add(b"blob", b"%d" % number) for number in range(300)] == ids
    assert packs_of(repository) == before
    with repository.writer() as writer:
        for number in range(290, 310):
            writer.add(b"blob", b"%d" % number)
    (new,) = {name for name in packs_of(repository) if name.endswith(".idx")} - set(before)
    listed = git(repository.path, "show-index", data=(repository.path / "objects" / "pack" / new).read_bytes())
    assert len(listed.splitlines()) == 10


def test_an_empty_pack_is_none(repository):
    """Nothing added, nothing written."""
    with repository.writer():
        pass
    assert packs_of(repository) == []


def test_an_error_leaves_nothing(repository):
    """No pack, no index, no temporary file."""
    with pytest.raises(_StopError):
        _fail_halfway(repository)
    assert packs_of(repository) == []


def _fail_halfway(repository):
    with repository.writer() as writer:
        writer.add(b"blob", b"x" * 1000)
        raise _StopError


def test_a_full_disk_leaves_nothing(repository):
    """Nor does a disk that takes no more bytes, not even those that were waiting to be written."""
    script = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from opendata_pkg.git.pack import PackWriter\n"
        # Python ignores SIGXFSZ: a write past the limit fails as on a full disk.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "with PackWriter(Path(sys.argv[1])) as writer:\n"
        "    for _ in range(64):\n"
        "        writer.add(b'blob', os.urandom(1 << 16))\n"
    )
    folder = repository.path / "objects" / "pack"
    done = subprocess.run([sys.executable, "-c", script, folder], check=False, capture_output=True, text=True)
    assert "OSError: [Errno 27]" in done.stderr
    assert packs_of(repository) == []


def test_an_object_is_seen_only_when_the_pack_is_whole(repository):
    """While the block runs, other readers of the repository see nothing of it."""
    with repository.writer() as writer:
        raw_id = writer.add(b"blob", b"x")
        assert raw_id not in Packs(repository.path / "objects" / "pack")
        assert all(name.startswith("tmp_pack_") for name in packs_of(repository))
    ids = Packs(repository.path / "objects" / "pack")
    assert raw_id in ids
    assert object_id(b"blob", b"y") not in ids
    ids.close()


def test_first_bytes_at_both_ends(repository):
    """Ids that begin with 00 and ff are found again, and their neighbours are not."""
    bodies = {}
    for number in range(5000):
        bodies.setdefault(object_id(b"blob", b"%d" % number)[0], b"%d" % number)
    ends = [bodies[0], bodies[255]]
    with repository.writer() as writer:
        ids = [writer.add(b"blob", body) for body in ends]
    known = Packs(repository.path / "objects" / "pack")
    assert all(raw_id in known for raw_id in ids)
    assert object_id(b"blob", bodies[1]) not in known
    assert b"\0" * 20 not in known
    assert b"\xff" * 20 not in known
    known.close()


def test_a_broken_index_is_passed_over(repository):
    """An index of another version says nothing; its objects are written again, which does no harm."""
    folder = repository.path / "objects" / "pack"
    (folder / "pack-old.idx").write_bytes(struct.pack(">256L", *[0] * 256))
    ids = Packs(folder)
    assert object_id(b"blob", b"x") not in ids
    ids.close()


def test_offsets_beyond_two_gigabytes(repository):
    """Of objects that lie so far back in a pack, git reads the offset that was meant."""
    offsets = [12, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF, 0x1_0000_0000, 1 << 45]
    with PackWriter(repository.path / "objects" / "pack") as writer:
        wanted = {object_id(b"blob", b"%d" % offset): (offset & 0xFFFF_FFFF, offset) for offset in offsets}
        for raw_id, (checksum, offset) in wanted.items():
            writer._entries[raw_id] = offset << 32 | checksum
        index = writer._index(b"\0" * 20)
        writer._entries.clear()
    lines = git(repository.path, "show-index", data=index).decode().splitlines()
    found = {
        bytes.fromhex(name): (int(crc.strip("()"), 16), int(offset)) for offset, name, crc in map(str.split, lines)
    }
    assert found == wanted
    assert packs_of(repository) == []
