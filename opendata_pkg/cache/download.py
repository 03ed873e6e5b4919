"""One file from the web to its name on disk: streamed, resumed, checked, then renamed.

The final name never holds wrong or partial bytes. Nothing is synced to the disk: what a power cut could lose of a file
is noticed by its size and digest wherever it is used, and it can be fetched again.
"""

from __future__ import annotations

import errno
import os
import queue
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.cache.wanted import BLOCK_BYTES, Got, Hashes, Wanted, WrongBytesError, hash_file, hash_stream
from opendata_pkg.files import open_locked
from opendata_pkg.model import OpenDataError, SourceError
from opendata_pkg.web.transport import BrokenTransferError, RefusedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opendata_pkg.web.transport import Response, Transport

# From here on a second thread hashes what the first one receives; for less it does not pay to start one.
_OVERLAP_BYTES = 32 * BLOCK_BYTES
_BLOCKS = 16
_BREAKS_IN_A_ROW = 5
_BAD_RANGE = 416
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class NoUrlError(SourceError):
    """Nothing says where a file can be had."""


class DiskFullError(SourceError):
    """There is no room for a file."""


class LocalFileError(SourceError):
    """A file cannot be written where it belongs."""


def _ignore(count: int) -> None:
    """What is called when nobody counts bytes."""


def download(
    wanted: Wanted,
    target: Path | str,
    *,
    transport: Transport,
    part: Path | str | None = None,
    mode: int = 0o644,
    on_bytes: Callable[[int], None] = _ignore,
    find: Callable[[], Got | None] | None = None,
) -> Got:
    """Bring a file to `target`, from the first of its URLs that hands out the right bytes.

    What arrives is kept in `part` (by default a hidden file beside the target) and goes on from there another time. A
    target with the right bytes stays as it is; one with others is replaced. Of several processes that want the same
    part one downloads, the others wait. `on_bytes` is told how many bytes were added, less than 0 if some were dropped.
    `find` looks whether the target is right already; by default, it is hashed for that.

    Raises:
        WrongBytesError: what can be had is not what was recorded.
        TransportError: it cannot be had.
        DiskFullError, LocalFileError, NoUrlError: as they say.
    """
    name = os.fspath(target)
    part_name = f"{os.path.dirname(name)}/.{wanted.part_name}" if part is None else os.fspath(part)  # noqa: PTH120
    try:
        descriptor, state = open_locked(part_name)
        try:
            # Somebody else may have brought it while this process waited.
            there = _already(wanted, name) if find is None else find()
            if there is not None:
                Path(part_name).unlink(missing_ok=True)
                on_bytes(there.size_bytes)
                return there
            part_file = _Part(descriptor, state.st_size, wanted, on_bytes)
            return _into(part_file, part_name, name, mode, transport)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _local_error(wanted, name, error) from error


def _into(part: _Part, part_name: str, name: str, mode: int, transport: Transport) -> Got:
    """Fill a part that nobody else is at, and give it its name."""
    try:
        url = _fill(part, transport)
    except (OpenDataError, OSError):
        if os.fstat(part.descriptor).st_size == 0:
            os.unlink(part_name)  # noqa: PTH108 - a name, as all here
        raise
    os.fchmod(part.descriptor, mode)
    _rename(part_name, name)
    hashes = part.hashes
    return Got(wanted=part.wanted, local=name, size_bytes=hashes.size_bytes, sha256=hashes.sha256, url=url)


def _already(wanted: Wanted, name: str) -> Got | None:
    """The target, if it is a file with the right bytes. Without a digest nothing can tell; a link is no file."""
    if not wanted.is_checkable:
        return None
    try:
        state = os.lstat(name)
        if not stat.S_ISREG(state.st_mode) or wanted.size_bytes not in (None, state.st_size):
            return None
        hashes = hash_file(name, wanted)
    except FileNotFoundError:
        return None
    if hashes.fault is not None:
        return None
    return Got(wanted=wanted, local=name, size_bytes=hashes.size_bytes, sha256=hashes.sha256, url="")


def _rename(part_name: str, name: str) -> None:
    try:
        os.replace(part_name, name)  # noqa: PTH105 - called for each of many files, as all here that takes names
    except FileNotFoundError:
        # Folders are made when they turn out to be missing: one system call less for each of many files.
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(part_name, name)  # noqa: PTH105


def _fill(part: _Part, transport: Transport) -> str:
    """Bring the right bytes into the part; returns the URL they came from."""
    wanted = part.wanted
    if not wanted.urls:
        raise NoUrlError(f"{wanted.name}: nothing says where it can be had: it has no URL")
    part.resume()
    errors: list[TransportError | WrongBytesError] = []
    for url in wanted.urls:
        is_first = True
        while True:
            try:
                _receive_all(part, url, transport)
                part.check(url)
            except WrongBytesError as error:
                errors.append(error)
                # What came earlier, or before a break, may be what is wrong: then once more from the beginning. Only
                # once: a server that breaks each time and hands out other bytes after that would never be left.
                again, is_first = is_first and part.is_resumed, False
                part.drop()
                if not again:
                    break
            except TransportError as error:
                errors.append(error)
                break
            else:
                return url
    raise _worst(wanted, errors)


def _worst(wanted: Wanted, errors: list[TransportError | WrongBytesError]) -> OpenDataError:
    """The one error to tell: wrong bytes if there were any, since somebody must look at those."""
    for error in errors:
        if isinstance(error, WrongBytesError):
            return error
    if len(errors) == 1:
        return errors[0]
    return TransportError(wanted.name, "; ".join(str(error) for error in errors))


def _receive_all(part: _Part, url: str, transport: Transport) -> None:
    """Receive what is missing, going on after breaks as long as there is progress."""
    breaks, has_begun_again, wanted = 0, False, part.wanted
    # An empty file is asked for too: that it is there says something.
    while part.hashes.size_bytes != wanted.size_bytes or wanted.size_bytes == 0:
        before = part.hashes.size_bytes
        try:
            response = transport.open(url, start=before)
        except RefusedError as error:
            # Once: a server may break each time, and refuse each time to go on.
            if error.status != _BAD_RANGE or before == 0 or has_begun_again:
                raise
            has_begun_again = True
            part.drop()
            continue
        with response:
            part.accept(response)
            try:
                part.receive(response)
            except BrokenTransferError:
                breaks = 1 if part.hashes.size_bytes > before else breaks + 1
                if breaks == _BREAKS_IN_A_ROW:
                    raise
                part.is_resumed = True
            else:
                return
        transport.wait(breaks - 1)


class _Part:
    """A file that fills: its bytes, and the digests of exactly these bytes."""

    def __init__(self, descriptor: int, size_bytes: int, wanted: Wanted, on_bytes: Callable[[int], None]) -> None:
        self.hashes = Hashes(wanted)
        self.is_resumed = False
        self.descriptor, self.wanted, self.on_bytes = descriptor, wanted, on_bytes
        self._earlier_bytes = size_bytes

    def resume(self) -> None:
        """Go on from what is there, if a digest will tell whether it was right to."""
        if not self._earlier_bytes:
            return
        if not self.wanted.is_checkable or self._earlier_bytes > (self.wanted.size_bytes or self._earlier_bytes):
            self.drop()
            return
        hash_stream(self.descriptor, self.hashes)
        self.is_resumed = True
        self.on_bytes(self.hashes.size_bytes)

    def drop(self) -> None:
        """Begin again, with nothing."""
        self.on_bytes(-self.hashes.size_bytes)
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self.hashes = Hashes(self.wanted)
        self.is_resumed = False

    def accept(self, response: Response) -> None:
        """Look at an answer's headers before its bytes: a file that has changed need not be received to know it."""
        wanted = self.wanted
        if wanted.size_bytes is not None and response.total_bytes not in (None, wanted.size_bytes):
            raise WrongBytesError(
                wanted.name, f"{wanted.size_bytes} bytes", f"{response.total_bytes} bytes", response.url
            )
        if not wanted.is_checkable and wanted.etag is not None and response.etag not in (None, wanted.etag):
            raise WrongBytesError(wanted.name, f"ETag {wanted.etag}", f"ETag {response.etag}", response.url)
        if response.start != self.hashes.size_bytes:
            # It ignores Range and sends the whole file.
            self.drop()
        self._check_room(response)

    def receive(self, response: Response) -> None:
        """Write and hash a body, in two threads if it is long."""
        total = response.total_bytes
        expected = self.wanted.size_bytes if total is None else total
        if expected is not None and expected - response.start < _OVERLAP_BYTES:
            # Of what is not announced, more may come than is expected.
            length = BLOCK_BYTES if total is None else max(1, total - response.start)
            buffer = memoryview(bytearray(min(length, BLOCK_BYTES)))
            while count := response.readinto(buffer):
                self._write(buffer[:count])
                self.hashes.update(buffer[:count])
                self.on_bytes(count)
            return
        with _hashing_apart(self.hashes) as (take, give):
            while self._receive_block(response, take(), give):
                pass

    def _receive_block(self, response: Response, buffer: memoryview, give: Callable[[memoryview], None]) -> bool:
        """Fill one block, and hand it over to be hashed, also if the connection breaks within."""
        filled = 0
        try:
            while filled < len(buffer) and (count := response.readinto(buffer[filled:])):
                self._write(buffer[filled : filled + count])
                filled += count
                self.on_bytes(count)
        finally:
            give(buffer[:filled])
        return filled > 0

    def check(self, url: str) -> None:
        """Raise WrongBytesError unless the bytes are the wanted ones."""
        if (fault := self.hashes.fault) is not None:
            raise WrongBytesError(self.wanted.name, *fault, url)

    def _write(self, view: memoryview) -> None:
        written = os.write(self.descriptor, view)
        while written < len(view):
            written += os.write(self.descriptor, view[written:])

    def _check_room(self, response: Response) -> None:
        if response.total_bytes is None or response.total_bytes < _OVERLAP_BYTES:
            return
        room = os.fstatvfs(self.descriptor)
        needed, free = response.total_bytes - response.start, room.f_bavail * room.f_frsize
        if needed > free:
            raise OSError(errno.ENOSPC, f"{needed} bytes are to come, and {free} are free")


@contextmanager
def _hashing_apart(
    hashes: Hashes,
) -> Iterator[tuple[Callable[[], memoryview], Callable[[memoryview], None]]]:
    """Hash in a thread of its own: `take()` gives an empty block, `give(block)` hands over what it was filled with.

    Both threads let go of Python's lock while they receive, write or hash, so that two cores work at once. After the
    with-block all is hashed.
    """
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    full: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
    for _ in range(_BLOCKS):
        free.put(memoryview(bytearray(BLOCK_BYTES)))

    def work() -> None:
        while (block := full.get()) is not None:
            hashes.update(block)
            free.put(memoryview(block.obj))

    thread = threading.Thread(target=work, name="opendata-hash", daemon=True)
    thread.start()
    try:
        yield free.get, full.put
    finally:
        full.put(None)
        thread.join()


def _local_error(wanted: Wanted, name: str, error: OSError) -> OpenDataError:
    if error.errno in _NO_SPACE:
        return DiskFullError(
            f"the disk is full at {Path(name).parent} ({error.strerror}), while fetching {wanted.name}: "
            "free space, and run the same command again; it goes on from what is there"
        )
    reason = error.strerror or str(error)
    return LocalFileError(f"{wanted.name}: cannot write {name} ({reason}): check the folder and its permissions")
