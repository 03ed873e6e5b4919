"""Reading objects and computing their digests, through S3 and over plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import tracemalloc
from dataclasses import replace

import pytest

from opendata_pkg.listing import digest, ranges
from opendata_pkg.listing import read as reading
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
        if not (asked := request.headers.get("range")):
            return Answer(200, data, headers or {}, left.pop(0) if left else None)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last) + 1 if last else len(data)
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        return Answer(206, data[start:stop], {**place, **(headers or {})}, left.pop(0) if left else None)

    return answer


_OPENED = []


@pytest.fixture(autouse=True)
def _closed_at_the_end():
    yield
    while _OPENED:
        _OPENED.pop().close()


def readers(server):
    """Every kind, of the same server."""
    found = {
        "s3": S3ObjectReader(bucket=open_bucket("b", endpoint_url=server.url)),
        "http": HttpObjectReader.create(f"{server.url}/b/", connections=1),
        "public": HttpObjectReader.create(f"{server.url}/b/", connections=1, is_s3=True),
    }
    _OPENED.extend(found.values())
    return found


KINDS = ["s3", "http", "public"]


def read(reader, target, counted=None, **options):
    """Digest an object as a run does."""
    counted = [] if counted is None else counted
    return digest_object(reader, target, on_chunk=counted.append, **options).checksum


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(reading, "_FIRST_DELAY_S", 0.001)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_read_to_its_digest(scripted, kind):
    """SHA-256 and size, MD5 only if there is one to check, and every byte is counted."""
    server, counted = scripted(serve()), []
    found = read(readers(server)[kind], a_file(), counted)
    assert (found.sha256, found.size_bytes, found.md5) == (hashlib.sha256(DATA).hexdigest(), len(DATA), None)
    assert sum(counted) == len(DATA)
    assert server.requests[0].path == "/b/dir/a b+.bin"
    checked = read(readers(server)[kind], a_file(md5=Md5(md5_hex(DATA))))
    assert checked.md5 == md5_hex(DATA)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_size_is_found(scripted, kind):
    """A listing that did not know the size learns it; an empty object is one too."""
    assert read(readers(scripted(serve()))[kind], a_file(size_bytes=None)).size_bytes == len(DATA)
    empty = read(readers(scripted(serve(b"")))[kind], a_file(size_bytes=0))
    assert (empty.sha256, empty.size_bytes) == (hashlib.sha256().hexdigest(), 0)


@pytest.mark.parametrize("kind", ["s3", "public"])
def test_s3_is_asked_for_the_recorded_state(scripted, kind):
    """The version if it is real, else the ETag as a condition; nothing if neither is known. And for its checksums."""
    server = scripted(serve())
    reader = readers(server)[kind]
    for target in (
        a_file(version_id=VersionId("v1"), etag=ETag("e")),
        a_file(version_id=VersionId("null"), etag=ETag("e")),
        a_file(),
    ):
        read(reader, target)
    asked = [(request.query.get("versionId"), request.headers.get("if-match")) for request in server.requests]
    assert asked == [("v1", None), (None, '"e"'), (None, None)]
    assert {request.headers["x-amz-checksum-mode"] for request in server.requests} == {"ENABLED"}


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
    """Without an ETag nothing tells whether a range would be of the same bytes: the digest starts over."""
    server = scripted(serve(cuts=[2_500_000]))
    assert read(readers(server)["http"], a_file()).sha256 == hashlib.sha256(DATA).hexdigest()
    assert [request.headers.get("range") for request in server.requests] == [None, None]


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("kind", ["http", "public"])
def test_a_broken_http_connection_goes_on_where_an_etag_allows(scripted, kind, knows_ranges):
    """If the ETag is still the same; and a server that knows no ranges is read from the beginning."""
    ranged, plain = serve(cuts=[2_500_000], headers={"ETag": '"e"'}), serve(cuts=[2_500_000])

    def answer(request):
        return ranged(request) if knows_ranges else plain(replace(request, headers={}))

    server = scripted(answer)
    assert read(readers(server)[kind], a_file(etag=ETag("e"))).sha256 == hashlib.sha256(DATA).hexdigest()
    first, second = server.requests
    assert first.headers.get("range") is None
    assert second.headers["range"].startswith("bytes=2")
    assert second.headers["if-range"] == '"e"'


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_always_breaks_is_given_up(scripted, kind):
    """After five breaks without getting further."""
    server = scripted(serve(b"x" * 100, cuts=[0] * 99))
    with pytest.raises(ConnectionLostError, match=r"the connection broke|the server stopped 100 bytes before the end"):
        read(readers(server)[kind], a_file(size_bytes=100))
    assert len(server.requests) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_another_size_is_told_before_reading(scripted, kind):
    """The object changed: nothing of it is hashed."""
    counted = []
    with pytest.raises(ObjectReadError, match="expected 5120000 bytes as listed, the server has 3: scan again"):
        read(readers(scripted(serve(b"abc")))[kind], a_file(), counted)
    assert counted == []


@pytest.mark.parametrize("kind", KINDS)
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
        (Answer(203, b"what a proxy says"), "HTTP status 203"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_refusals_are_said_in_words(scripted, kind, answer, sentence):
    """Each with what to do next."""
    with pytest.raises(ObjectReadError) as caught:
        read(readers(scripted(lambda _: answer))[kind], a_file())
    assert caught.value.key == "dir/a b+.bin"
    assert caught.value.reason.startswith(sentence)


@pytest.mark.parametrize("kind", ["s3", "public"])
def test_archived_objects_are_told_apart(scripted, kind):
    """Glacier must be restored first."""
    reader = readers(scripted(lambda _: error(403, "InvalidObjectState")))[kind]
    with pytest.raises(ObjectReadError, match="archived in storage class DEEP_ARCHIVE: its owner must restore it"):
        read(reader, a_file(storage_class="DEEP_ARCHIVE"))


@pytest.mark.parametrize(("kind", "sentence"), [("s3", "there is no bucket 'b'"), ("public", "there is no bucket at")])
def test_a_bucket_that_is_gone_is_told_apart(scripted, kind, sentence):
    """From an object that is."""
    reader = readers(scripted(lambda _: error(404, "NoSuchBucket")))[kind]
    with pytest.raises(ObjectReadError, match=sentence):
        read(reader, a_file())


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
        digest_object(readers(scripted(serve()))["s3"], a_file(), stopped=stopped)


@pytest.mark.parametrize("kind", KINDS)
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


# Cross-checks


def checksum_headers(data, algorithm="sha1"):
    """What S3 says of an object with its bytes."""
    text = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    return {f"x-amz-checksum-{algorithm}": text, "x-amz-checksum-type": "FULL_OBJECT"}


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("kind", ["s3", "public"])
def test_a_checksum_of_s3_is_compared(scripted, small_ranges, kind, lanes):
    """Agreement is counted; a conflict names both; and one can choose not to compare."""
    right = readers(scripted(serve(headers=checksum_headers(DATA))))[kind]
    target = a_file(etag=ETag("e"), md5=Md5(md5_hex(DATA)))
    assert digest_object(right, target, lanes=lanes).agreed == ("MD5", "SHA1")
    wrong = readers(scripted(serve(headers=checksum_headers(b"other"))))[kind]
    with pytest.raises(DigestConflictError, match=r"expected the SHA1 d0941e68\w+ that its server states"):
        digest_object(wrong, target, lanes=lanes)
    assert digest_object(wrong, target, lanes=lanes, cross_check=False).agreed == ("MD5",)


def test_a_checksum_survives_a_broken_connection(scripted):
    """It comes with the first answer; what follows is a range, which has none."""
    server = scripted(serve(cuts=[2_500_000], headers=checksum_headers(DATA)))
    assert digest_object(readers(server)["s3"], a_file(etag=ETag("e"))).agreed == ("SHA1",)
    assert len(server.requests) == 2


# Ranges


@pytest.fixture
def small_ranges(monkeypatch):
    """Ranges of 100 kB, so that 5 MB are many."""
    monkeypatch.setattr(ranges, "RANGE_BYTES", 100_000)
    monkeypatch.setattr(digest, "_RANGED_FROM_BYTES", 1_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_object_is_read_by_several_connections(scripted, small_ranges, kind):
    """Every byte once and in order, whatever order the ranges come in; broken ones are asked for again."""
    slow, lock = iter(range(1000)), threading.Lock()
    inner = serve(cuts=[None, 50_000, None, 0, None])

    def answer(request):
        with lock:
            said, number = inner(request), next(slow)
        time.sleep(0.02 if number % 3 else 0)
        return said

    server, counted = scripted(answer), []
    found = read(readers(server)[kind], a_file(etag=ETag("e")), counted, lanes=4)
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert sum(counted) == len(DATA)
    asked = [request.headers["range"] for request in server.requests if "range" in request.headers]
    assert len(set(asked)) >= 52
    assert len(asked) <= 56


def test_ranges_are_asked_for_a_window_ahead_only(scripted, small_ranges, monkeypatch):
    """Two for each connection are in memory, however slow hashing is."""
    server = scripted(serve())
    chunks = ranges.read_ahead(
        readers(server)["s3"], a_file(etag=ETag("e")), len(DATA), lanes=2, stopped=threading.Event()
    )
    first = next(chunks)
    assert first == DATA[:100_000]
    deadline = time.monotonic() + 30
    while len(server.requests) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(server.requests) == 4
    chunks.close()


def test_an_object_without_a_recorded_state_is_read_in_one(scripted, small_ranges):
    """Ranges of it might be of different bytes; nor are small ones worth it."""
    server = scripted(serve())
    for target in (a_file(), a_file(size_bytes=None, etag=ETag("e"))):
        read(readers(server)["s3"], target, lanes=4)
    assert [request.headers.get("range") for request in server.requests] == [None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_ranges_is_read_in_one(scripted, small_ranges, kind):
    """It sends everything whatever it is asked for."""
    plain = serve()
    server = scripted(lambda request: plain(replace(request, headers={})))
    assert read(readers(server)[kind], a_file(etag=ETag("e")), lanes=4).sha256 == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", [1, 4])
def test_shorter_ranges_than_were_asked_for_are_gone_on_from(scripted, small_ranges, kind, lanes):
    """A proxy with a limit, say; `lanes` of 1 asks for ranges only after a break."""
    whole = serve(headers={"ETag": '"e"'}, cuts=[100_000])

    def answer(request):
        if not (asked := request.headers.get("range")):
            return whole(request)
        start, _, stop = asked.removeprefix("bytes=").partition("-")
        last = min(int(start) + 299_999, int(stop or len(DATA) - 1))
        return whole(replace(request, headers={**request.headers, "range": f"bytes={start}-{last}"}))

    server = scripted(answer)
    target = a_file(etag=ETag("e"))
    assert read(readers(server)[kind], target, lanes=lanes).sha256 == hashlib.sha256(DATA).hexdigest()
    assert all("range" in request.headers for request in server.requests[1:] if request.method == "GET")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_sends_another_range_is_read_in_one(scripted, small_ranges, kind):
    """As many bytes as were asked for, but not those: their digest would be of no object."""

    def answer(request):
        if "range" in request.headers:
            size = len(DATA)
            return Answer(206, DATA[:100_000], {"Content-Range": f"bytes 0-99999/{size}", "ETag": '"e"'})
        return Answer(200, DATA, {"ETag": '"e"'})

    server = scripted(answer)
    assert read(readers(server)[kind], a_file(etag=ETag("e")), lanes=4).sha256 == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["bytes 5-5119999/5120000", ""])
def test_bytes_from_elsewhere_do_not_go_on_with_an_object(scripted, monkeypatch, kind, place):
    """After a break, a server that does not go on from there is told, and no digest is made."""
    monkeypatch.setattr("opendata_pkg.listing.read._FIRST_DELAY_S", 0.001)

    def answer(request):
        if "range" not in request.headers:
            return Answer(200, DATA, {"ETag": '"e"'}, 2_500_000)
        return Answer(206, DATA[5:], {"ETag": '"e"', **({"Content-Range": place} if place else {})})

    target = a_file(etag=ETag("e"), size_bytes=None)
    with pytest.raises(ObjectReadError, match=r"asked for its bytes from 2\d+ on, .* from 5 on|without saying which"):
        read(readers(scripted(answer))[kind], target)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_changes_between_ranges_is_told(scripted, small_ranges, kind):
    """By its ETag, which each range is asked with."""
    inner = serve(headers={"ETag": '"e"'})

    def answer(request):
        is_late = request.headers.get("range", "bytes=0-").split("=")[1].startswith("3")
        return error(412, "PreconditionFailed") if is_late else inner(request)

    with pytest.raises(ObjectReadError, match="changed since it was listed"):
        read(readers(scripted(answer))[kind], a_file(etag=ETag("e")), lanes=4)
