"""Digests of files come into a snapshot by key and version, or are refused in a sentence."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opendata_pkg.listing.digest_files import BadDigestFileError
from opendata_pkg.model import ETag, Md5, NotFoundError, ObjectKey, S3Object, Sha256, VersionId
from opendata_pkg.scan.joining import DigestsDisagreeError, join_digests
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import StoredSnapshot
from tests.clone_support import Listener

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=10)


def sha256(text):
    """The digest of some bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def b64(digest):
    """A hex digest in base64."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def snapshot_of(*objects, bucket="b"):
    """A snapshot of these objects."""
    header = SnapshotHeader(source="s3://b", method="ListObjectVersions", base_url="https://b.example/", bucket=bucket)
    return Snapshot.from_objects(objects, header)


def obj(key, version="v1", **values):
    """An object of 3 bytes."""
    values = {"size_bytes": 3, "etag": ETag("e-2"), **values}
    return S3Object(key=ObjectKey(key), version_id=None if version is None else VersionId(version), **values)


def write_csv(path, rows, delimiter=","):
    """A file of rows."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def report_row(
    key, digest, version="v1", status="succeeded", algorithm="SHA256", kind="FULL_OBJECT", etag="e-2", bucket="b"
):
    """A row of a completion report of S3 Batch Operations."""
    message = {
        "checksum_base64": b64(digest),
        "etag": etag,
        "checksumAlgorithm": algorithm,
        "checksumType": kind,
        "checksum_hex": digest.upper(),
    }
    return [bucket, quote_plus(key, safe="/"), version, status, "200", "", json.dumps(message)]


def digests(result):
    """Both digests by key."""
    return {o.key: (o.sha256, o.md5) for o in result.snapshot.objects()}


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.csv.gz", "d.parquet"])
def test_files_of_every_kind_fill_in_digests(tmp_path, name):
    """Hex of any case and base64, by key and version; other columns mean nothing."""
    header = ["note", "key", "version_id", "sha256", "md5"]
    rows = [["x", "a,b", "v1", sha256("a").upper(), ""], ["x", "line\nbreak", "", b64(sha256("l")), b64("b2" * 16)]]
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table(dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))), path)
    else:
        write_csv(path, [header, *rows], "\t" if "tsv" in name else ",")
    result = join_digests(snapshot_of(obj("a,b"), obj("line\nbreak"), obj("z")), [path])
    assert digests(result) == {"a,b": (sha256("a"), None), "line\nbreak": (sha256("l"), "b2" * 16), "z": (None, None)}
    assert (result.filled, result.matched, result.other_state, result.not_listed, result.unusable) == (2, 2, 0, 0, 0)
    assert result.snapshot.header.notes == (f"digests of 2 objects were taken from {name}",)


def test_reports_of_s3_batch_operations_are_read(tmp_path):
    """Full-object SHA-256 and MD5 of tasks that succeeded count; keys are decoded; the rest is counted."""
    failed = ["b", "f", "v1", "failed", "403", "AccessDenied", "Access denied"]
    rows = [
        report_row("a+b c", sha256("a")),
        report_row("m", "b2" * 16, algorithm="MD5"),
        report_row("crc", "00" * 8, algorithm="CRC64NVME"),
        report_row("parts", sha256("p"), kind="COMPOSITE"),
        report_row("changed", sha256("c"), etag="other"),
        report_row("gone", sha256("g")),
        failed,
    ]
    keys = ["a+b c", "m", "crc", "parts", "changed", "f"]
    result = join_digests(snapshot_of(*map(obj, keys)), [write_csv(tmp_path / "r.csv", rows)])
    found = digests(result)
    assert found.pop("a+b c") == (sha256("a"), None)
    assert found.pop("m") == (None, "b2" * 16)
    assert set(found.values()) == {(None, None)}
    assert (result.filled, result.matched, result.other_state, result.not_listed, result.unusable) == (2, 2, 1, 1, 3)


def test_a_report_with_a_header_is_read(tmp_path):
    """Amazon writes none; whoever joins reports or opens them in a spreadsheet puts one in."""
    header = ["Bucket", "Key", "VersionId", "TaskStatus", "ErrorCode", "HTTPStatusCode", "ResultMessage"]
    path = write_csv(tmp_path / "r.csv", [header, report_row("a", sha256("a"))])
    assert digests(join_digests(snapshot_of(obj("a")), [path])) == {"a": (sha256("a"), None)}
    result = join_digests(snapshot_of(obj("a"), bucket=None), [path])
    assert result.filled == 1
    assert join_digests(snapshot_of(obj("a")), [write_csv(path, [header])]).matched == 0


def test_checksums_may_be_escaped_as_json_allows(tmp_path):
    """Not every writer of JSON leaves `=`, `+` and `/` alone."""
    digest = "fb" * 16 + "ff" * 16
    assert "/" in b64(digest)
    row = report_row("a", digest)
    row[-1] = json.dumps({"checksum_base64": b64(digest), "checksumAlgorithm": "SHA256", "checksumType": "FULL_OBJECT"})
    row[-1] = row[-1].replace("=", r"\u003d").replace("+", r"\u002B").replace("/", r"\/")
    result = join_digests(snapshot_of(obj("a")), [write_csv(tmp_path / "r.csv", [row])])
    assert digests(result) == {"a": (digest, None)}


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_columns_may_be_spelled_otherwise(tmp_path, name):
    """A `versionId` that meant nothing would give an object the digest of another version."""
    columns = {"Key": ["a", "b"], "versionId": ["v1", "v0"], "SHA-256": [sha256("a"), sha256("b")], "note": ["", ""]}
    path, said = tmp_path / name, Listener()
    if name.endswith("parquet"):
        pq.write_table(pa.table(columns), path)
    else:
        write_csv(path, [list(columns), *zip(*columns.values(), strict=True)])
    result = join_digests(snapshot_of(obj("a"), obj("b")), [path], reporter=said)
    assert digests(result) == {"a": (sha256("a"), None), "b": (None, None)}
    assert (result.matched, result.other_state) == (1, 1)
    assert said.messages == [f"{path}: ignoring columns that mean nothing here: note"]


def test_a_report_on_another_bucket_is_refused(tmp_path):
    """Its keys may be the same, its bytes need not."""
    path = write_csv(tmp_path / "r.csv", [report_row("a", sha256("a"), bucket="other")])
    with pytest.raises(BadDigestFileError, match="expected a report on bucket b, got one on other"):
        join_digests(snapshot_of(obj("a")), [path])


@pytest.mark.parametrize(
    ("header", "row", "version", "fits"),
    [
        ("version_id", "v1", "v1", True),
        ("version_id", "v0", "v1", False),
        ("version_id", "", "v1", True),
        ("version_id", "null", "null", True),
        ("version_id", "null", None, True),
        ("version_id", "null", "v1", False),
        ("version_id", "v1", None, False),
        ("size", "3", "v1", True),
        ("size", "4", "v1", False),
        ("etag", '"e-2"', "v1", True),
        ("etag", "e-3", "v1", False),
    ],
)
def test_digests_of_another_state_are_not_taken(tmp_path, header, row, version, fits):
    """Version, size and ETag must agree where both sides know them."""
    path = write_csv(tmp_path / "d.csv", [["key", header, "sha256"], ["a", row, sha256("a")]])
    result = join_digests(snapshot_of(obj("a", version)), [path])
    assert (result.filled, result.other_state) == ((1, 0) if fits else (0, 1))


def test_known_digests_that_agree_stay(tmp_path):
    """Saying what is known changes nothing: the snapshot is the same, its notes too."""
    known = snapshot_of(obj("a", sha256=Sha256(sha256("a")), md5=Md5("b2" * 16)))
    path = write_csv(tmp_path / "d.csv", [["key", "sha256"], ["a", sha256("a")], ["a", sha256("a")]])
    result = join_digests(known, [path, path])
    assert result.snapshot is known
    assert (result.filled, result.matched) == (0, 4)


def test_more_than_memory_holds_is_joined_alike(tmp_path, monkeypatch):
    """Entries in any order, of several files, and a snapshot in its file: neither has to be in memory."""
    monkeypatch.setattr("opendata_pkg.columns.sorting.RUN_BYTES", 500)
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", 0)
    monkeypatch.setattr("opendata_pkg.snapshot.storage.READ_ROWS", 7)
    keys = [f"k{number:03d}" for number in range(100)]
    said = [key for key in keys if key[-1] != "3"]
    paths = [
        write_csv(
            tmp_path / f"{part}.csv", [["key", "sha256"], *([key, sha256(key)] for key in reversed(said[part::2]))]
        )
        for part in range(2)
    ]
    paths.append(write_csv(tmp_path / "other.csv", [["key", "sha256"], ["a", sha256("a")], ["z", sha256("z")]]))
    known = snapshot_of(*map(obj, keys))
    known.write(tmp_path / "s.parquet")
    for snapshot in (known, StoredSnapshot.open(tmp_path / "s.parquet")):
        result = join_digests(snapshot, paths)
        assert digests(result) == {key: (sha256(key) if key in said else None, None) for key in keys}
        assert (result.filled, result.matched, result.not_listed) == (90, 90, 2)


def test_conflicts_name_the_key(tmp_path):
    """With what is known, and between the entries."""
    path = write_csv(tmp_path / "d.csv", [["key", "sha256"], ["a", sha256("b")]])
    other = write_csv(tmp_path / "e.csv", [["key", "sha256"], ["a", sha256("c")]])
    with pytest.raises(DigestsDisagreeError, match=f"'a': expected one sha256, got {sha256('a')} and {sha256('b')}"):
        join_digests(snapshot_of(obj("a", sha256=Sha256(sha256("a")))), [path])
    with pytest.raises(DigestsDisagreeError, match="'a': expected one sha256, got "):
        join_digests(snapshot_of(obj("a")), [path, other])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [["name", "sha256"], ["a", "x"]],
            "expected a header with the column key and sha256 or md5, .* got name, sha256",
        ),
        ([["key", "size"], ["a", "1"]], "expected a header"),
        ([["key", "md5", "md5"], ["a", "", ""]], "expected each column once, got md5 twice"),
        ([["key", "sha256"], ["", sha256("a")]], "expected a key in each row, got 1 row without one"),
        ([["key", "sha256"], ["a", "abc"]], "'a': expected sha256 as 64 hex digits or base64 of 32 bytes, got 'abc'"),
        ([["key", "md5"], ["a", b64(sha256("a"))]], "'a': expected md5 as 32 hex digits"),
        ([["key", "sha256"], ["a", sha256("a"), "x"]], "cannot be read: .*; copy it again, or mend it"),
        (
            [["key", "size", "sha256"], ["a", "1 kB", sha256("a")]],
            "'a': expected size as a whole number of bytes, got '1 kB'",
        ),
    ],
)
def test_bad_files_are_told(tmp_path, rows, sentence):
    """Each fault is named."""
    with pytest.raises(BadDigestFileError, match=sentence):
        join_digests(snapshot_of(obj("a")), [write_csv(tmp_path / "d.csv", rows)])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"checksum_hex": sha256("b")},
            "'k': expected one checksum, got [0-9a-f]{64} in hex and .* in base64, which is",
        ),
        ({"checksum_base64": "no"}, "'k': expected one checksum"),
        (
            {"checksum_hex": "abc", "checksum_base64": ""},
            "'k': expected sha256 as 64 hex digits .* got 'abc': write it so",
        ),
    ],
)
def test_altered_reports_are_told(tmp_path, changed, sentence):
    """A checksum stands there twice: neither is taken where they are not one."""
    row = report_row("k", sha256("a"))
    row[-1] = json.dumps({**json.loads(row[-1]), **changed})
    with pytest.raises(BadDigestFileError, match=sentence):
        join_digests(snapshot_of(obj("k")), [write_csv(tmp_path / "r.csv", [report_row("j", sha256("j")), row])])


@pytest.mark.parametrize("key", ["a%", "a%2", "a%2g", "%zz"])
def test_keys_of_reports_that_are_not_encoded_are_told(tmp_path, key):
    """They would be those of other objects."""
    row = report_row("k", sha256("a"))
    row[1] = key
    with pytest.raises(BadDigestFileError, match=rf"r\.csv: expected URL-encoded keys, got '{key}', with a %"):
        join_digests(snapshot_of(obj("k")), [write_csv(tmp_path / "r.csv", [row])])


@pytest.mark.parametrize("name", ["d.csv", "d.parquet", "d.csv.gz"])
def test_files_of_nothing_are_told(tmp_path, name):
    """Emptied files are not taken for having no digests."""
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadDigestFileError, match="cannot be read"):
        join_digests(snapshot_of(obj("a")), [tmp_path / name])


def test_missing_and_odd_files_are_told(tmp_path):
    """A name that is wrong, and one that says nothing."""
    with pytest.raises(NotFoundError, match="there is no file of digests"):
        join_digests(snapshot_of(obj("a")), [tmp_path / "gone.csv"])
    (tmp_path / "sums.txt").touch()
    with pytest.raises(BadDigestFileError, match=r"to end in one of \.csv"):
        join_digests(snapshot_of(obj("a")), [tmp_path / "sums.txt"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, st.booleans(), min_size=1), st.booleans())
def test_any_keys_find_their_digests(tmp_path, keys, as_report):
    """For any keys, some with an entry: exactly those have their digest, in plain files and in reports."""
    wanted = [key for key, is_there in keys.items() if is_there]
    if as_report:
        rows = [report_row(key, sha256(key)) for key in [*wanted, "somebody else's"]]
    else:
        rows = [["key", "sha256"], *([key, sha256(key)] for key in wanted)]
    result = join_digests(snapshot_of(*map(obj, keys)), [write_csv(tmp_path / "d.csv", rows)])
    assert digests(result) == {key: (sha256(key) if is_there else None, None) for key, is_there in keys.items()}


def test_the_command_takes_digests_from_files(run_opendata, tmp_path):
    """`hash --from` reads no object, prints counts, and ends with 3 at a conflict; it says where the rest comes from."""
    snapshot_of(obj("a"), obj("z")).write(tmp_path / "s.parquet")
    write_csv(tmp_path / "d.csv", [["key", "sha256"], ["a", sha256("a")]])
    done = run_opendata("hash", "s.parquet", "--from", "d.csv")
    assert "digests filled in for 1 object; matching entries 1" in done.stdout
    assert "next: opendata hash s.parquet" in done.stdout
    assert Snapshot.read(tmp_path / "s.parquet").get("a").sha256 == sha256("a")
    write_csv(tmp_path / "d.csv", [["key", "sha256"], ["a", sha256("b")]])
    assert run_opendata("hash", "s.parquet", "--from", "d.csv", check=False).returncode == 3
    assert run_opendata("hash", "s.parquet", "--from", "d.csv", "--dry-run", check=False).returncode == 2
