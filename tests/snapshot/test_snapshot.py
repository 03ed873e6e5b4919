"""Snapshots: sorted, whole or refused, and the same id for the same objects."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.documents import InvalidDocumentError, NewerFormatError
from opendata_pkg.model import ETag, InputError, Md5, NotFoundError, ObjectKey, S3Object, Sha256, VersionId
from opendata_pkg.snapshot import pair as snapshot_pair
from opendata_pkg.snapshot import storage as snapshot_io
from opendata_pkg.snapshot.check import BrokenSnapshotError
from opendata_pkg.snapshot.header import SnapshotHeader, format_time, header_path, parse_time
from opendata_pkg.snapshot.rows import SCHEMA, DuplicateKeyError, objects_to_table
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import StoredSnapshot, write_snapshot
from opendata_pkg.text import escape_line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HEADER = SnapshotHeader(
    source="s3://b/p",
    method="ListObjectVersions",
    base_url="https://b.s3.us-west-2.amazonaws.com/",
    bucket="b",
    region="us-west-2",
    prefixes=("p",),
    as_of=datetime(2024, 5, 31, 12, tzinfo=UTC),
    started=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    finished=datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    older_versions=3,
    delete_markers=2,
    unaddressable=1,
    etags_are_md5=True,
    etags_checked=8,
    notes=("one", "two"),
)
WHOLE = S3Object(
    key=ObjectKey("p/é +%\n"),
    version_id=VersionId("v1"),
    size_bytes=5,
    etag=ETag("e-2"),
    sha256=Sha256("a1" * 32),
    md5=Md5("b2" * 16),
    last_modified=datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    storage_class="GLACIER",
)
BARE = S3Object(key=ObjectKey("p/bare"))
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text("-\t%\x7fé", min_size=1, max_size=3),
)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
OBJECTS = st.builds(
    S3Object,
    key=TEXTS,
    version_id=st.none() | TEXTS,
    size_bytes=st.none() | st.integers(0, (1 << 53) - 1),
    etag=st.none() | TEXTS,
    sha256=st.none() | st.just("a1" * 32),
    md5=st.none() | st.just("b2" * 16),
    last_modified=st.none() | TIMES,
    storage_class=st.none() | st.just("STANDARD"),
)


def test_rows_are_sorted_by_the_bytes_of_their_keys():
    """S3's order, not that of a locale or of folders; by UTF-8, where UTF-16 would differ."""
    keys = ["a/b", "a", "B", "a-", "a/b/c", "a0", "é", "\U0001f600", "\uffee", ""]
    snapshot = Snapshot.from_objects([S3Object(key=ObjectKey(key)) for key in keys], HEADER)
    assert [o.key for o in snapshot.objects()] == sorted(keys, key=str.encode)


def test_a_key_twice_is_refused():
    """A snapshot has one row a key."""
    with pytest.raises(DuplicateKeyError, match="got 'p/bare' twice"):
        Snapshot.from_objects([BARE, WHOLE, BARE], HEADER)


def test_what_was_written_is_read(tmp_path):
    """Every column and every field of the header, to the microsecond; the id is checked on the way."""
    snapshot = Snapshot.from_objects([WHOLE, BARE], HEADER)
    snapshot.write(tmp_path / "s.parquet")
    back = Snapshot.read(tmp_path / "s.parquet")
    assert list(back.objects()) == [BARE, WHOLE]
    assert back.header == HEADER
    assert back.id == snapshot.id


def test_an_empty_snapshot_is_one_too(tmp_path):
    """No rows, an id."""
    Snapshot.from_objects([], HEADER).write(tmp_path / "s.parquet")
    assert len(Snapshot.read(tmp_path / "s.parquet")) == 0


# Each example is written to disk and synced, twice.
@settings(max_examples=25)
@given(st.lists(OBJECTS, max_size=8, unique_by=lambda o: o.key), st.randoms(use_true_random=False))
def test_any_objects_survive_and_order_does_not_matter(tmp_path_factory, objects, random):
    """Write and read give the same rows; shuffled sources give the same id."""
    path = tmp_path_factory.mktemp("s") / "s.parquet"
    snapshot = Snapshot.from_objects(objects, HEADER)
    snapshot.write(path)
    assert list(Snapshot.read(path).objects()) == sorted(objects, key=lambda o: o.key.encode())
    random.shuffle(objects)
    assert Snapshot.from_objects(objects, HEADER).id == snapshot.id


def test_the_id_is_the_documented_one():
    """docs/reference/snapshot.md, line by line."""
    lines = (
        "opendata snapshot 1\n"
        "https://b.s3.us-west-2.amazonaws.com/\n"
        "p/bare\t-\t-\t-\t-\t-\t-\n"
        f"p/é +%25%0A\tv1\t5\te-2\t{'a1' * 32}\t{'b2' * 16}\t1704164645678901\n"
    )
    assert Snapshot.from_objects([WHOLE, BARE], HEADER).id == hashlib.sha256(lines.encode()).hexdigest()


def field_of(value):
    """A value in a row of the id, spelled out."""
    return "-" if value is None else "%2D" if value == "-" else escape_line(str(value))


@given(st.lists(OBJECTS, max_size=8, unique_by=lambda o: o.key), st.integers(1, 9))
def test_the_id_does_not_depend_on_how_many_rows_are_worked_on_at_a_time(objects, rows):
    """Whatever bytes keys, ETags and versionIds have, and wherever a batch begins."""
    text = "opendata snapshot 1\nhttps://b.s3.us-west-2.amazonaws.com/\n"
    for o in sorted(objects, key=lambda o: o.key.encode()):
        time = "-" if o.last_modified is None else str((o.last_modified - EPOCH) // timedelta(microseconds=1))
        fields = (field_of(value) for value in (o.version_id, o.size_bytes, o.etag, o.sha256, o.md5))
        text += "\t".join([escape_line(o.key), *fields, time]) + "\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.snapshot.snapshot.BATCH_ROWS", rows)
        assert Snapshot.from_objects(objects, HEADER).id == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other"},
        {"version_id": "v2"},
        {"version_id": None},
        {"size_bytes": 6},
        {"etag": "-"},
        {"etag": None},
        {"sha256": None},
        {"md5": None},
        {"last_modified": None},
        {"last_modified": WHOLE.last_modified + timedelta(microseconds=1)},
    ],
)
def test_any_change_of_an_object_changes_the_id(change):
    """Each column counts."""
    changed = Snapshot.from_objects([replace(WHOLE, **change)], HEADER)
    assert changed.id != Snapshot.from_objects([WHOLE], HEADER).id


def test_storage_class_and_header_do_not_change_the_id_but_the_address_does():
    """A colder tier holds the same bytes; the same keys elsewhere are other objects."""
    snapshot = Snapshot.from_objects([WHOLE], HEADER)
    assert Snapshot.from_objects([replace(WHOLE, storage_class=None)], replace(HEADER, notes=())).id == snapshot.id
    assert Snapshot.from_objects([WHOLE], replace(HEADER, base_url=None)).id != snapshot.id


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([replace(BARE, etag=ETag("-"))], [BARE]),
        ([replace(BARE, version_id=VersionId("-"))], [BARE]),
        (
            [replace(BARE, etag=ETag("e\t-\t-\t-\np/x\t-\t-\te"))],
            [replace(BARE, etag=ETag("e")), replace(BARE, key=ObjectKey("p/x"), etag=ETag("e"))],
        ),
        ([replace(BARE, etag=ETag("%2D"))], [replace(BARE, etag=ETag("-"))]),
    ],
)
def test_no_value_can_pass_for_another_row(left, right):
    """A listing file may hold any ETag: a tab, a newline or a `-` in it forges no other snapshot."""
    assert Snapshot.from_objects(left, HEADER).id != Snapshot.from_objects(right, HEADER).id


def test_rows_are_found_by_key_and_prefix():
    """By bytes, at both ends and in between."""
    keys = sorted(["a", "a/1", "a/2", "a0", "b/1", "é/1"], key=str.encode)
    snapshot = Snapshot.from_objects([S3Object(key=ObjectKey(key)) for key in keys], HEADER)
    assert snapshot.get("a/2") == S3Object(key=ObjectKey("a/2"))
    assert snapshot.get("a/3") is None
    assert snapshot.get("zz") is None
    for prefix in ("", "a", "a/", "b/", "c", "é/", "zzz"):
        start, stop = snapshot.prefix_range(prefix)
        assert [o.key for o in snapshot.objects(start, stop)] == [key for key in keys if key.startswith(prefix)]


def test_columns_can_be_replaced():
    """As `hash` does: the rows stay, a note says why."""
    snapshot = Snapshot.from_objects([BARE], HEADER)
    filled = snapshot.with_columns({"size": pa.array([7], pa.int64())}, ("three",))
    assert [o.size_bytes for o in filled.objects()] == [7]
    assert filled.header.notes == ("one", "two", "three")
    assert filled.id != snapshot.id


# What is not a snapshot


@pytest.fixture
def written(tmp_path):
    """A snapshot on disk."""
    path = tmp_path / "s.parquet"
    Snapshot.from_objects([WHOLE, BARE], HEADER).write(path)
    return path


@pytest.mark.parametrize("missing", ["s.parquet", "s.json"])
def test_a_missing_file_is_named(written, missing):
    """With the command that makes it."""
    (written.parent / missing).unlink()
    with pytest.raises(NotFoundError, match=rf"{missing} is missing; make it with: opendata scan SOURCE --out"):
        Snapshot.read(written)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_parquet_file_cut_short_is_told(written, keep):
    """At any place."""
    written.write_bytes(written.read_bytes()[:keep])
    with pytest.raises(BrokenSnapshotError, match="no whole snapshot"):
        Snapshot.read(written)


def test_rows_that_are_not_the_header_s_are_told(written):
    """Another snapshot's rows, or edited ones."""
    pq.write_table(objects_to_table([BARE]), written)
    with pytest.raises(BrokenSnapshotError, match="do not belong together"):
        Snapshot.read(written)


@pytest.mark.parametrize(
    ("keys", "says"),
    [("bac", "got 'a' after 'b'"), ("abb", "got 'b' after 'b'"), ("aé😀\ufb00", "got '\ufb00' after '😀'")],
)
@pytest.mark.parametrize("rows", [1, 9])
def test_rows_out_of_order_are_told(tmp_path, monkeypatch, keys, says, rows):
    """Of a snapshot that another tool wrote, whose id is right: by each way of reading it, in pieces of any length."""
    monkeypatch.setattr(snapshot_io, "READ_ROWS", rows)
    monkeypatch.setattr(snapshot_pair, "BATCH_ROWS", rows)
    path, other = tmp_path / "s.parquet", tmp_path / "other.parquet"
    table = pa.concat_tables(objects_to_table([S3Object(key=ObjectKey(key))]) for key in keys)
    write_snapshot([table], HEADER, path)
    Snapshot.from_objects([S3Object(key=ObjectKey("b"))], HEADER).write(other)
    for read in (
        lambda: Snapshot.read(path),
        lambda: Snapshot.read_two(path, other),
        lambda: Snapshot.read_two(other, path),
        lambda: Snapshot.read_two(path, path),
        lambda: [*StoredSnapshot.open(path).batches()],
    ):
        with pytest.raises(BrokenSnapshotError, match=f"each key once, in the order of their bytes, {says}"):
            read()


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("key", "", "a key of at least one character, got an empty one"),
        ("size", -1, "a size of at least 0 bytes, got -1 for 'b'"),
        ("sha256", "ab", "64 lower-case hex digits as sha256, got 'ab' for 'b'"),
        ("sha256", "G" * 64, "64 lower-case hex digits as sha256, got 'GGG"),
        ("md5", "A" * 32, "32 lower-case hex digits as md5, got 'AAA"),
        ("last_modified", 2**62, "a time of the years 1 to 9999, got 4611686018427387904 for 'b'"),
        ("last_modified", -(2**62), "a time of the years 1 to 9999, got -4611686018427387904 for 'b'"),
    ],
)
def test_values_that_cannot_be_are_told(tmp_path, column, value, says):
    """Of a snapshot that another tool wrote, whose id is right: by each way of reading it."""
    path, other = tmp_path / "s.parquet", tmp_path / "other.parquet"
    whole = S3Object(key=ObjectKey("b"), sha256=Sha256("a" * 64), md5=Md5("b" * 32), size_bytes=1, last_modified=EPOCH)
    table = objects_to_table([whole, replace(whole, key=ObjectKey("c"))])
    index = SCHEMA.names.index(column)
    field = SCHEMA.field(index)
    odd = pa.array([value], pa.int64() if column == "last_modified" else field.type).cast(field.type)
    values = pa.chunked_array([odd, table[column].chunk(0).slice(1)])
    write_snapshot([table.set_column(index, field, values)], HEADER, path)
    Snapshot.from_objects([whole], HEADER).write(other)
    for read in (
        lambda: Snapshot.read(path),
        lambda: Snapshot.read_two(path, other),
        lambda: Snapshot.read_two(other, path),
        lambda: [*StoredSnapshot.open(path).batches()],
    ):
        with pytest.raises(BrokenSnapshotError, match=re.escape(says)):
            read()


def test_rows_without_a_key_are_told(written):
    """As another tool may write them."""
    columns = objects_to_table([BARE]).to_pydict() | {"key": [None]}
    pq.write_table(pa.table(columns, schema=pa.schema([field.with_nullable(True) for field in SCHEMA])), written)
    with pytest.raises(BrokenSnapshotError, match="no whole snapshot"):
        Snapshot.read(written)


def test_a_parquet_file_of_other_columns_is_told(written):
    """Parquet, but no snapshot."""
    pq.write_table(pa.table({"name": ["a"]}), written)
    with pytest.raises(BrokenSnapshotError, match="no whole snapshot"):
        Snapshot.read(written)


def test_a_header_cut_short_is_told(written):
    """As a document that is no JSON."""
    header_path(written).write_text(header_path(written).read_text()[:-20])
    with pytest.raises(InvalidDocumentError, match=r"s\.json: at \$: expected a JSON document"):
        Snapshot.read(written)


def test_a_header_with_a_fault_names_the_field(written):
    """The schema judges it."""
    header_path(written).write_text(json.dumps({**json.loads(header_path(written).read_text()), "objects": -1}))
    with pytest.raises(InvalidDocumentError, match=r"at \$\.objects"):
        Snapshot.read(written)


def test_a_newer_format_asks_for_an_upgrade(written):
    """And is not guessed at."""
    header_path(written).write_text(json.dumps({**json.loads(header_path(written).read_text()), "format": 2}))
    with pytest.raises(NewerFormatError, match=r"format version 2, .*pip install --upgrade"):
        Snapshot.read(written)


def test_a_name_that_is_no_snapshot_s_is_refused_before_anything_is_written(tmp_path):
    """Names end in .parquet, or the header would have no place."""
    with pytest.raises(InputError, match=r"expected a snapshot's name to end in \.parquet"):
        Snapshot.from_objects([BARE], HEADER).write(tmp_path / "snapshot.csv")
    assert list(tmp_path.iterdir()) == []


def test_times_are_told_in_utc():
    """Whatever zone they came in; one without a zone is refused."""
    time = datetime(2024, 5, 31, 14, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(time) == "2024-05-31T12:00:00Z"
    assert parse_time(format_time(time)) == time
    with pytest.raises(ValueError, match="zone"):
        parse_time("2024-05-31T12:00:00")
