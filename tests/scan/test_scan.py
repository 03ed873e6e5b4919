"""Scanning: real buckets, listing files and folders become snapshots."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opendata_pkg.listing.bucket import AccessDeniedError
from opendata_pkg.listing.etags import EtagIsNotMd5Error
from opendata_pkg.listing.s3 import NothingThereError
from opendata_pkg.listing.versions import NoHistoryError
from opendata_pkg.model import InputError, NotFoundError, SourceError, UsageError
from opendata_pkg.progress import Reporter
from opendata_pkg.scan.scan import scan
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.snapshot.snapshot import Snapshot

REAL_KEYS = Path(__file__).parents[1] / "data" / "openbluebrain-keys.tsv"
HOSTILE = ["a/b", "a", "a-", "a0", "a+b", "a b", "a%20b", "é/日本", "tab\there", "q?x#y&z=1", "<&>'\"", "..a/.b"]


class Said(Reporter):
    """Remembers the messages."""

    def __init__(self):
        self.messages = []

    def message(self, text):  # noqa: D102
        self.messages.append(text)


def put_all(server, bucket, objects):
    """Upload objects of a dictionary, several at a time."""
    client = server.client()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: client.put_object(Bucket=bucket, Key=item[0], Body=item[1]), objects.items()))


def rows(snapshot):
    """Sizes by key."""
    return {o.key: o.size_bytes for o in snapshot.objects()}


# Buckets


@pytest.mark.s3
def test_a_versioned_bucket_is_listed_with_versions(s3_server):
    """Current objects with their real versions, sorted by bytes whatever the server's order; the rest is counted."""
    s3_server.make_bucket("scan-versioned")
    client = s3_server.client()
    put_all(s3_server, "scan-versioned", dict.fromkeys([*HOSTILE, "gone"], b"first"))
    latest = {key: client.put_object(Bucket="scan-versioned", Key=key, Body=key.encode()) for key in HOSTILE}
    client.delete_object(Bucket="scan-versioned", Key="gone")
    snapshot = scan("s3://scan-versioned", endpoint_url=s3_server.endpoint_url)
    found = list(snapshot.objects())
    assert [o.key for o in found] == sorted(HOSTILE, key=str.encode)
    assert {o.key: o.version_id for o in found} == {key: said["VersionId"] for key, said in latest.items()}
    assert {o.key: o.etag for o in found} == {key: said["ETag"].strip('"') for key, said in latest.items()}
    assert rows(snapshot) == {key: len(key.encode()) for key in HOSTILE}
    header = snapshot.header
    assert (header.older_versions, header.delete_markers) == (len(HOSTILE) + 1, 1)
    assert (header.method, header.bucket, header.region) == ("ListObjectVersions", "scan-versioned", None)
    assert header.base_url == f"{s3_server.endpoint_url}/scan-versioned/"
    assert header.started <= header.finished
    assert scan("s3://scan-versioned", endpoint_url=s3_server.endpoint_url).id == snapshot.id


@pytest.mark.s3
@pytest.mark.parametrize("versions", ["auto", "no"])
def test_a_bucket_of_several_pages_is_listed_whole(s3_server, versions):
    """More than a page of a thousand, in several folders, with and without versions."""
    bucket = f"scan-pages-{versions}"
    s3_server.make_bucket(bucket)
    objects = {f"f{number % 3}/{number:04d}.swc": b"x" for number in range(1100)}
    put_all(s3_server, bucket, objects)
    snapshot = scan(f"s3://{bucket}", endpoint_url=s3_server.endpoint_url, versions=versions)
    assert [o.key for o in snapshot.objects()] == sorted(objects)


@pytest.mark.s3
def test_a_bucket_that_shows_only_current_objects_is_listed_without_versions(s3_server):
    """As many public buckets are; the person is told."""
    s3_server.make_bucket("scan-current", public="current-only")
    put_all(s3_server, "scan-current", {"a": b"1", "b": b"22"})
    said = Said()
    snapshot = scan("s3://scan-current", endpoint_url=s3_server.endpoint_url, reporter=said)
    assert rows(snapshot) == {"a": 1, "b": 2}
    assert {o.version_id for o in snapshot.objects()} == {None}
    assert snapshot.header.method == "ListObjectsV2"
    assert any("versions may not be listed by anonymous users" in text for text in said.messages)


@pytest.mark.s3
def test_a_private_bucket_needs_a_profile(s3_server, home):
    """Denied to anybody; listed with credentials, and the note says that readers need them too."""
    s3_server.make_bucket("scan-private", public=False)
    put_all(s3_server, "scan-private", {"a": b"1"})
    with pytest.raises(AccessDeniedError, match="try --profile"):
        scan("s3://scan-private", endpoint_url=s3_server.endpoint_url)
    (home / "aws-credentials").write_text(
        f"[me]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    snapshot = scan("s3://scan-private", endpoint_url=s3_server.endpoint_url, profile="me")
    assert [o.version_id is not None for o in snapshot.objects()] == [True]
    assert any("cannot be read without credentials" in note for note in snapshot.header.notes)


@pytest.mark.s3
def test_a_bucket_as_it_was(s3_server):
    """What was added, overwritten and deleted since is as it was then; versions of before they were kept have gone."""
    s3_server.make_bucket("scan-past", versioned=False)
    client = s3_server.client()
    put_all(s3_server, "scan-past", {"unversioned": b"0", "stays-null": b"0"})
    with pytest.raises(NoHistoryError):
        scan("s3://scan-past", endpoint_url=s3_server.endpoint_url, as_of=datetime.now(UTC))
    client.put_bucket_versioning(Bucket="scan-past", VersioningConfiguration={"Status": "Enabled"})
    old = client.put_object(Bucket="scan-past", Key="overwritten", Body=b"old")
    put_all(s3_server, "scan-past", {"deleted": b"1", "stays": b"1"})
    client.put_object(Bucket="scan-past", Key="gone-before", Body=b"1")
    client.delete_object(Bucket="scan-past", Key="gone-before")
    listed = scan("s3://scan-past", endpoint_url=s3_server.endpoint_url)
    then = max(o.last_modified for o in listed.objects())
    while datetime.now(UTC) < then + timedelta(seconds=2.1):
        time.sleep(0.1)
    put_all(s3_server, "scan-past", {"overwritten": b"newer", "added": b"1", "unversioned": b"1"})
    client.delete_object(Bucket="scan-past", Key="deleted")
    past = scan("s3://scan-past", endpoint_url=s3_server.endpoint_url, as_of=then + timedelta(seconds=1))
    assert rows(past) == {"overwritten": 3, "deleted": 1, "stays": 1, "stays-null": 1}
    assert past.get("overwritten").version_id == old["VersionId"]
    assert past.header.unaddressable == 1
    assert past.header.as_of == then + timedelta(seconds=1)
    assert any("left out: 1 key with bytes at that time" in note for note in past.header.notes)
    now = scan("s3://scan-past", endpoint_url=s3_server.endpoint_url, as_of=datetime.now(UTC) + timedelta(days=1))
    assert now.id == scan("s3://scan-past", endpoint_url=s3_server.endpoint_url).id


@pytest.mark.s3
def test_prefixes_restrict_a_scan(s3_server):
    """One in the source, or several; not both; a mistyped one is an error that names the right one."""
    s3_server.make_bucket("scan-prefix")
    put_all(s3_server, "scan-prefix", {"Rat/SSCx/1": b"", "Rat/VPL/2": b"", "Mouse/3": b""})
    where = {"endpoint_url": s3_server.endpoint_url}
    assert list(rows(scan("s3://scan-prefix/Rat/", **where))) == ["Rat/SSCx/1", "Rat/VPL/2"]
    several = scan("s3://scan-prefix", prefixes=["Rat/V", "Mouse/"], **where)
    assert list(rows(several)) == ["Mouse/3", "Rat/VPL/2"]
    assert several.header.prefixes == ("Rat/V", "Mouse/")
    assert list(rows(scan("s3://scan-prefix/Rat/VPL/2", **where))) == ["Rat/VPL/2"]
    with pytest.raises(UsageError, match="got both"):
        scan("s3://scan-prefix/Rat/", prefixes=["Mouse/"], **where)
    with pytest.raises(NothingThereError, match=r"begins with 'Rat/SSCX/'; spelled alike: Rat/SSCx/$"):
        scan("s3://scan-prefix/Rat/SSCX/", **where)


@pytest.mark.s3
def test_an_empty_bucket_is_not_found(s3_server):
    """A snapshot of nothing would publish nothing."""
    s3_server.make_bucket("scan-empty")
    with pytest.raises(NothingThereError, match="has no objects: check the bucket's name"):
        scan("s3://scan-empty", endpoint_url=s3_server.endpoint_url)


@pytest.mark.s3
def test_etags_are_taken_on_somebodys_word_and_checked(s3_server):
    """Multipart uploads stay without; a server whose small ETags are right is believed."""
    s3_server.make_bucket("scan-etags")
    client = s3_server.client()
    put_all(s3_server, "scan-etags", {"a": b"one", "b": b"two", "empty": b""})
    upload = client.create_multipart_upload(Bucket="scan-etags", Key="parts")["UploadId"]
    part = client.upload_part(Bucket="scan-etags", Key="parts", UploadId=upload, PartNumber=1, Body=b"three")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket="scan-etags", Key="parts", UploadId=upload, MultipartUpload=parts)
    untold = scan("s3://scan-etags", endpoint_url=s3_server.endpoint_url)
    assert {o.md5 for o in untold.objects()} == {None}
    told = scan("s3://scan-etags", endpoint_url=s3_server.endpoint_url, etag_is_md5=True)
    md5s = {o.key: o.md5 for o in told.objects()}
    expected = {
        key: hashlib.md5(data, usedforsecurity=False).hexdigest()
        for key, data in {"a": b"one", "b": b"two", "empty": b""}.items()
    }
    assert md5s == {**expected, "parts": None}
    assert (told.header.etags_are_md5, told.header.etags_checked) == (True, 2)


@pytest.mark.s3
def test_stored_checksums_are_asked_for(s3_server):
    """A SHA-256 that the uploader asked for is S3's own; others are left for `hash`."""
    s3_server.make_bucket("scan-heads")
    client = s3_server.client()
    client.put_object(Bucket="scan-heads", Key="summed", Body=b"abc", ChecksumAlgorithm="SHA256")
    client.put_object(Bucket="scan-heads", Key="plain", Body=b"abc")
    snapshot = scan("s3://scan-heads", endpoint_url=s3_server.endpoint_url, checksums="head", jobs=2)
    assert {o.key: o.sha256 for o in snapshot.objects()} == {
        "summed": hashlib.sha256(b"abc").hexdigest(),
        "plain": None,
    }
    assert "S3 keeps a SHA-256 of 1 of 2 objects" in snapshot.header.notes


@pytest.mark.s3
def test_readers_may_fetch_elsewhere(s3_server):
    """`--base-url` is the public address of a bucket that was scanned from within."""
    s3_server.make_bucket("scan-inside")
    put_all(s3_server, "scan-inside", {"a": b"1"})
    snapshot = scan("s3://scan-inside", endpoint_url=s3_server.endpoint_url, base_url="https://data.example.org/inside")
    assert snapshot.header.base_url == "https://data.example.org/inside/"
    assert snapshot.header.endpoint_url == s3_server.endpoint_url


# Listing files and folders


def test_the_real_keys_become_a_snapshot(tmp_path):
    """All 916, at the bucket's public address."""
    snapshot = scan(str(REAL_KEYS), bucket="openbluebrain", region="us-west-2")
    assert len(snapshot) == 916
    header = snapshot.header
    assert (header.method, header.bucket, header.region) == ("listing-file", "openbluebrain", "us-west-2")
    assert header.base_url == "https://openbluebrain.s3.us-west-2.amazonaws.com/"
    snapshot.write(tmp_path / "s.parquet")
    assert Snapshot.read(tmp_path / "s.parquet").id == snapshot.id


@pytest.mark.parametrize(
    ("address", "base_url"),
    [
        ({"base_url": "https://data.example.org/files"}, "https://data.example.org/files/"),
        ({"bucket": "b", "endpoint_url": "http://127.0.0.1:1"}, "http://127.0.0.1:1/b/"),
        ({}, None),
    ],
)
def test_a_listing_has_the_address_it_is_given(tmp_path, address, base_url):
    """Without one it can be looked at, and the person hears what is missing."""
    (tmp_path / "list.csv").write_text("key,size\nb,1\na,2\n")
    said = Said()
    snapshot = scan(str(tmp_path / "list.csv"), reporter=said, **address)
    assert rows(snapshot) == {"a": 2, "b": 1}
    assert snapshot.header.base_url == base_url
    assert any("no public address" in text for text in said.messages) is (base_url is None)


@pytest.mark.parametrize(
    "address", [{"bucket": "b"}, {"region": "us-east-1"}, {"base_url": "data.example.org"}, {"bucket": "a/b"}]
)
def test_half_an_address_is_refused(tmp_path, address):
    """It would make wrong URLs."""
    (tmp_path / "list.csv").write_text("key,size\na,2\n")
    with pytest.raises(UsageError):
        scan(str(tmp_path / "list.csv"), **address)


def test_a_folder_is_hashed(tmp_path):
    """With an address, its snapshot is ready to be built."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"abc")
    snapshot = scan(str(tmp_path), base_url="https://data.example.org/x/", jobs=2)
    (only,) = snapshot.objects()
    assert (only.key, only.sha256, only.size_bytes) == ("sub/a.txt", hashlib.sha256(b"abc").hexdigest(), 3)
    assert (snapshot.header.method, snapshot.header.base_url) == ("folder", "https://data.example.org/x/")


@pytest.mark.parametrize(
    ("source", "options", "error", "sentence"),
    [
        ("s3://b", {"bucket": "b"}, UsageError, "--bucket cannot be used with an S3 source"),
        ("list.csv", {"versions": "yes"}, UsageError, "--versions cannot be used with a listing file"),
        (".", {"prefixes": ["a"], "etag_is_md5": True}, UsageError, "--prefix and --etag-is-md5 cannot be used"),
        (".", {"bucket": "b", "region": "us-east-1"}, UsageError, "expected --base-url for the public address"),
        ("inventory/manifest.json", {}, NotFoundError, "there is no S3 Inventory manifest inventory/manifest.json"),
        ("inventory/manifest.json", {"bucket": "b"}, UsageError, "--bucket cannot be used with an S3 Inventory"),
        ("notes.txt", {}, UsageError, "which is another kind of file"),
        ("gone", {}, NotFoundError, "which does not exist"),
        ("gone.tsv", {}, NotFoundError, "no listing file"),
        ("s3:///x", {}, UsageError, "expected s3://BUCKET"),
        ("s3://b", {"endpoint_url": "127.0.0.1"}, UsageError, "expected a URL"),
        ("s3://b b", {"endpoint_url": "http://127.0.0.1:1"}, UsageError, "expected a bucket's name"),
    ],
)
def test_what_cannot_be_scanned_is_said(tmp_path, monkeypatch, source, options, error, sentence):
    """Sources of no kind, and options that another kind of source has."""
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_text("key,size\na,1\n")
    Path("notes.txt").write_text("hello")
    with pytest.raises(error, match=sentence):
        scan(source, **options)


# The command


@pytest.mark.s3
def test_the_command_writes_a_snapshot_and_says_what_is_next(s3_server, tmp_path, run_opendata):
    """Text for people, JSON for scripts, messages on stderr, documented exit statuses."""
    s3_server.make_bucket("scan-command")
    put_all(s3_server, "scan-command", {"a": b"1", "b": b"22"})
    where = ("--endpoint-url", s3_server.endpoint_url)
    done = run_opendata("scan", "s3://scan-command", "--out", "s.parquet", *where)
    snapshot = Snapshot.read(tmp_path / "s.parquet")
    assert "s3://scan-command: 2 objects, 3 bytes\n" in done.stdout
    assert f"snapshot {snapshot.id}\n" in done.stdout
    assert "next: opendata hash --dry-run s.parquet\n" in done.stdout
    assert "ETags were not taken as MD5s" in done.stderr
    quiet = run_opendata("scan", "s3://scan-command", "--out", "t.parquet", "--json", "--quiet", *where)
    assert quiet.stderr == ""
    document = json.loads(quiet.stdout)
    assert (document["id"], document["objects"], document["snapshot"]) == (snapshot.id, 2, "t.parquet")
    then = format_time(datetime(2001, 1, 1, tzinfo=UTC))
    empty = run_opendata("scan", "s3://scan-command", "--out", "u.parquet", "--as-of", then, *where, check=False)
    assert empty.returncode == NotFoundError.exit_status
    assert "has no objects at 2001-01-01T00:00:00Z" in empty.stderr
    assert not (tmp_path / "u.parquet").exists()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["list.csv", "--out", "s.csv"], InputError.exit_status, "expected a snapshot's name to end in .parquet"),
        (["bad.csv", "--out", "s.parquet"], InputError.exit_status, "bad.csv, line 2: column size"),
        (["header.csv", "--out", "s.parquet"], NotFoundError.exit_status, "lists no objects"),
        (["gone", "--out", "s.parquet"], NotFoundError.exit_status, "does not exist"),
        (["list.csv"], UsageError.exit_status, "--out"),
        (["s3://b", "--out", "s.parquet", "--as-of", "2024-01-01"], UsageError.exit_status, "2024-05-31T12:00:00Z"),
        (["s3://b", "--out", "s.parquet", "--as-of", "0001-01-01T00:00:00+14:00"], UsageError.exit_status, "--as-of: "),
        (["s3://b", "--out", "s.parquet", "--as-of", "now"], UsageError.exit_status, "in ISO 8601, got 'now'"),
        (["s3://b", "--out", "s.parquet", "--as-of", "9999-01-01T00:00:00Z"], UsageError.exit_status, "of the past"),
        (
            ["s3://b", "--out", "s.parquet", "--as-of", "2024-01-01T00:00:00Z", "--versions", "no"],
            UsageError.exit_status,
            "--as-of needs versions, which --versions no leaves out",
        ),
        (["s3://b", "--out", "s.parquet", "--versions", "all"], UsageError.exit_status, "--versions"),
    ],
)
def test_the_command_fails_with_a_sentence(tmp_path, run_opendata, words, status, sentence):
    """And the documented status, and nothing written."""
    (tmp_path / "list.csv").write_text("key,size\na,1\n")
    (tmp_path / "bad.csv").write_text("key,size\na,big\n")
    (tmp_path / "header.csv").write_text("key,size\n")
    done = run_opendata("scan", *words, check=False)
    assert done.returncode == status
    assert sentence in done.stderr
    assert not list(tmp_path.glob("*.parquet"))


def test_errors_of_the_word_are_input_errors():
    """`--etag-is-md5` that the bytes contradict is bad input; a source that fails is not."""
    assert EtagIsNotMd5Error.exit_status == InputError.exit_status
    assert AccessDeniedError.exit_status == SourceError.exit_status
