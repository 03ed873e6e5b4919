"""Listing files: what they may be, and the sentence that a person gets for what they may not be."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.listing import table as tables
from opendata_pkg.listing.table import BadListingError, EmptyListingError, is_listing_file, key_stands_twice
from opendata_pkg.model import NotFoundError
from opendata_pkg.progress import Reporter

REAL_KEYS = Path(__file__).parents[1] / "data" / "openbluebrain-keys.tsv"
SHA256, MD5 = "a1" * 32, "b2" * 16


class Said(Reporter):
    """Remembers the messages."""

    def __init__(self):
        self.messages = []

    def message(self, text):  # noqa: D102
        self.messages.append(text)


def read_listing(path, **options):
    """All rows at once, as a scan finds keys that stand twice."""
    table = pa.concat_tables(tables.read_listing(path, **options))
    for key in table["key"].value_counts().to_pylist():
        if key["counts"] > 1:
            raise key_stands_twice(path, key["values"])
    return table


def write(folder, text, name="list.csv"):
    """A file of these bytes, or of this text in UTF-8."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_column_is_read(tmp_path):
    """All columns a snapshot has, in any order; ETags lose their quotes, times their zone, digests their capitals."""
    path = write(
        tmp_path,
        "storage_class,md5,sha256,last_modified,etag,version_id,size,key\n"
        f'GLACIER,{MD5.upper()},{SHA256},2024-05-31T14:00:00.5+02:00,"""abc-2""",v1,12,a/b.swc\n',
    )
    assert read_listing(path).to_pylist() == [
        {
            "key": "a/b.swc",
            "version_id": "v1",
            "size": 12,
            "etag": "abc-2",
            "sha256": SHA256,
            "md5": MD5,
            "last_modified": datetime(2024, 5, 31, 12, 0, 0, 500000, tzinfo=UTC),
            "storage_class": "GLACIER",
        }
    ]


def test_unknown_values_are_null(tmp_path):
    """Nothing, and a rounded size, are not known; they are not 0 and not ''."""
    path = write(tmp_path, "key,size,etag,md5,last_modified\na,,,,\nb,~228 MB,,,\nc,0,,,\n")
    table = read_listing(path)
    assert table["size"].to_pylist() == [None, None, 0]
    assert [table[name].null_count for name in ("etag", "md5", "sha256", "last_modified", "version_id")] == [3] * 5


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("name", "between"), [("l.csv", ","), ("L.TSV", "\t")])
def test_files_of_any_editor_are_read(tmp_path, name, between, mark, ending):
    """With or without a byte order mark, with LF or CRLF, a blank line at the end, a comma or a tab."""
    lines = [f"key{between}size", f"a b{between}1", f"é{between}2", "", ""]
    table = read_listing(write(tmp_path, mark + ending.join(lines), name))
    assert table["key"].to_pylist() == ["a b", "é"]


def test_compressed_files_are_read(tmp_path):
    """`.csv.gz` is what large listings come as."""
    path = write(tmp_path, gzip.compress(b"key,size\na,1\n"), "list.csv.gz")
    assert read_listing(path)["key"].to_pylist() == ["a"]


def test_other_columns_are_named_and_ignored(tmp_path):
    """A person hears which columns meant nothing."""
    said = Said()
    path = write(tmp_path, "key,size,source,Size\na,1,here,2\n")
    assert read_listing(path, reporter=said)["size"].to_pylist() == [1]
    assert said.messages == [f"{path}: ignoring columns that mean nothing here: source, Size"]


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_columns_may_be_spelled_otherwise(tmp_path, name):
    """As `aws s3api` and its peers spell them."""
    columns = {
        "Key": ["a"],
        "Size": ["1"],
        "ETag": ['"e"'],
        "VersionId": ["v"],
        "LastModified": ["2024-01-01T00:00:00Z"],
    }
    path, said = tmp_path / name, Said()
    if name.endswith("parquet"):
        pq.write_table(pa.table(columns), path)
    else:
        write(tmp_path, ",".join(columns) + '\na,1,"""e""",v,2024-01-01T00:00:00Z\n', name)
    row = read_listing(path, reporter=said).to_pylist()[0]
    assert [row[name] for name in ("key", "size", "etag", "version_id")] == ["a", 1, "e", "v"]
    assert row["last_modified"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert said.messages == []


def test_the_real_keys(tmp_path):
    """The 916 keys collected of the real bucket: rounded sizes are unknown, exact ones are not."""
    table = read_listing(REAL_KEYS)
    assert len(table) == 916
    raw = [line.split("\t")[1] for line in REAL_KEYS.read_text().splitlines()[1:]]
    expected = [int(size) if size.isdigit() else None for size in raw]
    assert table["size"].to_pylist() == expected
    assert 65_455_006_072 in expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"line 1: expected a header .* missing key and size, got nothing"),
        ("a/b.swc,12\n", r"line 1: expected a header .* missing key and size, got 'a/b\.swc', '12'"),
        ("name,size\na,1\n", r"line 1: .* missing key, got 'name', 'size'"),
        ("key\na\n", r"line 1: .* missing size, got 'key'"),
        ("key,size,size\na,1,2\n", r"line 1: expected each column once, got size twice"),
        ("key,size\na,1\n,2\n", r"line 3: expected a key, got an empty one"),
        ("key,size\na,1\nb,1\na,2\n", r"line 4: expected each key once, but 'a' already stood in line 2"),
        ("key,size\na,1 kB\n", r"line 2: column size: expected a whole number of bytes, got '1 kB'; write digits only"),
        ("key,size\na,-1\n", r"line 2: column size: .* got '-1'"),
        ("key,size\na,1.5\n", r"line 2: column size: .* got '1\.5'"),
        ("key,size\na,\u0661\n", r"line 2: column size: "),
        ("key,size\na,9007199254740992\n", r"line 2: column size: "),
        ("key,size,md5\na,1,xyz\n", r"line 2: column md5: expected 32 hex digits of an MD5, got 'xyz'; write 32"),
        ("key,size,sha256\na,1,sha256:ab\n", r"line 2: column sha256: expected 64 hex digits"),
        (
            "key,size,last_modified\na,1,2024-05-31T12:00:00\n",
            r"line 2: column last_modified: .*zone.*write it as 2024",
        ),
        ("key,size,last_modified\na,1,yesterday\n", r"line 2: column last_modified: "),
        ("key,size,last_modified\na,1,0001-01-01T00:00:00+14:00\n", r"line 2: column last_modified: "),
        ("key,size\na,b,1\n", r"line 2: expected 2 columns as in the header, got 3: quote what holds a comma"),
        ('key,size\n"a\nb",1\nc\n', r"line 4: expected 2 columns as in the header, got 1"),
        ('key,size\n"a,1\nb,2\n', r"line 3: expected CSV: unexpected end of data"),
        ("key,size\na\rb,1\n", r"line 2: a carriage return stands outside quotes: end lines with LF or CRLF"),
        ("key,size\r\ra,1\r", r"line 1: a carriage return stands outside quotes"),
        (b"key,size\n\xff,1\n", r"expected UTF-8: .*; save it as UTF-8"),
    ],
)
def test_bad_listings_name_the_line_and_the_remedy(tmp_path, text, sentence):
    """Each fault is found, with where it is and what to write."""
    path = write(tmp_path, text)
    with pytest.raises(BadListingError, match=r"list\.csv(, |: )" + sentence):
        read_listing(path)


def test_a_listing_of_nothing_is_not_found(tmp_path):
    """A header alone lists no objects."""
    with pytest.raises(EmptyListingError, match="lists no objects"):
        read_listing(write(tmp_path, "key,size\n"))


def test_a_missing_listing_is_not_found(tmp_path):
    """The name is said."""
    with pytest.raises(NotFoundError, match=r"no listing file .*gone\.csv"):
        read_listing(tmp_path / "gone.csv")


@pytest.mark.parametrize("name", ["list.csv.gz", "list.parquet"])
def test_a_file_cut_short_is_told(tmp_path, name):
    """Half a download is not half a listing."""
    whole = tmp_path / name
    if name.endswith("gz"):
        whole.write_bytes(gzip.compress(b"key,size\n" + b"".join(b"%d,1\n" % number for number in range(1000))))
    else:
        pq.write_table(pa.table({"key": ["a"], "size": [1]}), whole)
    whole.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(BadListingError, match="copy it again"):
        read_listing(whole)


def test_parquet_columns_of_many_types_are_read(tmp_path):
    """Numbers with gaps as pandas makes them, categories, times of any unit, texts."""
    path = tmp_path / "list.parquet"
    times = pa.array([datetime(2024, 5, 31, 12, tzinfo=UTC), None], pa.timestamp("ns", "Europe/Zurich"))
    table = pa.table(
        {
            "key": pa.array(["a", "b"]).dictionary_encode(),
            "size": pa.array([12.0, float("nan")]),
            "last_modified": times,
            "other": [1, 2],
        }
    )
    pq.write_table(table, path)
    rows = read_listing(path).to_pylist()
    assert [row["key"] for row in rows] == ["a", "b"]
    assert [row["size"] for row in rows] == [12, None]
    assert [row["last_modified"] for row in rows] == [datetime(2024, 5, 31, 12, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"key": ["a", "a"], "size": [1, 2]}, r"row 2: expected each key once, but 'a' already stood in row 1"),
        ({"key": ["a"], "size": [1.5]}, r"row 1: column size: .* got '1\.5'"),
        ({"key": ["a"], "size": [-1]}, r"row 1: column size: .* got '-1'"),
        ({"key": ["a"], "size": [[1]]}, r"column size: expected texts or numbers"),
        ({"key": [None], "size": [1]}, r"row 1: expected a key"),
        ({"key": ["a"]}, r"missing size"),
        ({"key": ["a"], "size": [1], "last_modified": [datetime(2024, 1, 1)]}, r"row 1: column last_modified: .*zone"),  # noqa: DTZ001
    ],
)
def test_bad_parquet_listings_name_the_row(tmp_path, columns, sentence):
    """The same rules, with rows for lines."""
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(BadListingError, match=r"list\.parquet(, |: ).*" + sentence):
        read_listing(path)


def test_suffixes_tell_listing_files():
    """In any case, compressed or not."""
    assert all(is_listing_file(name) for name in ("a.csv", "A.TSV", "x/y.csv.gz", "z.parquet"))
    assert not any(is_listing_file(name) for name in ("a.txt", "csv", "manifest.json", "folder"))


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.none() | st.integers(0, (1 << 53) - 1)
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    ),
    st.sampled_from([("l.csv", ","), ("l.tsv", "\t")]),
)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory, rows, form):
    """Any key, with quotes, newlines, tabs or commas, and any size."""
    name, delimiter = form
    path = tmp_path_factory.mktemp("csv") / name
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(["key", "size"])
        writer.writerows(rows)
    table = read_listing(path)
    assert list(zip(table["key"].to_pylist(), table["size"].to_pylist(), strict=True)) == rows
