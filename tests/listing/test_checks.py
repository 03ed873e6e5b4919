"""What a source says of an object's bytes is compared with them: in whole, in parts, or not at all."""

from __future__ import annotations

import base64
import hashlib
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.listing import checks
from opendata_pkg.listing.checks import CrossChecks, SourceChecksum, etag_checksum, part_sizes, source_checksums
from opendata_pkg.model import ETag, ObjectKey, S3Object

MIB = 1 << 20


def b64(data):
    """As S3 writes digests."""
    return base64.b64encode(data).decode()


def parted(data, size, make=hashlib.md5):
    """The digest of parts' digests, the slow way."""
    parts = [make(data[start : start + size]).digest() for start in range(0, len(data), size)] or [make(b"").digest()]
    return make(b"".join(parts)).digest(), len(parts)


def judged(data, *, etag=None, said=(), chunk=1000):
    """What the checks say of bytes that come in chunks."""
    found = CrossChecks(S3Object(key=ObjectKey("k"), size_bytes=len(data), etag=etag and ETag(etag)), tuple(said))
    for start in range(0, len(data), chunk):
        found.update(data[start : start + chunk])
    return found.judge()


@given(st.binary(max_size=300), st.integers(1, 320), st.integers(1, 70))
def test_parts_are_cut_where_they_end_however_chunks_come(data, part_bytes, chunk):
    """Any size of parts and of chunks, the last of each shorter."""
    digest, count = parted(data, part_bytes)
    check = checks._Parted(SourceChecksum(algorithm="MD5", digest=digest, parts=count), part_bytes)
    for start in range(0, len(data), chunk):
        check.update(data[start : start + chunk])
    assert check.digest() == digest


@given(st.lists(st.binary(max_size=300), max_size=9), st.integers(1, 320), st.integers(2, 8))
def test_parts_side_by_side_are_the_same(chunks, part_bytes, at_once):
    """More parts than are taken at once, fewer, and none."""
    digest, _ = parted(b"".join(chunks), part_bytes)
    check = checks._PartedMd5(part_bytes, at_once)
    for chunk in chunks:
        check.update(chunk)
    assert check.digest() == digest


@pytest.mark.parametrize("parts_bytes", [0, 64 * MIB, 256 * MIB])
def test_no_more_is_kept_than_there_is_room_for(parts_bytes):
    """Of the parts of all sizes that are tried, while bytes come; the answer is the same."""
    data = bytes(range(256)) * (20 << 12)
    digest, count = parted(data, 8 * MIB)
    target = S3Object(key=ObjectKey("k"), size_bytes=len(data), etag=ETag(f"{digest.hex()}-{count}"))
    found = CrossChecks(target, (), parts_bytes=parts_bytes)
    assert len(found._checks) > 1
    for start in range(0, len(data), MIB):
        found.update(data[start : start + MIB])
        side_by_side = [check for _, check in found._checks if isinstance(check, checks._PartedMd5)]
        assert sum(len(piece) for check in side_by_side for part in check._parts for piece in part) <= parts_bytes
    assert found.judge() == (("MD5 of parts",), (), None)


@given(st.integers(1, 1 << 44), st.integers(1, 10_000))
def test_sizes_that_are_tried_make_so_many_parts(size_bytes, parts):
    """Nothing is computed that cannot agree; there are never many."""
    found = part_sizes(size_bytes, parts)
    assert all(-(-size_bytes // size) == parts for size in found)
    assert len(found) <= 12


@pytest.mark.parametrize(
    ("size_bytes", "parts", "expected"),
    [
        (100 * MIB, 13, (8 * MIB,)),
        (20 * MIB, 3, (7 * MIB, 8_000_000, 8 * MIB, 10_000_000)),
        (1 << 40, 9_987, (105 * MIB,)),
        (1 << 40, 10_000, (109_951_163,)),
        (400_000 * MIB, 8_334, (48 * MIB,)),
        (6 << 30, 3, (2 << 30,)),
        (7, 1, (7,)),
        (0, 1, (1,)),
        (10, 3, ()),
    ],
)
def test_usual_sizes_and_the_least_that_fits(size_bytes, parts, expected):
    """What AWS's tools take, and those that adapt the size to 10,000 parts."""
    assert part_sizes(size_bytes, parts) == expected


@pytest.mark.parametrize("size", [5 * MIB, 8 * MIB, 8_000_000, 15 * MIB, 6 * MIB])
def test_an_upload_in_parts_agrees_or_is_not_told(size):
    """Its ETag is recomputed; other bytes with it are no conflict, since the parts' size is a guess."""
    data = bytes(range(256)) * 70_000
    digest, count = parted(data, size)
    assert judged(data, etag=f"{digest.hex()}-{count}", chunk=MIB) == (("MD5 of parts",), (), None)
    assert judged(data[:-1] + b"!", etag=f"{digest.hex()}-{count}", chunk=MIB) == ((), ("MD5 of parts",), None)


@pytest.mark.parametrize(
    "header",
    [
        ("sha256", hashlib.sha256),
        ("sha1", hashlib.sha1),
        ("crc32", lambda data=b"": _crc(zlib.crc32(data), 4)),
    ],
    ids=lambda header: header[0],
)
def test_what_s3_keeps_is_compared(header):
    """Of the whole object: agreement or conflict; of its parts: agreement or nothing."""
    name, make = header
    whole = source_checksums(
        {f"x-amz-checksum-{name}": b64(make(b"abc").digest()), "x-amz-checksum-type": "FULL_OBJECT"}
    )
    assert judged(b"abc", said=whole) == ((name.upper(),), (), None)
    assert judged(b"abd", said=whole) == ((), (), whole[0])
    data = bytes(12 * MIB)
    digest, count = parted(data, 5 * MIB, make)
    composite = source_checksums({f"x-amz-checksum-{name}": f"{b64(digest)}-{count}"})
    assert judged(data, said=composite, chunk=MIB)[0] == (f"{name.upper()} of parts",)
    assert judged(data[:-1] + b"!", said=composite, chunk=MIB) == ((), (f"{name.upper()} of parts",), None)


def _crc(value, width):
    """Something with a `digest`, as hashlib has."""
    return SimpleNamespace(digest=lambda: value.to_bytes(width, "big"))


@pytest.mark.parametrize(("name", "expected"), [("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")])
def test_the_sums_that_need_a_library(name, expected):
    """The check values that their definitions give."""
    pytest.importorskip("awscrt")
    said = source_checksums({f"x-amz-checksum-{name}": b64(bytes.fromhex(expected))})
    assert judged(b"123456789", said=said, chunk=4) == ((name.upper(),), (), None)


def test_a_sum_without_its_library_is_left_out(monkeypatch):
    """It is no reason to fail."""
    for name in ("CRC32C", "CRC64NVME"):
        monkeypatch.delitem(checks._HASHES, name, raising=False)
    assert source_checksums({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-checksum-crc32c": "AAAAAA=="}) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-sha256": "?"},
        {"x-amz-checksum-sha256": b64(b"short")},
        {"x-amz-checksum-sha256": b64(bytes(32)), "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-md4": b64(bytes(16))},
        {},
    ],
)
def test_what_says_nothing_is_not_compared(headers):
    """No base64, no digest, parts without their number, an algorithm that S3 has not."""
    assert source_checksums(headers) == ()


@pytest.mark.parametrize("etag", ["0" * 32, "0" * 31 + "-2", "g" * 32 + "-2", "0" * 32 + "-0", "0" * 32 + "-x", None])
def test_other_etags_say_nothing_of_parts(etag):
    """A plain one may be no MD5 at all."""
    assert etag_checksum(S3Object(key=ObjectKey("k"), etag=etag and ETag(etag))) is None
