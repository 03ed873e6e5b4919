"""Packs read from Python: what git wrote and what we wrote, and what is left to git."""

import os
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.git.deflate import deflate
from opendata_pkg.git.objects import object_id
from opendata_pkg.git.packs import Packs
from opendata_pkg.git.repository import BrokenRepositoryError, Repository
from tests.core_support import git


@pytest.fixture
def repository(tmp_path):
    """An empty repository of ours."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def write(repository, bodies):
    """One pack of these blobs; returns their ids."""
    with repository.writer() as writer:
        return list(writer.add_all(b"blob", bodies))


def read_whole(repository, ids):
    """What stands whole in packs of these objects, and None for others."""
    packs = Packs(repository.path / "objects" / "pack")
    found = list(map(packs.read, ids))
    packs.close()
    return found


def alike(count):
    """Blobs that git makes deltas of."""
    text = b"".join(b"%d: a line of a long text\n" % number for number in range(200))
    return [text + b"%d\n" % number for number in range(count)]


@settings(max_examples=30)
@given(bodies=st.lists(st.one_of(st.binary(max_size=3000), st.binary(max_size=9).map(lambda part: part * 5000))))
def test_what_was_written_is_read(tmp_path_factory, bodies):
    """Bodies of any length, packed well or badly."""
    repository = Repository(tmp_path_factory.mktemp("packs") / "r.git")
    repository.create()
    assert read_whole(repository, write(repository, bodies)) == bodies


def test_git_reads_what_is_not_whole(repository):
    """After `git gc` most are deltas: in whatever order they are asked for, all are as they were."""
    bodies = [*alike(300), *(os.urandom(50) for _ in range(300))]
    ids = write(repository, bodies)
    ours = list((repository.path / "objects" / "pack").iterdir())
    everything = "".join(f"{raw_id.hex()}\n" for raw_id in ids)
    git(repository.path, "pack-objects", "-q", "--no-reuse-object", "objects/pack/pack", data=everything.encode())
    for file in ours:
        file.unlink()
    found = read_whole(repository, ids)
    assert {body for body in found if body is not None} < set(bodies)
    assert None in found
    order = random.Random(1).sample(range(len(ids)), len(ids))
    with repository.reader() as reader:
        assert list(reader.read([ids[number] for number in order])) == [bodies[number] for number in order]


def test_git_reads_loose_and_borrowed_objects(repository, tmp_path):
    """Files of their own, and objects of another repository that this one names as its alternate."""
    loose = bytes.fromhex(repository.write_loose(b"blob", b"loose"))
    other = Repository(tmp_path / "other.git")
    other.create()
    (borrowed,) = write(other, [b"borrowed"])
    (repository.path / "objects" / "info" / "alternates").write_text(f"{other.path}/objects\n")
    (own,) = write(repository, [b"own"])
    with repository.reader() as reader:
        assert list(reader.read([borrowed, own, loose, own])) == [b"borrowed", b"own", b"loose", b"own"]


def test_other_compressors(repository):
    """Blobs that were stored as they are, or packed as small as it goes."""
    bodies = [os.urandom(100_000), b"x" * 100_000, b""]
    with repository.writer() as writer:
        ids = list(writer.add_all(b"blob", bodies[:1], lambda body: zlib.compress(body, 0)))
        ids += writer.add_all(b"blob", bodies[1:], lambda body: zlib.compress(body, 9))
    assert read_whole(repository, ids) == bodies


def test_a_pack_that_git_wrote(repository):
    """Commits and trees, too, of several packs."""
    ids = []
    for number in range(3):
        blob = git(repository.path, "hash-object", "-w", "--stdin", data=b"%d" % number).decode().strip()
        tree = git(repository.path, "mktree", data=f"100644 blob {blob}\tf\n".encode()).decode().strip()
        ids += [blob, tree]
        git(repository.path, "pack-objects", "-q", "objects/pack/pack", data=f"{blob}\n{tree}\n".encode())
    git(repository.path, "prune-packed")
    found = read_whole(repository, map(bytes.fromhex, ids))
    assert found[::2] == [b"0", b"1", b"2"]
    assert found[1::2] == [b"100644 f\0" + bytes.fromhex(blob) for blob in ids[::2]]


def test_another_copy_is_as_good(repository):
    """Of an object in two packs, of which one is damaged, the other is read."""
    folder = repository.path / "objects" / "pack"
    (raw_id,) = write(repository, [b"body"])
    (pack,) = folder.glob("*.pack")
    damaged, index = pack.read_bytes()[:-25] + bytes(25), pack.with_suffix(".idx").read_bytes()
    (folder / "pack-0.pack").write_bytes(damaged)
    (folder / "pack-0.idx").write_bytes(index)
    assert read_whole(repository, [raw_id]) == [b"body"]


def test_an_object_is_what_its_id_says(repository):
    """Other bytes in its place, though they are a whole object, are not taken for it."""
    (first, second) = write(repository, [b"first", b"other"])
    (pack,) = (repository.path / "objects" / "pack").glob("*.pack")
    data, one, two = pack.read_bytes(), deflate(b"first"), deflate(b"other")
    pack.chmod(0o644)
    pack.write_bytes(data.replace(one, two))
    assert read_whole(repository, [first, second]) == [None, b"other"]


def test_damage_is_a_sentence(repository):
    """Bytes that went bad are told with the object's name."""
    (raw_id,) = write(repository, [os.urandom(5000)])
    (pack,) = (repository.path / "objects" / "pack").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[2000:2100] = bytes(100)
    pack.chmod(0o644)
    pack.write_bytes(data)
    with repository.reader() as reader, pytest.raises(BrokenRepositoryError, match=f"lacks the object {raw_id.hex()}"):
        list(reader.read([raw_id]))


@pytest.mark.parametrize("suffix", [".pack", ".idx"])
@pytest.mark.parametrize("length", [0, 11, 600])
def test_a_file_that_was_cut(repository, suffix, length):
    """Half a pack or half an index is passed over; what else is there is read."""
    lost = write(repository, [b"lost"])
    (path,) = (repository.path / "objects" / "pack").glob("*.pack")
    kept = write(repository, [b"kept"])
    path.chmod(0o644)
    path.with_suffix(".idx").chmod(0o644)
    os.truncate(path.with_suffix(suffix), min(length, path.with_suffix(suffix).stat().st_size - 30))
    assert read_whole(repository, kept + lost) == [b"kept", None]


def test_nothing_is_read_of_what_is_not_there(repository):
    """No pack, and no such object."""
    assert read_whole(repository, [object_id(b"blob", b"x")]) == [None]
    write(repository, [b"y"])
    assert read_whole(repository, [object_id(b"blob", b"x")]) == [None]
