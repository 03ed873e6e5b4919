"""Digests of files on this machine: the one way in which this package reads a local file to learn what it holds.

hashlib lets other threads run while it works on a large buffer, so that threads use all cores; one file cannot be
split, since each block's digest needs the one before.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.model import SourceError
from opendata_pkg.parallel import count_cores, map_unordered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

DEFAULT_JOBS = max(2, count_cores())

# Large enough for few calls, small enough to stay in a core's own cache between the kernel's copy and the hash.
_BUFFER_BYTES = 512 * 1024
# Files below this are handed to threads many at a time: handing over costs as much as hashing one.
_SMALL_BYTES = 1024 * 1024
_BATCH_BYTES = 8 * _SMALL_BYTES
_BATCH_FILES = 64
# How often progress is told: at every block, telling would take a part of the time.
_TOLD_BYTES = 16 * _BUFFER_BYTES

_own = threading.local()


class NotARegularFileError(SourceError):
    """A folder, pipe, socket or device stands where a file was expected; `kind` says which."""

    def __init__(self, path: Path | str, mode: int) -> None:
        self.kind = kind_of(mode)
        super().__init__(f"expected a file at {path}, got a {self.kind}: nothing was read of it")


class ChangedWhileReadError(SourceError):
    """A file was written to while it was read: what was read is neither its old nor its new content."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} changed while it was read: run again when nothing writes to it")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """What a file held when it was read: its digests in hex by hashlib's names, size in bytes, mtime in ns (UTC)."""

    size_bytes: int
    mtime_ns: int
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRequest:
    """A file to read. `size_bytes` is for the order of work alone; `algorithms` are names of hashlib."""

    path: Path
    size_bytes: int
    algorithms: tuple[str, ...] = ("sha256",)


Outcome = FileDigest | OSError | NotARegularFileError | ChangedWhileReadError
"""What came of a request: the digests, or why there are none."""


def kind_of(mode: int) -> str:
    """What stands at a path, by `st_mode`, in words."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def digest_file(
    path: Path, algorithms: Sequence[str] = ("sha256",), *, on_bytes: Callable[[int], None] | None = None
) -> FileDigest:
    """Read one file once and return its digests; links are followed. `on_bytes` is told how many more were read.

    Raises:
        OSError: it is not there, or cannot be read.
        NotARegularFileError: it is no file; a pipe is not waited for.
        ChangedWhileReadError: something wrote to it meanwhile.
    """
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise NotARegularFileError(path, before.st_mode)
        if before.st_size > _SMALL_BYTES and hasattr(os, "posix_fadvise"):
            # The kernel then reads further ahead, which matters on disks and network file systems.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        buffer = _buffer()
        read_bytes = told_bytes = 0
        while count := os.readv(handle, [buffer]):
            block = buffer[:count]
            for digest in hashes.values():
                digest.update(block)
            read_bytes += count
            if on_bytes is not None and read_bytes - told_bytes >= _TOLD_BYTES:
                on_bytes(read_bytes - told_bytes)
                told_bytes = read_bytes
        if on_bytes is not None:
            on_bytes(read_bytes - told_bytes)
        after = os.fstat(handle)
    finally:
        os.close(handle)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or read_bytes != after.st_size:
        raise ChangedWhileReadError(path)
    digests = {name: digest.hexdigest() for name, digest in hashes.items()}
    return FileDigest(size_bytes=read_bytes, mtime_ns=after.st_mtime_ns, digests=digests)


def digest_files(
    requests: Sequence[DigestRequest], *, jobs: int = DEFAULT_JOBS, on_bytes: Callable[[int], None] | None = None
) -> Iterator[tuple[DigestRequest, Outcome]]:
    """Read files, `jobs` at a time, and yield what came of each as it becomes ready; none stops the others.

    The largest come first, so that no core waits at the end while another reads one. `on_bytes` is called from threads.
    """

    def work(batch: Sequence[DigestRequest]) -> list[tuple[DigestRequest, Outcome]]:
        return [(request, _try(request, on_bytes)) for request in batch]

    with closing(map_unordered(work, _batches(requests), jobs=jobs)) as done:
        for _, outcomes in done:
            yield from outcomes


def _try(request: DigestRequest, on_bytes: Callable[[int], None] | None) -> Outcome:
    try:
        return digest_file(request.path, request.algorithms, on_bytes=on_bytes)
    except (OSError, NotARegularFileError, ChangedWhileReadError) as error:
        return error


def _batches(requests: Sequence[DigestRequest]) -> Iterator[list[DigestRequest]]:
    batch: list[DigestRequest] = []
    waiting_bytes = 0
    for request in sorted(requests, key=lambda request: -request.size_bytes):
        batch.append(request)
        waiting_bytes += request.size_bytes
        if request.size_bytes >= _SMALL_BYTES or waiting_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, waiting_bytes = [], 0
    if batch:
        yield batch


def _buffer() -> memoryview:
    """This thread's buffer: one allocation for all the files that it reads."""
    found: memoryview | None = getattr(_own, "buffer", None)
    if found is None:
        found = _own.buffer = memoryview(bytearray(_BUFFER_BYTES))
    return found
