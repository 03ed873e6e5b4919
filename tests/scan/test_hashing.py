"""Hashing: the digests that a snapshot lacks, from the objects' bytes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.digests.checksums import FILE_NAME, ChecksumCache
from opendata_pkg.listing import read as reading
from opendata_pkg.listing.read import ObjectReadError
from opendata_pkg.model import ETag, InputError, Md5, NotFoundError, ObjectKey, S3Object, SourceError, UsageError
from opendata_pkg.progress import Reporter
from opendata_pkg.scan.hashing import (
    ConflictingHashError,
    HashFailure,
    IncompleteHashError,
    NoAddressError,
    hash_object,
    hash_snapshot,
    object_source,
    plan_hash,
)
from opendata_pkg.scan.scan import scan
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot
from tests.listing.scripted import Answer, ScriptedServer, error

OBJECTS = {"a.swc": b"1 1 0", "x/b.swc": b"2" * 100, "x/y/c.txt": b"3" * 3_000_000, "x/y/z/d +é.txt": b""}


def sha256(data):
    """Of bytes, as snapshots have it."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def cache(tmp_path):
    """An empty checksum cache."""
    with ChecksumCache.open(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def scripted():
    """Start servers that answer as a function says."""
    servers = []

    def start(answer):
        servers.append(ScriptedServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def upload(server, bucket, objects=None, **options):
    """A bucket with objects, and its snapshot."""
    server.make_bucket(bucket, **options)
    for key, data in (OBJECTS if objects is None else objects).items():
        server.client().put_object(Bucket=bucket, Key=key, Body=data)
    return scan(f"s3://{bucket}", endpoint_url=server.endpoint_url)


def listed(base_url, objects, **header):
    """A snapshot of objects at a web server."""
    return Snapshot.from_objects(
        objects, SnapshotHeader(source="list.csv", method="listing-file", base_url=base_url, **header)
    )


def an_object(key, size, etag="e", **values):
    """A row without SHA-256."""
    return S3Object(key=ObjectKey(key), size_bytes=size, etag=None if etag is None else ETag(etag), **values)


class Counted(Reporter):
    """Adds up what is reported."""

    def __init__(self):
        self.total, self.done = None, 0
        self._lock = threading.Lock()

    def start(self, task, total=None, unit="files"):  # noqa: D102, ARG002
        self.total = total

    def advance(self, count=1):  # noqa: D102
        with self._lock:
            self.done += count


@pytest.mark.s3
def test_every_object_gets_its_digest(s3_server, cache):
    """From the bytes of a real server; sizes agree; progress counts bytes; a second run reads nothing."""
    snapshot = upload(s3_server, "hash-all")
    counted = Counted()
    result = hash_snapshot(snapshot, cache=cache, jobs=3, reporter=counted)
    assert {o.key: o.sha256 for o in result.snapshot.objects()} == {key: sha256(data) for key, data in OBJECTS.items()}
    total = sum(map(len, OBJECTS.values()))
    assert (result.hashed, result.hashed_bytes, result.from_cache, result.failed) == (4, total, 0, ())
    assert (counted.total, counted.done) == (total, total)
    assert "the SHA-256 of 4 objects was computed from their bytes" in result.snapshot.header.notes
    assert result.snapshot.id != snapshot.id
    result.check_complete()
    s3_server.client().delete_object(Bucket="hash-all", Key="a.swc")
    again = hash_snapshot(snapshot, cache=cache)
    assert (again.hashed, again.from_cache) == (0, 4)
    assert again.snapshot.id == result.snapshot.id
    nothing = hash_snapshot(result.snapshot, cache=cache)
    assert nothing.snapshot is result.snapshot


@pytest.mark.s3
def test_an_overwritten_object_is_read_at_its_version(s3_server, cache):
    """What the snapshot recorded, not what is there now; deleted keys too."""
    snapshot = upload(s3_server, "hash-versions")
    client = s3_server.client()
    client.put_object(Bucket="hash-versions", Key="a.swc", Body=b"other")
    client.delete_object(Bucket="hash-versions", Key="x/b.swc")
    result = hash_snapshot(snapshot, cache=cache)
    assert result.failed == ()
    assert result.snapshot.get("a.swc").sha256 == sha256(OBJECTS["a.swc"])
    assert result.snapshot.get("x/b.swc").sha256 == sha256(OBJECTS["x/b.swc"])


@pytest.mark.s3
def test_failures_are_named_and_stop_nobody(s3_server, cache):
    """An object that changed and one that went, in a bucket without versions; the others get their digests."""
    snapshot = upload(s3_server, "hash-failing", versioned=False)
    client = s3_server.client()
    client.put_object(Bucket="hash-failing", Key="a.swc", Body=b"1 1 1")
    client.delete_object(Bucket="hash-failing", Key="x/b.swc")
    result = hash_snapshot(snapshot, cache=cache)
    assert [(failure.key, failure.reason) for failure in result.failed] == [
        ("a.swc", "changed since it was listed: scan again"),
        ("x/b.swc", "gone since it was listed (HTTP 404): scan again"),
    ]
    assert result.hashed == 2
    assert result.snapshot.get("a.swc").sha256 is None
    assert result.snapshot.get("x/y/c.txt").sha256 == sha256(OBJECTS["x/y/c.txt"])
    with pytest.raises(IncompleteHashError, match=r"2 objects could not be hashed\. .*\n  a\.swc: changed"):
        result.check_complete()


@pytest.mark.s3
def test_a_selection_and_a_budget_restrict_a_run(s3_server, cache):
    """gitignore-style globs on keys; a budget takes the smallest first and counts what did not fit."""
    snapshot = upload(s3_server, "hash-selected")
    some = hash_snapshot(snapshot, cache=cache, include=["*.swc"], exclude=["/x/"])
    assert [o.key for o in some.snapshot.objects() if o.sha256] == ["a.swc"]
    budget = hash_snapshot(some.snapshot, cache=cache, max_bytes=100)
    assert [o.key for o in budget.snapshot.objects() if o.sha256] == ["a.swc", "x/b.swc", "x/y/z/d +é.txt"]
    assert (budget.hashed, budget.skipped) == (2, 1)


@pytest.mark.s3
def test_a_recorded_md5_is_checked_on_the_way(s3_server, cache):
    """Bytes with another MD5 are a failure that names both."""
    snapshot = upload(s3_server, "hash-md5", {"good": b"one", "bad": b"two"})
    objects = [replace(o, md5=Md5(hashlib.md5(b"one", usedforsecurity=False).hexdigest())) for o in snapshot.objects()]
    result = hash_snapshot(Snapshot.from_objects(objects, snapshot.header), cache=cache)
    assert result.snapshot.get("good").sha256 == sha256(b"one")
    (failure,) = result.failed
    assert failure.key == "bad"
    assert f"expected MD5 {objects[0].md5} as recorded, but its 3 bytes have MD5" in failure.reason


@pytest.mark.s3
def test_what_the_source_says_of_bytes_is_compared(s3_server, cache):
    """An upload in parts and one with a checksum, on a real server; both agree, and are counted."""
    s3_server.make_bucket("hash-checks")
    client = s3_server.client()
    parts = [b"a" * (5 << 20), b"b" * (5 << 20), b"end"]
    started = client.create_multipart_upload(Bucket="hash-checks", Key="parts")["UploadId"]
    where = {"Bucket": "hash-checks", "Key": "parts", "UploadId": started}
    done = [
        {"PartNumber": number, "ETag": client.upload_part(**where, PartNumber=number, Body=data)["ETag"]}
        for number, data in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
    client.put_object(Bucket="hash-checks", Key="sum", Body=b"x" * 100, ChecksumAlgorithm="SHA256")
    snapshot = scan("s3://hash-checks", endpoint_url=s3_server.endpoint_url)
    assert snapshot.get("parts").etag.endswith("-3")
    result = hash_snapshot(snapshot, cache=cache)
    assert result.snapshot.get("parts").sha256 == sha256(b"".join(parts))
    assert result.agreed["MD5 of parts"] == 1
    assert result.agreed["SHA256"] == 1
    assert result.untold == 0


def test_bytes_that_contradict_their_checksum_end_in_status_3(scripted, tmp_path, run_opendata):
    """The object is named and gets no digest; others do; and the bytes can be believed instead."""
    headers = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "FULL_OBJECT"}
    server = scripted(lambda request: Answer(body=b"x", headers=headers if request.path == "/b/bad" else {}))
    snapshot = listed(None, [an_object(key, 1) for key in ("bad", "good")], bucket="b", endpoint_url=server.url)
    snapshot.write(tmp_path / "s.parquet")
    done = run_opendata("hash", "s.parquet", "--json", check=False)
    assert done.returncode == InputError.exit_status
    assert "the bytes of 1 object are not those that were recorded: they were given no digest\n  bad: " in done.stderr
    assert "expected the CRC32 00000000 that its server states" in done.stderr
    (failure,) = json.loads(done.stdout)["failed"]
    assert (failure["key"], failure["is_conflict"]) == ("bad", True)
    assert [o.sha256 for o in Snapshot.read(tmp_path / "s.parquet").objects()] == [None, sha256(b"x")]
    believed = run_opendata("hash", "s.parquet", "--no-cross-check")
    assert Snapshot.read(tmp_path / "s.parquet").get("bad").sha256 == sha256(b"x")
    assert "cross-checks" not in believed.stdout


def test_a_conflict_is_named_before_other_failures():
    """It is the graver one, and decides the status."""
    plain = HashFailure(key=ObjectKey("a"), reason="gone")
    conflict = HashFailure(key=ObjectKey("b"), reason="other", is_conflict=True)
    with pytest.raises(
        ConflictingHashError, match=r"1 object .*, and 1 could not be hashed: .*\n  b: other\n  a: gone"
    ):
        raise ConflictingHashError([plain, conflict])


def test_one_object_can_be_hashed_by_any_process(scripted):
    """All that a worker needs are plain values, and so is what it answers."""
    server = scripted(lambda request: error(404, "NoSuchKey") if "gone" in request.path else Answer(body=b"x"))
    snapshot = listed(None, [an_object("a", 1), an_object("gone", 1)], bucket="b", endpoint_url=server.url)
    source = object_source(snapshot.header)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as workers:
        found, failed = workers.map(partial(hash_object, source), list(snapshot.objects()))
    assert found.checksum.sha256 == sha256(b"x")
    assert failed == HashFailure(key=ObjectKey("gone"), reason="gone since it was listed (HTTP 404): scan again")


def test_connections_are_shared_by_bytes(monkeypatch, cache):
    """An object that is nearly all gets nearly all of them; small ones get one each."""
    asked = {}

    def digest_of_nothing(reader, target, *, lanes, **options):
        asked[target.key] = lanes
        raise ObjectReadError(target.key, "not read")

    monkeypatch.setattr("opendata_pkg.scan.hashing.digest_object", digest_of_nothing)
    objects = [an_object("large", 30 << 30), an_object("half", 10 << 30), an_object("small", 100)]
    hash_snapshot(listed("http://127.0.0.1:1/", objects), cache=cache, jobs=16)
    assert asked == {"large": 12, "half": 4, "small": 1}


def test_a_web_server_is_read_by_its_urls(static_server, tmp_path, cache):
    """A listing with a base URL needs no S3; unknown sizes are filled in."""
    folder = tmp_path / "www"
    for key, data in OBJECTS.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    objects = [an_object(key, None, etag=None) for key in OBJECTS] + [an_object("gone", None, etag=None)]
    result = hash_snapshot(listed(static_server(folder) + "/", objects), cache=cache, jobs=2)
    assert [failure.key for failure in result.failed] == ["gone"]
    found = {o.key: (o.sha256, o.size_bytes) for o in result.snapshot.objects() if o.key != "gone"}
    assert found == {key: (sha256(data), len(data)) for key, data in OBJECTS.items()}
    assert hash_snapshot(listed(static_server(folder) + "/", objects), cache=cache).from_cache == 0


CATALOGUE = Catalogue.parse(
    b'format: 1\nid: t\nepoch: "2024-01-01T00:00:00Z"\nbranches: {a: {branches: {b: {}}}}\n', "t"
)


def test_a_plan_counts_by_branch_and_reads_nothing(cache):
    """Objects, sizes and time of each branch; what the cache knows and what the budget leaves out."""
    objects = [
        an_object("top", 10),
        an_object("a/1", 20),
        an_object("a/b/2", 30),
        an_object("a/b/c/3", 40),
        an_object("a/b/c/4", None),
        an_object("known", 5, sha256=sha256(b"")),
    ]
    snapshot = listed("http://127.0.0.1:1/", objects)
    plan = plan_hash(snapshot, CATALOGUE, cache=cache, jobs=2)
    assert (plan.objects, plan.size_bytes, plan.unknown_sizes, plan.from_cache, plan.skipped) == (5, 100, 1, 0, 0)
    assert [(entry.branch, entry.objects, entry.size_bytes) for entry in plan.branches] == [
        (".", 1, 10),
        ("a", 1, 20),
        ("a/b", 3, 70),
    ]
    assert sum(entry.estimated_s for entry in plan.branches) == pytest.approx(plan.estimated_s)
    assert plan.estimated_s == pytest.approx(100 / 50e6 + 5 * 0.1 / 2)
    assert plan_hash(snapshot, CATALOGUE, cache=cache, max_bytes=10**30).skipped == 1
    budget = plan_hash(snapshot, CATALOGUE, cache=cache, max_bytes=60)
    assert (budget.objects, budget.size_bytes, budget.skipped) == (3, 60, 2)


def test_what_cannot_be_hashed_is_said(cache):
    """No address, no such algorithm, a profile for a web server, a glob that is none."""
    nowhere = listed(None, [an_object("a", 1)])
    with pytest.raises(NoAddressError, match="scan again with --bucket and --region, or --base-url"):
        hash_snapshot(nowhere, cache=cache)
    with pytest.raises(UsageError, match="expected sha256 as the algorithm, got 'md5'"):
        hash_snapshot(nowhere, cache=cache, algorithm="md5")
    with pytest.raises(UsageError, match="leave it out"):
        hash_snapshot(listed("http://127.0.0.1:1/", [an_object("a", 1)]), cache=cache, profile="me")
    with pytest.raises(UsageError, match="after --include"):
        plan_hash(nowhere, CATALOGUE, cache=cache, include=["!"])
    whole = listed(None, [an_object("a", 1, sha256=sha256(b""))])
    assert hash_snapshot(whole, cache=cache).snapshot is whole


def test_a_server_that_went_away_is_given_up(scripted, cache, monkeypatch):
    """After two failures in a row for each job, not one by one through a million objects; what was read is kept."""
    monkeypatch.setattr(reading, "_TRIES", 1)
    monkeypatch.setattr(reading, "_FIRST_DELAY_S", 0.001)
    server = scripted(lambda request: Answer(body=b"x", cut=None if request.path.endswith("/000") else 0))
    objects = [an_object(f"{number:03d}", 1) for number in range(100)]
    snapshot = listed(None, objects, bucket="b", endpoint_url=server.url)
    result = hash_snapshot(snapshot, cache=cache, jobs=2)
    assert result.hashed == 1
    assert len(result.failed) == 4
    assert result.untried == 95
    with pytest.raises(IncompleteHashError, match="95 more were not tried, since the server stopped answering"):
        result.check_complete()


def test_refusals_in_a_row_do_not_end_a_run(scripted, cache):
    """A folder of private files is no reason to leave the rest."""
    server = scripted(
        lambda request: Answer(body=b"x") if request.path.endswith("/last") else error(403, "AccessDenied")
    )
    objects = [an_object(f"{number:03d}", 1) for number in range(40)] + [an_object("last", 1)]
    result = hash_snapshot(listed(None, objects, bucket="b", endpoint_url=server.url), cache=cache, jobs=2)
    assert (result.hashed, len(result.failed), result.untried) == (1, 40, 0)


# The command


@pytest.mark.s3
def test_the_command_plans_hashes_and_replaces_the_snapshot(s3_server, tmp_path, run_opendata):
    """Dry run, run, run again: text and JSON."""
    snapshot = upload(s3_server, "hash-command")
    snapshot.write(tmp_path / "s.parquet")
    plan = run_opendata("hash", "s.parquet", "--dry-run")
    assert re.search(r"^\. +4 +3\.0 MB +0:00:00$", plan.stdout, re.MULTILINE)
    assert "to read: 4 objects, 3,000,105 bytes\n" in plan.stdout
    assert Snapshot.read(tmp_path / "s.parquet").id == snapshot.id
    done = run_opendata("hash", "s.parquet", "--include", "*.swc", "--out", "t.parquet", "--json")
    document = json.loads(done.stdout)
    assert (document["hashed"], document["failed"], document["snapshot"]) == (2, [], "t.parquet")
    assert Snapshot.read(tmp_path / "s.parquet").id == snapshot.id
    text = run_opendata("hash", "s.parquet").stdout
    hashed = Snapshot.read(tmp_path / "s.parquet")
    assert {o.sha256 for o in hashed.objects()} == {sha256(data) for data in OBJECTS.values()}
    assert "read 2 objects, 3,000,000 bytes; known from earlier runs 2\n" in text
    assert f"snapshot {hashed.id}\n" in text


@pytest.mark.s3
def test_the_command_writes_what_it_has_and_then_fails(s3_server, tmp_path, run_opendata):
    """Status 5, the names on stderr, and every success in the snapshot."""
    snapshot = upload(s3_server, "hash-command-failing", versioned=False)
    snapshot.write(tmp_path / "s.parquet")
    s3_server.client().delete_object(Bucket="hash-command-failing", Key="a.swc")
    done = run_opendata("hash", "s.parquet", "--json", check=False)
    assert done.returncode == SourceError.exit_status
    assert [failure["key"] for failure in json.loads(done.stdout)["failed"]] == ["a.swc"]
    assert "a.swc: gone since it was listed" in done.stderr
    assert sum(o.sha256 is not None for o in Snapshot.read(tmp_path / "s.parquet").objects()) == 3


def test_the_command_on_what_is_no_snapshot(tmp_path, run_opendata):
    """Not found, with the command that makes one."""
    done = run_opendata("hash", "gone.parquet", check=False)
    assert done.returncode == NotFoundError.exit_status
    assert "make it with: opendata scan SOURCE --out gone.parquet" in done.stderr


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_is_carried_on(scripted, tmp_path, run_opendata, sign, status):
    """Ctrl-C and `kill -9` lose nothing that was read; the snapshot stays as it was until it is whole."""
    is_slow = threading.Event()
    is_slow.set()

    def answer(request):
        if is_slow.is_set() and request.path == "/b/9":
            time.sleep(3)
        return Answer(body=b"x")

    server = scripted(answer)
    snapshot = listed(None, [an_object(str(number), 1) for number in range(10)], bucket="b", endpoint_url=server.url)
    snapshot.write(tmp_path / "s.parquet")
    before = (tmp_path / "s.parquet").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "opendata_pkg", "hash", str(tmp_path / "s.parquet"), "--quiet"], stderr=subprocess.PIPE
    )
    database = f"file:{os.environ['OPENDATA_CACHE']}/{FILE_NAME}?mode=ro"
    deadline = time.monotonic() + 60
    while _count(database) < 9 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sign)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert b"Traceback" not in said
    assert (tmp_path / "s.parquet").read_bytes() == before
    is_slow.clear()
    again = json.loads(run_opendata("hash", "s.parquet", "--json").stdout)
    assert (again["from_cache"], again["hashed"]) == (9, 1)


def test_a_run_that_is_killed_within_a_large_object_is_carried_on(scripted, tmp_path, run_opendata):
    """While ranges of it are being read: it is read again, and nothing else is."""
    large, is_slow = b"0123456789abcdef" * (5 << 20), threading.Event()
    is_slow.set()

    def answer(request):
        if request.path != "/b/large":
            return Answer(body=b"x")
        if "range" not in request.headers:
            return Answer(headers={"Content-Length": str(len(large))})
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        if is_slow.is_set() and int(first) > 30 << 20:
            time.sleep(30)
        place = {"Content-Range": f"bytes {first}-{last}/{len(large)}"}
        return Answer(206, large[int(first) : int(last) + 1], place)

    server = scripted(answer)
    objects = [an_object("large", len(large)), *(an_object(str(number), 1) for number in range(5))]
    snapshot = listed(None, objects, bucket="b", endpoint_url=server.url)
    snapshot.write(tmp_path / "s.parquet")
    process = subprocess.Popen([sys.executable, "-m", "opendata_pkg", "hash", str(tmp_path / "s.parquet"), "--quiet"])
    database = f"file:{os.environ['OPENDATA_CACHE']}/{FILE_NAME}?mode=ro"
    deadline = time.monotonic() + 60
    while (_count(database) < 5 or _ranges(server) < 6) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    is_slow.clear()
    again = json.loads(run_opendata("hash", "s.parquet", "--json").stdout)
    assert (again["from_cache"], again["hashed"], again["hashed_bytes"]) == (5, 1, len(large))
    assert Snapshot.read(tmp_path / "s.parquet").get("large").sha256 == sha256(large)


def _ranges(server):
    return sum("range" in request.headers for request in list(server.requests))


def _count(database):
    try:
        connection = sqlite3.connect(database, uri=True)
        try:
            return connection.execute("SELECT count(*) FROM checksums").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0
