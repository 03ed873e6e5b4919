"""Digests that S3 keeps itself."""

from __future__ import annotations

import base64
import hashlib

import pytest

from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.heads import full_object_sha256, list_sha256
from opendata_pkg.model import ETag, ObjectKey, S3Object
from tests.listing.scripted import Answer, error

DIGEST = hashlib.sha256(b"abc").digest()
CHECKSUM = base64.b64encode(DIGEST).decode()


@pytest.mark.parametrize(
    ("checksum", "checksum_type", "expected"),
    [
        (CHECKSUM, "FULL_OBJECT", DIGEST.hex()),
        (CHECKSUM, None, DIGEST.hex()),
        (CHECKSUM, "COMPOSITE", None),
        (f"{CHECKSUM}-3", None, None),
        ("AAAA", "FULL_OBJECT", None),
        ("???", "FULL_OBJECT", None),
        (None, None, None),
    ],
)
def test_only_a_digest_of_the_whole_object_counts(checksum, checksum_type, expected):
    """A digest of the parts' digests is none of the bytes."""
    assert full_object_sha256(checksum, checksum_type) == expected


def test_each_object_is_asked_and_one_failure_is_none_of_the_others(scripted):
    """Failures and changes are counted in the notes."""

    def answer(request):
        name = request.path.removeprefix("/b/")
        if name == "gone":
            return error(404, "NoSuchKey")
        checksum = {"x-amz-checksum-sha256": CHECKSUM, "x-amz-checksum-type": "FULL_OBJECT"}
        return Answer(headers={"Content-Length": "3", **(checksum if name != "none" else {})})

    server = scripted(answer)
    objects = [
        S3Object(key=ObjectKey(key), size_bytes=size, etag=ETag("e"))
        for key, size in {"a": 3, "b": 3, "none": 3, "gone": 3, "other": 4}.items()
    ]
    bucket = open_bucket("b", endpoint_url=server.url)
    found = {}
    notes = list_sha256(bucket, iter(objects), found.__setitem__, total=len(objects), jobs=3)
    assert {place: (said.sha256, said.size_bytes) for place, said in found.items()} == {
        0: (DIGEST.hex(), 3),
        1: (DIGEST.hex(), 3),
    }
    assert notes[0] == "S3 keeps a SHA-256 of 2 of 5 objects"
    assert notes[1].startswith("2 objects could not be asked for a SHA-256, such as gone: gone since it was listed")
    assert {request.headers["x-amz-checksum-mode"] for request in server.requests} == {"ENABLED"}
    assert {request.headers["if-match"] for request in server.requests} == {'"e"'}
