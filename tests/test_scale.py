"""More objects, deeper folders and longer names than sense: they work like others."""

import hashlib

import pyarrow as pa
import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.snapshot.rows import SCHEMA
from opendata_pkg.snapshot.snapshot import Snapshot
from tests.core_support import DAY_ZERO, catalogue_of, git, git_text, repository_of, snapshot_of

# S3 keys have at most 1024 bytes.
DEEP = [f"{'/'.join(f'{number % 7}-level-{level:02d}' for level in range(60))}/{number}.swc" for number in range(500)]
LONG = ["/".join(sign * 255 for sign in signs) for signs in ("abc", "abd", "b", "eeee")]


def snapshot_of_many(keys):
    """A snapshot of very many objects, all of different content."""
    rows = [
        (key, f"v{number}", 1000, None, hashlib.sha256(key.encode()).hexdigest(), None, DAY_ZERO, None)
        for number, key in enumerate(keys)
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return Snapshot.create(pa.table(arrays, schema=SCHEMA), snapshot_of().header)


def check(store, keys, **options):
    """Release objects of these keys: git finds each at its path, and no fault."""
    build(snapshot_of_many(keys), catalogue_of("branches: {}\n"), store, **options)
    release("1.0.0", store)
    repository = repository_of(store)
    listing = git(repository, "ls-tree", "-r", "-z", "--full-tree", "main").split(b"\0")
    links = {line.split(b"\t", 1)[1].decode() for line in listing if line.startswith(b"120000")}
    assert links == set(keys)
    assert git_text(repository, "fsck", "--strict", "--full") == ""
    return repository


def test_sixty_levels_and_names_of_255_bytes(tmp_path):
    """Nothing is renamed, everything is there."""
    check(tmp_path, DEEP + LONG)


@pytest.mark.slow
def test_three_hundred_thousand_in_one_folder(tmp_path):
    """One folder, one tree object of over ten megabytes, by two processes; then one file more."""
    keys = [f"flat/{number:06d}.swc" for number in range(300_000)]
    repository = check(tmp_path, keys, jobs=2)
    size = int(git_text(repository, "cat-file", "-s", "main:flat"))
    assert size > 10_000_000
    build(snapshot_of_many([*keys, "flat/one-more.swc"]), catalogue_of("branches: {}\n"), tmp_path)
    release("2.0.0", tmp_path)
    assert git_text(repository, "diff-tree", "-r", "--name-only", "main^", "main", "--", "flat") == "flat/one-more.swc"
