"""The digest of one object's bytes, read as they are on the server now and checked against what is known of them."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.digests.checksums import Checksum, object_state
from opendata_pkg.listing.checks import PARTS_BYTES, CrossChecks
from opendata_pkg.listing.ranges import RANGE_BYTES, read_ahead
from opendata_pkg.listing.read import NoRangesError, ObjectReadError, read_on
from opendata_pkg.model import Sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from opendata_pkg.listing.checks import SourceChecksum
    from opendata_pkg.listing.read import ObjectReader, Opened
    from opendata_pkg.model import S3Object

# Below, a second connection costs more than it brings.
_RANGED_FROM_BYTES = 8 * RANGE_BYTES


class DigestConflictError(ObjectReadError):
    """The bytes have another digest than the recorded one, or than the one that the source itself states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digested:
    """What reading an object found.

    `agreed` names what else said the same of these bytes (`MD5`, `CRC32`, `MD5 of parts`), `untold` the claims of parts
    whose size could not be guessed.
    """

    checksum: Checksum
    agreed: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


def digest_object(
    reader: ObjectReader,
    target: S3Object,
    *,
    lanes: int = 1,
    cross_check: bool = True,
    parts_bytes: int = PARTS_BYTES,
    stopped: threading.Event | None = None,
    on_chunk: Callable[[int], None] = lambda _: None,
) -> Digested:
    """The SHA-256 of an object, in constant memory; where the connection breaks, reading goes on from there.

    With more `lanes` a large object whose state is recorded is read by as many connections, range by range (8 MiB, two
    for each lane in memory), and hashed in order. `cross_check` compares with S3's own checksums and with the ETag of
    an upload in parts, too, of which it keeps up to `parts_bytes` in memory. `on_chunk` is told the number of bytes of
    each chunk. Once `stopped` is set, it ends in an error.

    Raises:
        ConnectionLostError: the connection broke five times without getting further.
        DigestConflictError: the bytes have another MD5 than the recorded one, or another checksum than S3 states.
        ObjectReadError: the object cannot be read, or has another size than the recorded one.
    """
    kept = parts_bytes if cross_check else None
    work = _Work(reader, target, parts_bytes=kept, stopped=stopped or threading.Event(), on_chunk=on_chunk)
    size_bytes = target.size_bytes
    if lanes > 1 and size_bytes is not None and size_bytes >= _RANGED_FROM_BYTES and object_state(target) is not None:
        hashes = work.hashes(reader.checksums(target) if cross_check else ())
        try:
            return work.digest(hashes, read_ahead(reader, target, size_bytes, lanes=lanes, stopped=work.stopped))
        except NoRangesError:
            pass
    return work.digest_in_one()


class _Work:
    """The reading of one object, without cross-checks if `parts_bytes` is None."""

    def __init__(
        self,
        reader: ObjectReader,
        target: S3Object,
        *,
        parts_bytes: int | None,
        stopped: threading.Event,
        on_chunk: Callable[[int], None],
    ) -> None:
        self.stopped = stopped
        self._reader, self._target, self._parts_bytes, self._on_chunk = reader, target, parts_bytes, on_chunk
        self._hashes, self._expected = _Hashes(target, None), target.size_bytes

    def hashes(self, said: tuple[SourceChecksum, ...]) -> _Hashes:
        """Those of the object from its first byte on, with what its source says of them."""
        kept = self._parts_bytes
        return _Hashes(self._target, None if kept is None else CrossChecks(self._target, said, parts_bytes=kept))

    def digest(self, hashes: _Hashes, chunks: Generator[bytes, None, None]) -> Digested:
        """Of chunks that come in order, once."""
        self._hashes = hashes
        with closing(chunks):
            for chunk in chunks:
                self._take(chunk)
        return self._hashes.checked(self._expected)

    def digest_in_one(self) -> Digested:
        """Of one connection, and those that follow where it breaks."""
        with closing(read_on(self._reader, self._target, stopped=self.stopped, on_open=self._begin)) as chunks:
            for chunk in chunks:
                self._take(chunk)
        return self._hashes.checked(self._expected)

    def _begin(self, opened: Opened) -> None:
        if opened.start != self._hashes.size_bytes or not opened.start:
            self._hashes = self.hashes(opened.checksums)
        self._expected = _expected_bytes(self._target, opened)

    def _take(self, chunk: bytes) -> None:
        self._hashes.update(chunk)
        self._on_chunk(len(chunk))
        if self.stopped.is_set():
            raise ObjectReadError(self._target.key, "interrupted")


class _Hashes:
    """Digests of the bytes so far. Only those that there is something to compare with: an MD5 costs twice a SHA-256."""

    def __init__(self, target: S3Object, checks: CrossChecks | None) -> None:
        self.size_bytes = 0
        self._target = target
        self._sha256 = hashlib.sha256()
        self._md5 = None if target.md5 is None else hashlib.md5(usedforsecurity=False)
        self._checks = checks

    def update(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)
        if self._checks is not None:
            self._checks.update(chunk)

    def checked(self, expected_bytes: int | None) -> Digested:
        key, sha256 = self._target.key, self._sha256.hexdigest()
        if expected_bytes not in (None, self.size_bytes):
            raise ObjectReadError(key, f"expected {expected_bytes} bytes as listed, got {self.size_bytes}: scan again")
        if self._md5 is not None and (md5 := self._md5.hexdigest()) != self._target.md5:
            raise DigestConflictError(
                key,
                f"expected MD5 {self._target.md5} as recorded, but its {self.size_bytes} bytes have MD5 {md5} and "
                f"SHA-256 {sha256}: it changed, or what was recorded is wrong; scan again",
            )
        agreed, untold, conflict = ((), (), None) if self._checks is None else self._checks.judge()
        if conflict is not None:
            raise DigestConflictError(
                key,
                f"expected the {conflict.algorithm} {conflict.digest.hex()} that its server states, but the "
                f"{self.size_bytes} bytes that it sent, of SHA-256 {sha256}, have another: hash it again; if it stays "
                "so, the server is wrong, and --no-cross-check believes the bytes",
            )
        checksum = Checksum(sha256=Sha256(sha256), size_bytes=self.size_bytes, md5=self._target.md5)
        return Digested(checksum=checksum, agreed=agreed if self._md5 is None else ("MD5", *agreed), untold=untold)


def _expected_bytes(target: S3Object, opened: Opened) -> int | None:
    if target.size_bytes is None:
        return opened.total_bytes
    if opened.total_bytes not in (None, target.size_bytes):
        fault = f"expected {target.size_bytes} bytes as listed, the server has {opened.total_bytes}: scan again"
        raise ObjectReadError(target.key, fault)
    return target.size_bytes
