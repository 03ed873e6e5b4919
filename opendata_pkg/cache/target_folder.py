"""A folder that files are put into, and nothing outside of it: every step is taken from an open folder, never by path.

A folder on the way that is a symbolic link is not entered, wherever it leads, and files come whole under their names:
they are written in `.opendata.part/` and renamed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from opendata_pkg.model import InputError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK = ".opendata.lock"
PART = ".opendata.part"
_OPEN_MAX = 64
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# "ioctl_ficlone": Linux shares the blocks of two files until one of them is written to.
_FICLONE = 0x40049409
_BLOCK_BYTES = 1 << 20
_WRITE = 0o222
# Too long; a character that it has not (exFAT: `:`); not in its encoding.
_NAME_REFUSED = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


class BusyFolderError(SourceError):
    """Another process fills the folder."""


class NotPutError(InputError):
    """A file cannot be put at its place, which says nothing of the others; `place` is its path in the folder."""

    place: str


class NameRefusedError(NotPutError):
    """The folder's file system cannot hold the name."""

    def __init__(self, place: str, why: str) -> None:
        self.place = place
        super().__init__(
            f"{place!r} is a name that this file system refuses ({why}): bring it to a folder on another one"
        )


class InTheWayError(NotPutError):
    """Something stands where a file or folder should be put."""

    def __init__(self, place: str, what: str) -> None:
        self.place, self.what = place, what
        super().__init__(f"{place!r} is {what}: it was left alone; move it away and run the same command again")


class TargetFolder:
    """The folder, held open and locked against others that fill it. Paths in it are relative, with `/` between."""

    def __init__(self, path: Path, handle: int) -> None:
        """Take an open folder; `open` is how to come by one."""
        self.path = path
        self._top = handle
        self._open: OrderedDict[str, int] = OrderedDict()
        self._part: int | None = None
        self._number = 0
        # Handles of folders are closed when there are many: not while another thread is about to use one.
        self._opening = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[TargetFolder]:
        """The folder at `path`, made if it is not there, cleared of what a process that was killed left behind.

        Raises:
            BusyFolderError: another process has it.
            OSError: it cannot be made, or is no folder.
        """
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        folder = cls(path, handle)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(LOCK, flags, 0o666, dir_fd=handle), "r+b") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise BusyFolderError(
                        f"another opendata sync is filling {path}: wait until it has ended, then run this again"
                    ) from error
                folder._clear()
                try:
                    yield folder
                finally:
                    folder._clear()
        finally:
            folder._close()

    def _clear(self) -> None:
        """Take away half-written files."""
        with suppress(FileNotFoundError, InTheWayError):
            part = self._enter(PART)
            for name in os.listdir(part):  # noqa: PTH208 - a path would be looked up anew
                os.unlink(name, dir_fd=part)
            self._forget(PART)
            os.rmdir(PART, dir_fd=self._top)

    def _close(self) -> None:
        for handle in (*self._open.values(), *([] if self._part is None else [self._part]), self._top):
            os.close(handle)
        self._open.clear()

    def _forget(self, folder: str) -> None:
        if (handle := self._open.pop(folder, None)) is not None:
            os.close(handle)

    def _enter(self, folder: str, *, make: bool = False) -> int:
        """A handle of a folder in it, entered one step at a time.

        Raises:
            FileNotFoundError: there is none, and none is to be made.
            InTheWayError: a part of the path is a link or a file.
        """
        if not folder:
            return self._top
        if (known := self._open.get(folder)) is not None:
            self._open.move_to_end(folder)
            return known
        above, _, name = folder.rpartition("/")
        parent = self._enter(above, make=make)
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=parent)
        try:
            handle = os.open(name, _ENTER, dir_fd=parent)
        except OSError as error:
            found = _look(name, parent)
            if found is None or stat.S_ISDIR(found.st_mode):
                raise
            raise InTheWayError(folder, describe(found)) from error
        self._open[folder] = handle
        if len(self._open) > _OPEN_MAX:
            os.close(self._open.popitem(last=False)[1])
        return handle

    def look(self, place: str) -> os.stat_result | None:
        """What is at a place, links not followed; None if nothing is.

        Raises:
            InTheWayError: a folder on the way is a link or a file.
            NameRefusedError: there can be no such name.
        """
        above, _, name = place.rpartition("/")
        with _naming(place):
            try:
                return _look(name, self._enter(above))
            except FileNotFoundError:
                return None

    def open_file(self, place: str) -> int:
        """A handle for reading the file at a place, never through a link. May be called from any thread."""
        above, _, name = place.rpartition("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._opening:
            return os.open(name, flags, dir_fd=self._enter(above))

    def copy(self, source: Path, place: str, *, check: Callable[[int], bool], replace: bool) -> os.stat_result | None:
        """Put a copy of `source` at a place, sharing its blocks where the file system can; its state then.

        Args:
            source: a regular file.
            place: where it goes; folders are made.
            check: whether the copy, open at its beginning, has the wanted bytes; if not, nothing is put: None.
            replace: whether a file that is there may go.

        Raises:
            InTheWayError: there is something at the place, or on the way to it, that must stay.
            NameRefusedError: there can be no such name.
            OSError: as reading and writing raise it; a full disk among others.
        """

        def write(part: int, name: str) -> bool:
            # Buffered: a raw file may take less than it is given, and say nothing of it.
            with os.fdopen(os.open(name, _CREATE, 0o666, dir_fd=part), "r+b") as target:
                with source.open("rb") as stream:
                    try:
                        fcntl.ioctl(target, _FICLONE, stream.fileno())
                    except OSError:
                        # No more than there is: a small file would pay for a large block.
                        block_bytes = min(_BLOCK_BYTES, os.fstat(stream.fileno()).st_size + 1)
                        shutil.copyfileobj(stream, target, block_bytes)
                target.flush()
                target.seek(0)
                return check(target.fileno())

        return self._put(write, place, replace=replace)

    def link(self, source: Path, place: str, *, replace: bool) -> os.stat_result | None:
        """Put another name of `source` at a place, and make the file read-only, since it is one with its source.

        Raises:
            NotPutError, OSError: as `copy` does; EXDEV if `source` is on another file system.
        """

        def write(part: int, name: str) -> bool:
            if (mode := stat.S_IMODE(source.stat().st_mode)) & _WRITE:
                source.chmod(mode & ~_WRITE)
            os.link(source, name, dst_dir_fd=part, follow_symlinks=False)
            return True

        return self._put(write, place, replace=replace)

    def _put(self, write: Callable[[int, str], bool], place: str, *, replace: bool) -> os.stat_result | None:
        if (part := self._part) is None:
            # Kept apart from the other handles, the oldest of which are closed.
            self._enter(PART, make=True)
            part = self._part = self._open.pop(PART)
        self._number += 1
        temporary = str(self._number)
        above, _, name = place.rpartition("/")
        try:
            if not write(part, temporary):
                return None
            with _naming(place):
                folder = self._enter(above, make=True)
                # Looked at again, and late: on a file system that folds case, another file of the lock may be there.
                found = _look(name, folder)
                if found is not None and not (replace and stat.S_ISREG(found.st_mode)):
                    raise InTheWayError(place, describe(found))
                os.rename(temporary, name, src_dir_fd=part, dst_dir_fd=folder)
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        finally:
            with suppress(FileNotFoundError):
                # Also where it was renamed: renaming one name of a file to another does nothing.
                os.unlink(temporary, dir_fd=part)

    def remove(self, place: str) -> None:
        """Remove a file, then the folders that are empty without it."""
        above, _, name = place.rpartition("/")
        os.unlink(name, dir_fd=self._enter(above))
        while above:
            outer, _, name = above.rpartition("/")
            self._forget(above)
            try:
                os.rmdir(name, dir_fd=self._enter(outer))
            except OSError:
                return
            above = outer


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Tell apart what the system says of a name from what it says of the disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NAME_REFUSED:
            raise
        raise NameRefusedError(place, os.strerror(error.errno)) from error


def _look(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def describe(found: os.stat_result) -> str:
    """What stands in the way, in words."""
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link, which may lead out of the folder"
    if stat.S_ISDIR(found.st_mode):
        return "a folder, where a file should be"
    return "another file than the lock names" if stat.S_ISREG(found.st_mode) else "no ordinary file"
