"""Which kind of thing a word names, by the word alone: nothing is looked for."""

from __future__ import annotations

_LOCK_SUFFIX = ".lock"
_SNAPSHOT_SUFFIX = ".parquet"
# No branch begins so: what does is a path on this machine, whatever colons are in it.
_PATH_STARTS = ("/", "./", "../", "~/")


def is_bucket(word: str) -> bool:
    """Whether it is `s3://bucket/prefix`."""
    return word.startswith("s3://")


def is_snapshot(word: str) -> bool:
    """Whether it is a snapshot's file. `BRANCH:PATH` is a file of a dataset, whatever PATH ends in."""
    return word.endswith(_SNAPSHOT_SUFFIX) and _is_local(word)


def is_lock(word: str) -> bool:
    """Whether it is a lock's file; `BRANCH:PATH` is none."""
    return word.endswith(_LOCK_SUFFIX) and _is_local(word)


def is_of_store(word: str) -> bool:
    """Whether it names a dataset of a store, not a bucket or a snapshot's file."""
    return not is_bucket(word) and not is_snapshot(word)


def _is_local(word: str) -> bool:
    return not is_bucket(word) and (":" not in word or word.startswith(_PATH_STARTS))
