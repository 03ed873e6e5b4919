"""The checksum cache."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from opendata_pkg.digests.checksums import FILE_NAME, BrokenCacheError, Checksum, ChecksumCache, cache_folder
from opendata_pkg.model import ETag, Md5, ObjectKey, S3Object, Sha256, SourceError, VersionId

BASE = "https://b.s3.us-east-1.amazonaws.com/"
TARGET = S3Object(key=ObjectKey("a"), size_bytes=3, etag=ETag("e"))
FOUND = Checksum(sha256=Sha256("a1" * 32), size_bytes=3)


def test_what_was_put_is_got_by_a_later_run(tmp_path):
    """Across closing and opening."""
    with ChecksumCache.open(tmp_path) as cache:
        cache.put(BASE, TARGET, FOUND)
    with ChecksumCache.open(tmp_path) as cache:
        assert cache.get(BASE, TARGET) == FOUND
        assert cache.get(BASE, replace(TARGET, size_bytes=None)) == FOUND


@pytest.mark.parametrize(
    "other",
    [
        replace(TARGET, key=ObjectKey("b")),
        replace(TARGET, etag=ETag("f")),
        replace(TARGET, etag=None),
        replace(TARGET, size_bytes=4),
        replace(TARGET, version_id=VersionId("v1")),
        replace(TARGET, md5=Md5("0" * 32)),
    ],
)
def test_another_object_or_state_is_not_known(tmp_path, other):
    """Key, version or ETag, size and a known MD5 must all be the same."""
    with ChecksumCache.open(tmp_path) as cache:
        cache.put(BASE, TARGET, FOUND)
        assert cache.get(BASE, other) is None
        assert cache.get("https://elsewhere.example.org/", TARGET) is None


def test_a_checked_md5_is_remembered(tmp_path):
    """What was read with an MD5 to compare need not be read again for it."""
    known = replace(TARGET, md5=Md5("b2" * 16))
    with ChecksumCache.open(tmp_path) as cache:
        cache.put(BASE, known, replace(FOUND, md5=known.md5))
        assert cache.get(BASE, known) == replace(FOUND, md5=known.md5)
        assert cache.get(BASE, TARGET) is not None


def test_a_real_version_is_the_state_and_a_null_one_is_not(tmp_path):
    """The ETag does not matter where there is a version; `null` can be overwritten."""
    versioned = replace(TARGET, version_id=VersionId("v1"))
    overwritable = replace(TARGET, version_id=VersionId("null"))
    with ChecksumCache.open(tmp_path) as cache:
        cache.put(BASE, versioned, FOUND)
        assert cache.get(BASE, replace(versioned, etag=None)) == FOUND
        assert cache.get(BASE, overwritable) is None
        cache.put(BASE, overwritable, FOUND)
        assert cache.get(BASE, TARGET) == FOUND


def test_objects_without_version_or_etag_are_not_kept(tmp_path):
    """Nothing would tell when they change."""
    unknown = replace(TARGET, etag=None)
    with ChecksumCache.open(tmp_path) as cache:
        cache.put(BASE, unknown, FOUND)
        assert cache.get(BASE, unknown) is None


def _fill(folder, number):
    with ChecksumCache.open(folder) as cache:
        for index in range(200):
            cache.put(BASE, replace(TARGET, key=ObjectKey(f"{number}/{index}")), FOUND)
    os._exit(0)


def test_several_processes_may_fill_it_at_once(tmp_path):
    """None waits in vain, and nothing is lost; even the making of the file is shared."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    with ChecksumCache.open(tmp_path) as cache:
        keys = [ObjectKey(f"{number}/{index}") for number in range(4) for index in range(200)]
        assert all(cache.get(BASE, replace(TARGET, key=key)) == FOUND for key in keys)


def test_a_file_that_is_no_cache_is_told(tmp_path):
    """With the remedy."""
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 100)
    with (
        pytest.raises(BrokenCacheError, match=r"no checksum cache or damaged .*: delete it"),
        ChecksumCache.open(tmp_path),
    ):
        pass


def test_a_newer_cache_is_left_alone(tmp_path):
    """An old program does not write into a new format."""
    with ChecksumCache.open(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(BrokenCacheError, match="format version 2"), ChecksumCache.open(tmp_path):
        pass


def test_a_place_that_cannot_hold_it_is_named(tmp_path):
    """A folder where the file should be."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(SourceError, match="cannot use the checksum cache"), ChecksumCache.open(tmp_path):
        pass


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path, home):
    """`OPENDATA_CACHE`, else the platform's cache folder of this user."""
    monkeypatch.setenv("OPENDATA_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("OPENDATA_CACHE", "~/there")
    assert cache_folder() == Path("~/there").expanduser()
    monkeypatch.delenv("OPENDATA_CACHE")
    assert cache_folder() == home / "cache" / "opendata"
