"""What is to be had from the web, what was had, and whether its bytes are right. No network."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendata_pkg.model import ETag, Md5, MismatchError, OpenDataError, Sha256

# Small enough for what was received to be still in the processor's cache when it is written and hashed: with blocks of
# 1 MiB the system takes three times as long.
BLOCK_BYTES = 1 << 17


class WrongBytesError(MismatchError):
    """What a server hands out under a name is not what was recorded. `expected` and `got` are digests or sizes."""

    def __init__(self, name: str, expected: str, got: str, url: str) -> None:
        self.name, self.expected, self.got, self.url = name, expected, got, url
        super().__init__(
            f"{name}: expected {expected} as recorded, got {got} from {url}; nothing was kept: it was overwritten "
            "since, so look for a newer version, or for a copy elsewhere"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to be had: where, and what is known of its bytes. `name` is what messages call it."""

    name: str
    urls: tuple[str, ...]
    size_bytes: int | None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    etag: ETag | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """For the many that go to another process: in a quarter of the time that a dataclass takes by itself."""
        return _wanted, (self.name, self.urls, self.size_bytes, self.sha256, self.md5, self.etag)

    @property
    def is_checkable(self) -> bool:
        """Whether a digest is known."""
        return self.sha256 is not None or self.md5 is not None

    @property
    def expected(self) -> str:
        """What its bytes must be, in words."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        if self.md5 is not None:
            return f"md5:{self.md5}"
        return "any bytes" if self.size_bytes is None else f"{self.size_bytes} bytes"

    @property
    def part_name(self) -> str:
        """A short file name, the same for the same content wherever it is fetched to."""
        known = f"{self.expected}\0{self.size_bytes}"
        if not self.is_checkable:
            known += f"\0{self.etag}\0{self.name}\0{self.urls}"
        return f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.part"


def _wanted(
    name: str, urls: tuple[str, ...], size_bytes: int | None, sha256: Sha256 | None, md5: Md5 | None, etag: ETag | None
) -> Wanted:
    return Wanted(name=name, urls=urls, size_bytes=size_bytes, sha256=sha256, md5=md5, etag=etag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A file that is there: its bytes are as `wanted` says. `url` is where they came from, "" if from this machine.

    `local` is where it is; `path` is made of it for whoever asks, since that takes a while for many.
    """

    wanted: Wanted
    local: str
    size_bytes: int
    sha256: Sha256
    url: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file that could not be had, and why."""

    wanted: Wanted
    error: OpenDataError


class Hashes:
    """The digests of bytes that come in order. MD5 only where there is nothing better to compare with."""

    def __init__(self, wanted: Wanted) -> None:
        self.size_bytes = 0
        self._wanted = wanted
        self._sha256 = hashlib.sha256()
        self._md5 = None if wanted.md5 is None or wanted.sha256 is not None else hashlib.md5(usedforsecurity=False)

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.size_bytes += len(block)
        self._sha256.update(block)
        if self._md5 is not None:
            self._md5.update(block)

    @property
    def sha256(self) -> Sha256:
        """The SHA-256 so far."""
        return Sha256(self._sha256.hexdigest())

    @property
    def fault(self) -> tuple[str, str] | None:
        """What was expected and what came instead, None if all that is known agrees."""
        wanted = self._wanted
        if wanted.size_bytes not in (None, self.size_bytes):
            return f"{wanted.size_bytes} bytes", f"{self.size_bytes} bytes"
        if wanted.sha256 not in (None, self.sha256):
            return f"sha256:{wanted.sha256}", f"sha256:{self.sha256}"
        if self._md5 is not None and (md5 := self._md5.hexdigest()) != wanted.md5:
            return f"md5:{wanted.md5}", f"md5:{md5}"
        return None


def hash_file(name: str, wanted: Wanted) -> Hashes:
    """The digests of a whole file; OSError as the system says."""
    hashes = Hashes(wanted)
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        hash_stream(descriptor, hashes)
    finally:
        os.close(descriptor)
    return hashes


def hash_stream(descriptor: int, hashes: Hashes) -> None:
    """Hash what is left of an open file, without keeping it in memory."""
    buffer = memoryview(bytearray(BLOCK_BYTES))
    while count := os.readv(descriptor, [buffer]):
        hashes.update(buffer[:count])
