"""Cross-checks: what a source says of an object's bytes, compared with the bytes as they pass.

S3 keeps up to one checksum an object, "FULL_OBJECT" of its bytes or "COMPOSITE": "a checksum of all the individual
part-level checksums", ending in `-` and the number of parts (Amazon S3 user guide, "Checking object integrity"). The
ETag of a multipart upload is in the same way the MD5 of its parts' MD5s. Neither says how large the parts were, so the
usual sizes are tried: one that agrees proves the bytes, and none that agrees proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opendata_pkg.digests.md5_lanes import LANES, md5_of_each

try:
    from awscrt import checksums as crt
except ImportError:
    # Two of S3's five checksums need it; an optional extra, which does not come for every platform.
    crt = None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from opendata_pkg.model import S3Object

PARTS_BYTES = 64 << 20
"""How much of an object is kept for the MD5s of its parts to be computed side by side, unless told otherwise."""

_MIB = 1 << 20
_USUAL_MIB = (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512, 1024, 2048, 4096)
# Of AWS's tools, boto3 and others in mebibytes; of some, in megabytes.
USUAL_PART_BYTES = tuple(unit * count for count in _USUAL_MIB for unit in (_MIB, 1_000_000))
# "Maximum number of parts per upload" (Amazon S3 user guide, "Amazon S3 multipart upload limits").
_MOST_PARTS = 10_000
_PARTED = re.compile(r"(.+)-([1-9][0-9]{0,4})")
_HEADER = "x-amz-checksum-"


class Hash(Protocol):
    """What hashlib's objects have in common with the sums below."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in bytes."""

    def digest(self) -> bytes:
        """Of the bytes so far."""


class _Sum:
    """A cyclic redundancy check of `width` bytes, from a function that goes on from a number."""

    def __init__(self, function: Callable[..., int], width: int) -> None:
        self._function, self._width, self._value = function, width, 0

    def update(self, data: bytes | memoryview) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _md5() -> Hash:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Hash:
    return hashlib.sha1(usedforsecurity=False)


_HASHES: dict[str, Callable[[], Hash]] = {
    "MD5": _md5,
    "SHA256": hashlib.sha256,
    "SHA1": _sha1,
    "CRC32": lambda: _Sum(zlib.crc32, 4),
}
if crt is not None:
    _HASHES |= {"CRC32C": lambda: _Sum(crt.crc32c, 4), "CRC64NVME": lambda: _Sum(crt.crc64nvme, 8)}
# The header's name says which: `x-amz-checksum-crc64nvme`.
_KEPT_BY_S3 = ("SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChecksum:
    """A digest that a source states: of the whole object, or of the digests of its `parts` parts."""

    algorithm: str
    digest: bytes
    parts: int | None = None

    @property
    def name(self) -> str:
        """How counts and messages name its kind."""
        return self.algorithm if self.parts is None else f"{self.algorithm} of parts"


def source_checksums(headers: Mapping[str, str] | Message) -> tuple[SourceChecksum, ...]:
    """S3's checksums in the headers of an answer with the whole object; those that cannot be computed are left out.

    What is called composite, and does not say of how many parts, says nothing.
    """
    found = []
    for algorithm in _KEPT_BY_S3:
        text = headers.get(_HEADER + algorithm.lower())
        if text is None or algorithm not in _HASHES:
            continue
        match = _PARTED.fullmatch(text)
        if match is None and headers.get(f"{_HEADER}type") == "COMPOSITE":
            continue
        try:
            digest = base64.b64decode(match[1] if match else text, validate=True)
        except binascii.Error:
            continue
        if len(digest) == len(_HASHES[algorithm]().digest()):
            found.append(SourceChecksum(algorithm=algorithm, digest=digest, parts=int(match[2]) if match else None))
    return tuple(found)


def etag_checksum(target: S3Object) -> SourceChecksum | None:
    """What a multipart upload's ETag says; None for any other."""
    match = _PARTED.fullmatch(target.etag or "")
    if match is None or not re.fullmatch(r"[0-9a-f]{32}", match[1].lower()):
        return None
    return SourceChecksum(algorithm="MD5", digest=bytes.fromhex(match[1]), parts=int(match[2]))


def part_sizes(size_bytes: int, parts: int) -> tuple[int, ...]:
    """The usual part sizes that make `parts` parts of so many bytes, and those that tools compute from the size.

    These are the least one in whole mebibytes (rclone), and the least one that makes 10,000 parts, as it is (s3fs,
    AWS's SDK for Java) and in multiples of 16 MiB (MinIO's client).
    """
    if parts == 1:
        return (max(1, size_bytes),)
    least = -(-size_bytes // _MOST_PARTS)
    computed = (_rounded_up(-(-size_bytes // parts), _MIB), least, _rounded_up(least, 16 * _MIB))
    return tuple(sorted({size for size in (*USUAL_PART_BYTES, *computed) if size and -(-size_bytes // size) == parts}))


def _rounded_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


class _Whole:
    """The digest of all bytes."""

    def __init__(self, said: SourceChecksum) -> None:
        self._hash = _HASHES[said.algorithm]()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest()


class _Parted:
    """The digest of the digests of parts of a size, the last of which may be shorter."""

    def __init__(self, said: SourceChecksum, part_bytes: int) -> None:
        self._make = _HASHES[said.algorithm]
        self._part_bytes = part_bytes
        self._all, self._part, self._left = self._make(), self._make(), part_bytes

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._all.update(self._part.digest())
                self._part, self._left = self._make(), self._part_bytes
            taken = view[: self._left]
            self._part.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]

    def digest(self) -> bytes:
        whole = self._all
        whole.update(self._part.digest())
        return whole.digest()


class _PartedMd5:
    """The same of MD5, of which several parts take hardly longer than one: so many are kept to be computed at once."""

    def __init__(self, part_bytes: int, at_once: int) -> None:
        self._part_bytes, self._at_once = part_bytes, at_once
        self._all = _md5()
        self._parts: list[list[memoryview]] = [[]]
        self._left = part_bytes

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._begin_part()
            taken = view[: self._left]
            self._parts[-1].append(taken)
            self._left -= len(taken)
            view = view[len(taken) :]

    def digest(self) -> bytes:
        whole = self._all
        whole.update(b"".join(md5_of_each(self._parts)))
        return whole.digest()

    def _begin_part(self) -> None:
        if len(self._parts) == self._at_once:
            self._all.update(b"".join(md5_of_each(self._parts)))
            self._parts.clear()
        self._parts.append([])
        self._left = self._part_bytes


class CrossChecks:
    """Every check of one object's bytes, fed as they pass. `CrossChecks(target, ())` of an ETag alone has its parts.

    Up to `parts_bytes` of the object are kept in memory, where that makes it quicker.
    """

    def __init__(self, target: S3Object, said: tuple[SourceChecksum, ...], *, parts_bytes: int = PARTS_BYTES) -> None:
        etag = etag_checksum(target)
        claims = said if etag is None else (*said, etag)
        self._checks: list[tuple[SourceChecksum, _Whole | _Parted | _PartedMd5]] = []
        for claim in claims:
            if claim.parts is None:
                self._checks.append((claim, _Whole(claim)))
            elif target.size_bytes is not None:
                sizes = part_sizes(target.size_bytes, claim.parts)
                self._checks += [(claim, _parted(claim, size, parts_bytes // len(sizes))) for size in sizes]
        self._claims = claims

    def update(self, data: bytes) -> None:
        """Take in bytes."""
        for _, check in self._checks:
            check.update(data)

    def judge(self) -> tuple[tuple[str, ...], tuple[str, ...], SourceChecksum | None]:
        """The kinds that agree, the kinds that could not be told, and one that contradicts the bytes, if any does."""
        agreed = {claim for claim, check in self._checks if check.digest() == claim.digest}
        conflict = next((claim for claim, _ in self._checks if claim.parts is None and claim not in agreed), None)
        untold = [claim.name for claim in self._claims if claim not in agreed and claim.parts is not None]
        return tuple(claim.name for claim in self._claims if claim in agreed), tuple(untold), conflict


def _parted(claim: SourceChecksum, part_bytes: int, parts_bytes: int) -> _Parted | _PartedMd5:
    at_once = min(LANES, parts_bytes // part_bytes)
    return _PartedMd5(part_bytes, at_once) if claim.algorithm == "MD5" and at_once > 1 else _Parted(claim, part_bytes)
