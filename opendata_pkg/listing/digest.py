"""The digest of one object's bytes, read as they are on the server now and checked against what was recorded."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from opendata_pkg.checksums import Checksum
from opendata_pkg.listing.read import ConnectionLostError, ObjectReadError
from opendata_pkg.model import Sha256

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from opendata_pkg.listing.read import ObjectReader, Opened
    from opendata_pkg.model import S3Object

_BREAKS_IN_A_ROW = 5
_FIRST_DELAY_S = 0.5


class DigestConflictError(ObjectReadError):
    """The bytes have another MD5 than the recorded one."""


def digest_object(
    reader: ObjectReader, target: S3Object, *, stopped: threading.Event, on_chunk: Callable[[int], None]
) -> Checksum:
    """The SHA-256 of an object, in constant memory; where the connection breaks, reading goes on from there.

    `on_chunk` is told the number of bytes of each chunk. Once `stopped` is set, it ends in an error.

    Raises:
        ConnectionLostError: the connection broke five times without getting further.
        DigestConflictError: the bytes have another MD5 than the recorded one.
        ObjectReadError: the object cannot be read, or has another size than the recorded one.
    """
    hashes, furthest, breaks = _Hashes(target), 0, 0
    while True:
        opened = reader.open(target, hashes.size_bytes)
        if opened.start != hashes.size_bytes:
            hashes = _Hashes(target)
        expected = _expected_bytes(target, opened)
        try:
            for chunk in opened.chunks:
                hashes.update(chunk)
                on_chunk(len(chunk))
                if stopped.is_set():
                    raise ObjectReadError(target.key, "interrupted")
        except ConnectionLostError:
            breaks = 1 if hashes.size_bytes > furthest else breaks + 1
            furthest = max(furthest, hashes.size_bytes)
            if breaks >= _BREAKS_IN_A_ROW or stopped.wait(_FIRST_DELAY_S * 2 ** (breaks - 1)):
                raise
            if hashes.size_bytes != expected:
                continue
        return hashes.checked(expected)


class _Hashes:
    """Digests of the bytes so far. MD5 only where there is one to compare with: it costs as much as SHA-256."""

    def __init__(self, target: S3Object) -> None:
        self.size_bytes = 0
        self._target = target
        self._sha256 = hashlib.sha256()
        self._md5 = None if target.md5 is None else hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)

    def checked(self, expected_bytes: int | None) -> Checksum:
        key, sha256 = self._target.key, self._sha256.hexdigest()
        if expected_bytes not in (None, self.size_bytes):
            raise ObjectReadError(key, f"expected {expected_bytes} bytes as listed, got {self.size_bytes}: scan again")
        if self._md5 is not None and (md5 := self._md5.hexdigest()) != self._target.md5:
            raise DigestConflictError(
                key,
                f"expected MD5 {self._target.md5} as recorded, but its {self.size_bytes} bytes have MD5 {md5} and "
                f"SHA-256 {sha256}: it changed, or what was recorded is wrong; scan again",
            )
        return Checksum(sha256=Sha256(sha256), size_bytes=self.size_bytes, md5=self._target.md5)


def _expected_bytes(target: S3Object, opened: Opened) -> int | None:
    if target.size_bytes is None:
        return opened.total_bytes
    if opened.total_bytes not in (None, target.size_bytes):
        fault = f"expected {target.size_bytes} bytes as listed, the server has {opened.total_bytes}: scan again"
        raise ObjectReadError(target.key, fault)
    return target.size_bytes
