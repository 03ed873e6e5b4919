"""What the file cache holds, and making room in it, also while others use it."""

from __future__ import annotations

import fcntl
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.cache.cache import FILES, PARTS, STAMPS
from opendata_pkg.digests.stamps import StampLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.cache.cache import FileCache

_DAY_S = 86_400
_OURS = (FILES, PARTS, STAMPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSum:
    """What is there of one snapshot; `snapshot` are the first digits of its id."""

    snapshot: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSum:
    """What a cache holds. `size_bytes` counts content once that several names share, unlike the sums by snapshot.

    `parts` are unfinished downloads. `other` is the rest of the folder, by name.
    """

    folder: Path
    files: int
    size_bytes: int
    snapshots: tuple[SnapshotSum, ...]
    parts: int
    part_bytes: int
    other: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What was removed (or would be), and what is left."""

    removed: int
    removed_parts: int
    freed_bytes: int
    kept: int
    kept_bytes: int


@dataclass(frozen=True, slots=True)
class _Content:
    """One file on disk with all its names in the cache, and when it was last read or written, as far as is known.

    File systems note readings at most once a day, or never.
    """

    names: tuple[str, ...]
    size_bytes: int
    used_s: float


def sum_up(cache: FileCache) -> CacheSum:
    """Count what is in a cache; files that vanish meanwhile are left out."""
    folder = cache.folder
    snapshots: dict[str, list[int]] = {}
    contents: dict[tuple[int, int], int] = {}
    count = 0
    for name, state in _walk(folder / FILES):
        sums = snapshots.setdefault(name.split("/", 1)[0], [0, 0])
        sums[0] += 1
        sums[1] += state.st_size
        contents[state.st_dev, state.st_ino] = state.st_size
        count += 1
    parts = [state.st_size for _, state in _walk(folder / PARTS)]
    others = sorted((entry for entry in _listed(folder) if entry.name not in _OURS), key=lambda entry: entry.name)
    return CacheSum(
        folder=folder,
        files=count,
        size_bytes=sum(contents.values()),
        snapshots=tuple(
            SnapshotSum(snapshot=name, files=sums[0], size_bytes=sums[1]) for name, sums in sorted(snapshots.items())
        ),
        parts=len(parts),
        part_bytes=sum(parts),
        other={entry.name: _size_of(entry) for entry in others},
    )


def prune(
    cache: FileCache,
    *,
    older_than_days: float | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
) -> PruneResult:
    """Remove files that were not used for so many days, then the longest unused until at most `max_bytes` are left.

    Unfinished downloads that nobody is at go as well (with `older_than_days`, only those as old), and so do stamps of
    files that are gone. What only has a copy or link elsewhere stays there. OSError as the system says.
    """
    oldest_s = None if older_than_days is None else time.time() - older_than_days * _DAY_S
    contents = sorted(_contents(cache.folder / FILES), key=lambda content: content.used_s)
    doomed = _doomed(contents, oldest_s, max_bytes)
    parts = [
        (cache.folder / PARTS / name, state.st_size)
        for name, state in _walk(cache.folder / PARTS)
        if oldest_s is None or state.st_mtime < oldest_s
    ]
    if not dry_run:
        for content in doomed:
            for name in content.names:
                (cache.folder / FILES / name).unlink(missing_ok=True)
        parts = [(path, size_bytes) for path, size_bytes in parts if _remove_unused(path)]
        _tidy(cache)
    removed, size_bytes = sum(len(content.names) for content in doomed), sum(content.size_bytes for content in doomed)
    return PruneResult(
        removed=removed,
        removed_parts=len(parts),
        freed_bytes=size_bytes + sum(size for _, size in parts),
        kept=sum(len(content.names) for content in contents) - removed,
        kept_bytes=sum(content.size_bytes for content in contents) - size_bytes,
    )


def _doomed(contents: list[_Content], oldest_s: float | None, max_bytes: int | None) -> list[_Content]:
    """Which to remove, of contents sorted by their last use."""
    doomed = []
    left_bytes = sum(content.size_bytes for content in contents)
    for content in contents:
        is_old = oldest_s is not None and content.used_s < oldest_s
        if is_old or (max_bytes is not None and left_bytes > max_bytes):
            doomed.append(content)
            left_bytes -= content.size_bytes
    return doomed


def _contents(folder: Path) -> Iterator[_Content]:
    names: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    states: dict[tuple[int, int], os.stat_result] = {}
    for name, state in _walk(folder):
        names[state.st_dev, state.st_ino].append(name)
        states[state.st_dev, state.st_ino] = state
    for inode, state in states.items():
        yield _Content(tuple(names[inode]), state.st_size, max(state.st_atime, state.st_mtime))


def _remove_unused(part: Path) -> bool:
    """Remove a part unless somebody is filling it."""
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _tidy(cache: FileCache) -> None:
    """Drop stamps of files that are gone, and empty folders."""
    files = cache.folder / FILES
    for path in (cache.folder / STAMPS).glob("*.log"):
        log = StampLog(path)
        log.rewrite([name for name, _ in log.items() if (files / path.stem / name).exists()])
    for folder, _, _ in os.walk(files, topdown=False):
        # One that is not empty refuses, also if somebody has just put a file there.
        with suppress(OSError):
            Path(folder).rmdir()


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file below a folder: its path relative to it, and its state."""
    for entry in _listed(folder):
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield prefix + entry.name, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size_of(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return sum(state.st_size for _, state in _walk(Path(entry.path)))
    return entry.stat(follow_symlinks=False).st_size
