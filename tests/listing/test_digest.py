"""Reading objects and computing their digests, through S3 and over plain HTTP."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc

import pytest

from opendata_pkg.listing import digest
from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.digest import DigestConflictError, digest_object
from opendata_pkg.listing.read import ConnectionLostError, HttpObjectReader, ObjectReadError, S3ObjectReader
from opendata_pkg.model import ETag, Md5, ObjectKey, S3Object, VersionId
from tests.listing.scripted import Answer, error, md5_hex

DATA = bytes(range(256)) * 20_000  # 5 MB: several chunks


def a_file(key="dir/a b+.bin", **values):
    """The object that the tests read."""
    return S3Object(key=ObjectKey(key), **{"size_bytes": len(DATA), **values})


def serve(data=DATA, cuts=(), headers=None):
    """An answering function: the bytes, by range if asked; each of `cuts` breaks one answer after so many bytes."""
    left = list(cuts)

    def answer(request):
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        return Answer(206 if start else 200, data[start:], headers or {}, left.pop(0) if left else None)

    return answer


def readers(server):
    """Both kinds, of the same server."""
    return {
        "s3": S3ObjectReader(bucket=open_bucket("b", endpoint_url=server.url)),
        "http": HttpObjectReader.create(f"{server.url}/b/", connections=1),
    }


def read(reader, target, counted=None):
    """Digest an object as a run does."""
    counted = [] if counted is None else counted
    return digest_object(reader, target, stopped=threading.Event(), on_chunk=counted.append)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(digest, "_FIRST_DELAY_S", 0.001)


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_an_object_is_read_to_its_digest(scripted, kind):
    """SHA-256 and size, MD5 only if there is one to check, and every byte is counted."""
    server, counted = scripted(serve()), []
    found = read(readers(server)[kind], a_file(), counted)
    assert (found.sha256, found.size_bytes, found.md5) == (hashlib.sha256(DATA).hexdigest(), len(DATA), None)
    assert sum(counted) == len(DATA)
    assert server.requests[0].path == "/b/dir/a b+.bin"
    checked = read(readers(server)[kind], a_file(md5=Md5(md5_hex(DATA))))
    assert checked.md5 == md5_hex(DATA)


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_an_unknown_size_is_found(scripted, kind):
    """A listing that did not know the size learns it; an empty object is one too."""
    assert read(readers(scripted(serve()))[kind], a_file(size_bytes=None)).size_bytes == len(DATA)
    empty = read(readers(scripted(serve(b"")))[kind], a_file(size_bytes=0))
    assert (empty.sha256, empty.size_bytes) == (hashlib.sha256().hexdigest(), 0)


def test_s3_is_asked_for_the_recorded_state(scripted):
    """The version if it is real, else the ETag as a condition; nothing if neither is known."""
    server = scripted(serve())
    reader = readers(server)["s3"]
    for target in (
        a_file(version_id=VersionId("v1"), etag=ETag("e")),
        a_file(version_id=VersionId("null"), etag=ETag("e")),
        a_file(),
    ):
        read(reader, target)
    asked = [(request.query.get("versionId"), request.headers.get("if-match")) for request in server.requests]
    assert asked == [("v1", None), (None, '"e"'), (None, None)]


def test_a_broken_s3_connection_is_resumed(scripted):
    """Reading goes on where it broke: each byte is hashed once."""
    server, counted = scripted(serve(cuts=[1_500_000, 2_000_000])), []
    found = read(readers(server)["s3"], a_file(), counted)
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert sum(counted) == len(DATA)
    starts = [int(request.headers.get("range", "bytes=0-")[6:-1]) for request in server.requests]
    assert starts == sorted(set(starts))
    assert len(starts) == 3


def test_a_broken_http_connection_begins_again(scripted):
    """A web server need not know ranges: the digest starts over."""
    server = scripted(serve(cuts=[2_500_000]))
    assert read(readers(server)["http"], a_file()).sha256 == hashlib.sha256(DATA).hexdigest()
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_a_connection_that_always_breaks_is_given_up(scripted, kind):
    """After five breaks without getting further."""
    server = scripted(serve(b"x" * 100, cuts=[0] * 99))
    with pytest.raises(ConnectionLostError, match="the connection broke"):
        read(readers(server)[kind], a_file(size_bytes=100))
    assert len(server.requests) == 5


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_another_size_is_told_before_reading(scripted, kind):
    """The object changed: nothing of it is hashed."""
    counted = []
    with pytest.raises(ObjectReadError, match="expected 5120000 bytes as listed, the server has 3: scan again"):
        read(readers(scripted(serve(b"abc")))[kind], a_file(), counted)
    assert counted == []


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_another_md5_names_both(scripted, kind):
    """What was recorded and what was read."""
    target = a_file(size_bytes=3, md5=Md5("0" * 32))
    with pytest.raises(
        DigestConflictError, match=f"expected MD5 {'0' * 32} as recorded, .* have MD5 {md5_hex(b'abc')}"
    ):
        read(readers(scripted(serve(b"abc")))[kind], target)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error(412, "PreconditionFailed"), "changed since it was listed: scan again"),
        (error(404, "NoSuchKey"), "gone since it was listed (HTTP 404): scan again"),
        (error(403, "AccessDenied"), "access denied (HTTP 403): it is not public; try --profile"),
    ],
)
@pytest.mark.parametrize("kind", ["s3", "http"])
def test_refusals_are_said_in_words(scripted, kind, answer, sentence):
    """Each with what to do next."""
    with pytest.raises(ObjectReadError) as caught:
        read(readers(scripted(lambda _: answer))[kind], a_file())
    assert caught.value.key == "dir/a b+.bin"
    assert caught.value.reason.startswith(sentence)


def test_archived_objects_are_told_apart(scripted):
    """Glacier must be restored first."""
    reader = readers(scripted(lambda _: error(403, "InvalidObjectState")))["s3"]
    with pytest.raises(ObjectReadError, match="archived in storage class DEEP_ARCHIVE: its owner must restore it"):
        read(reader, a_file(storage_class="DEEP_ARCHIVE"))


def test_a_web_server_with_another_etag_has_another_object(scripted):
    """Its bytes must not be recorded under the listed ETag."""
    server = scripted(serve(headers={"ETag": '"new"'}))
    with pytest.raises(ObjectReadError, match="expected ETag old as listed, got new"):
        read(readers(server)["http"], a_file(etag=ETag("old")))
    assert read(readers(server)["http"], a_file(etag=ETag("new"))).size_bytes == len(DATA)


def test_bytes_are_hashed_as_they_are_stored(scripted):
    """A stored gzip file is not unpacked because its headers say what it is."""
    server = scripted(serve(b"\x1f\x8b not really", headers={"Content-Encoding": "gzip"}))
    for reader in readers(server).values():
        found = read(reader, a_file(size_bytes=None))
        assert found.sha256 == hashlib.sha256(b"\x1f\x8b not really").hexdigest()


def test_reading_ends_when_it_is_stopped(scripted):
    """At the next chunk."""
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(ObjectReadError, match="interrupted"):
        digest_object(readers(scripted(serve()))["s3"], a_file(), stopped=stopped, on_chunk=lambda _: None)


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_memory_does_not_grow_with_the_object(scripted, kind):
    """A chunk at a time: 128 MiB are never held."""
    reader = readers(scripted(lambda _: Answer(body=bytes(1 << 20), times=128)))[kind]
    read(reader, a_file(size_bytes=None))
    tracemalloc.start()
    try:
        read(reader, a_file(size_bytes=128 << 20))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20
