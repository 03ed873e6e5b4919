"""Writing files so that a reader sees the old or the new one, never a part."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Published files are for everybody to read, whatever the umask of who wrote them; tempfile makes them private.
_PUBLIC = 0o644
_SYNCS_AT_ONCE = 16


def at_home(path: str | Path) -> str:
    """A path as it was given, but with the home folder for a leading `~/`, as a shell has it where it looks."""
    text = os.fspath(path)
    # Not `~name`: that may as well be a file's name.
    return os.path.expanduser(text) if text == "~" or text.startswith("~/") else text  # noqa: PTH111 - fails for nobody


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A binary file that takes `path`'s place when the block ends well, and vanishes otherwise.

    The bytes are on disk before the name is (fsync, then rename), so that a crash leaves the old file. Without `sync`,
    nothing must depend on the file before `sync_all` has brought it to disk, together with many others.
    """
    temporary, handle = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield cast("BinaryIO", stream)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        temporary.chmod(_PUBLIC)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> tuple[Path, int]:
    """An empty file that is to take a path's place, and its descriptor."""
    import tempfile  # noqa: PLC0415 - readers write few files, and many of their processes none

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    return Path(name), handle


def replace_all(contents: Mapping[Path, bytes]) -> None:
    """Write whole files as `write_bytes` does, in the order given; before the first is seen, all are on disk."""
    temporaries: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            temporary, handle = _temporary(path)
            temporaries[path] = temporary
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            temporary.chmod(_PUBLIC)
        sync_all(temporaries.values())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    except BaseException:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a whole file atomically; `sync` as in `replacing`."""
    with replacing(path, sync=sync) as stream:
        stream.write(data)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a whole UTF-8 file atomically, line ends as they are; `sync` as in `replacing`."""
    write_bytes(path, text.encode(), sync=sync)


def sync_all(paths: Iterable[Path]) -> None:
    """Bring files to disk, many at a time: a disk then writes them together, where each would wait its turn."""
    # Its import takes as long as all else of this module; readers write few files.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(sync_file, paths):
            pass


def sync_file(path: Path) -> None:
    """Bring a file to disk, whichever process has written it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_open(path: Path, *, mode: int = 0o644) -> Iterator[int]:
    """A descriptor of `path` to read and write that no other process holds; waits for those that do.

    The file and the folders above it are made if there are none.

    While waiting, the file may have been renamed or removed by who held it: then what has its name now is locked. A
    file system that knows no locks does without.
    """
    descriptor, _ = open_locked(os.fspath(path), mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_locked(name: str, mode: int = 0o644) -> tuple[int, os.stat_result]:
    """`lock_open` for many files: the descriptor, which is the caller's to close, and the state of its file."""
    while True:
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        except FileNotFoundError:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            state = os.fstat(descriptor)
            is_named = _is_named(state, name)
        except BaseException:
            os.close(descriptor)
            raise
        if is_named:
            return descriptor, state
        os.close(descriptor)


def _is_named(state: os.stat_result, name: str) -> bool:
    try:
        there = os.stat(name)  # noqa: PTH116 - called for each of many files
    except FileNotFoundError:
        return False
    return os.path.samestat(state, there)
