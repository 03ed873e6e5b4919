"""S3 Inventories: files of each format, and the sentence that a person gets for what they may not be."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opendata_pkg.documents import InvalidDocumentError
from opendata_pkg.listing.manifest import BadInventoryError, MissingInventoryFileError
from opendata_pkg.listing.s3_inventory import EmptyInventoryError
from opendata_pkg.model import UsageError
from opendata_pkg.scan.scan import scan
from opendata_pkg.snapshot.snapshot import Snapshot
from tests.listing.inventories import COLUMNS, CURRENT_ONLY, Inventory, schema_text
from tests.listing.scripted import Answer, error

FORMATS = ["CSV", "Parquet", "ORC"]
MD5 = "b2" * 16
WHEN = datetime(2024, 5, 31, 12, 0, 1, tzinfo=UTC)
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def entry(key, **values):
    """One row of an inventory: a current version, unless told otherwise."""
    return {
        "bucket": "the-bucket",
        "key": key,
        "version_id": "v1",
        "is_latest": True,
        "is_delete_marker": False,
        "size": 12,
        "last_modified_date": WHEN,
        "e_tag": MD5,
        "storage_class": "STANDARD",
        "encryption_status": "SSE-S3",
        "checksum_algorithm": "CRC64NVME",
        **values,
    }


def inventory(folder, file_format="CSV", *parts, columns=None):
    """An inventory with a data file for each part."""
    made = Inventory(folder / "daily", file_format, list(columns or COLUMNS))
    for rows in parts:
        made.add(rows)
    return made


def read(made, **options):
    """Its snapshot."""
    return scan(str(made.manifest), **{"region": "eu-central-1", **options})


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, file_format):
    """Keys decoded in CSV and taken as they are elsewhere; times, sizes, versions and ETags as Amazon states them."""
    odd = ["a+b", "a b", "a%20b", "é/日本", 'q"x,y', "tab\there", "plain/key.swc"]
    made = inventory(tmp_path, file_format, [entry(key) for key in odd], [entry("末", version_id=None, e_tag="a-2")])
    snapshot = read(made)
    found = list(snapshot.objects())
    assert [o.key for o in found] == sorted([*odd, "末"], key=str.encode)
    assert {(o.version_id, o.size_bytes, o.etag, o.md5) for o in found[:-1]} == {("v1", 12, MD5, MD5)}
    assert {o.last_modified for o in found} == {WHEN}
    assert (found[-1].version_id, found[-1].etag, found[-1].md5) == ("null", "a-2", None)
    header = snapshot.header
    assert (header.method, header.bucket, header.region) == ("S3 Inventory", "the-bucket", "eu-central-1")
    assert header.base_url == "https://the-bucket.s3.eu-central-1.amazonaws.com/"
    assert header.as_of == datetime(2024, 6, 1, tzinfo=UTC)
    assert header.etags_are_md5


@pytest.mark.parametrize("file_format", FORMATS)
def test_older_versions_and_delete_markers_are_counted(tmp_path, file_format):
    """They are no rows; a key whose latest entry is a marker is absent, wherever its other entries stand."""
    gone = entry("gone", version_id="x", is_delete_marker=True, size=None, e_tag=None, last_modified_date=WHEN)
    made = inventory(
        tmp_path,
        file_format,
        [entry("a", version_id="a2"), entry("a", version_id="a1", is_latest=False)],
        [gone, entry("gone", is_latest=False), entry("b", is_latest=False), entry("b", version_id="b2")],
    )
    snapshot = read(made)
    assert [(o.key, o.version_id) for o in snapshot.objects()] == [("a", "a2"), ("b", "b2")]
    assert (snapshot.header.older_versions, snapshot.header.delete_markers) == (3, 1)
    assert not [note for note in snapshot.header.notes if "no latest one" in note]


def test_keys_without_a_latest_entry_are_told(tmp_path):
    """Inventories are consistent in the end only: what is left out for it is counted and named."""
    made = inventory(tmp_path, "CSV", [entry("a"), entry("half", is_latest=False)])
    snapshot = read(made)
    assert [o.key for o in snapshot.objects()] == ["a"]
    assert "no latest one in this inventory: 1 key, such as 'half'; the next" in snapshot.header.notes[-1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_inventories_of_current_versions_have_no_version_ids(tmp_path, file_format):
    """The columns are absent then, and the ids not known; a person hears what that means."""
    made = inventory(tmp_path, file_format, [entry("a")], columns=CURRENT_ONLY)
    snapshot = read(made)
    assert next(snapshot.objects()).version_id is None
    assert "can be overwritten" in snapshot.header.notes[-1]
    with pytest.raises(BadInventoryError, match="lists current versions only"):
        read(made, versions="yes")


@pytest.mark.parametrize(
    ("status", "told", "md5"),
    [
        ("SSE-S3", False, MD5),
        ("NOT-SSE", False, MD5),
        ("SSE-KMS", False, None),
        ("DSSE-KMS", True, None),
        ("SSE-C", True, None),
        (None, False, None),
        (None, True, MD5),
    ],
)
def test_etags_count_as_md5_where_the_inventory_states_no_other_key(tmp_path, status, told, md5):
    """A person's word stands where the inventory is silent, not against it."""
    made = inventory(tmp_path, "Parquet", [entry("a", encryption_status=status)])
    assert next(read(made, etag_is_md5=told).objects()).md5 == md5


def test_etags_do_not_count_where_encryption_is_not_stated(tmp_path):
    """Without the column nobody knows, unless a person says so."""
    columns = [name for name in COLUMNS if name != "encryption_status"]
    made = inventory(tmp_path, "CSV", [entry("a")], columns=columns)
    assert not read(made).header.etags_are_md5
    assert next(read(made).objects()).md5 is None
    assert next(read(made, etag_is_md5=True).objects()).md5 == MD5


def test_prefixes_and_versions_choose(tmp_path):
    """`--prefix` takes a part of what was inventoried, `--versions no` leaves the ids out."""
    made = inventory(tmp_path, "CSV", [entry("a/1"), entry("b/1"), entry("c/1"), entry("b/0", is_latest=False)])
    snapshot = read(made, prefixes=["a/", "b"], versions="no")
    assert [(o.key, o.version_id) for o in snapshot.objects()] == [("a/1", None), ("b/1", None)]
    assert (snapshot.header.prefixes, snapshot.header.older_versions) == (("a/", "b"), 1)
    with pytest.raises(EmptyInventoryError, match="no current object whose key begins with 'd/'"):
        read(made, prefixes=["a/", "d/"])


@pytest.mark.parametrize("layout", ["beside", "whole", "data-below"])
def test_data_files_are_found_however_they_were_copied(tmp_path, layout):
    """Beside the manifest, below a copy of the whole destination bucket, or with it in one folder."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    target = tmp_path / "copy"
    if layout == "whole":
        manifest = target / "inventories/the-bucket/daily/2024-06-01T00-00Z/manifest.json"
        data = target / made.files[0]["key"]
    else:
        manifest = target / "manifest.json"
        data = target / ("data" if layout == "data-below" else "") / "part-0.csv.gz"
    for source, path in ((made.manifest, manifest), (made.data_path(0), data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, path)
    assert len(scan(str(manifest), base_url="https://example.org/")) == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FORMATS), st.dictionaries(KEYS, st.integers(0, 2**50), min_size=1, max_size=8))
def test_an_inventory_gives_any_keys_back(tmp_path, file_format, sizes):
    """Whatever S3 allows in a key survives each format."""
    shutil.rmtree(tmp_path / "daily", ignore_errors=True)
    made = inventory(tmp_path, file_format, [entry(key, size=size) for key, size in sizes.items()])
    assert {o.key: o.size_bytes for o in read(made).objects()} == sizes


# Bad input


def test_the_public_address_must_be_known(tmp_path):
    """The manifest names the bucket, not where it is."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    with pytest.raises(UsageError, match="expected the AWS region of bucket the-bucket"):
        read(made, region=None)


def test_missing_data_files_are_not_found(tmp_path):
    """The file is named, and the command that copies it."""
    made = inventory(tmp_path, "CSV", [entry("a")], [entry("b")])
    made.data_path(1).unlink()
    with pytest.raises(
        MissingInventoryFileError, match=r"names the data file .*part-1.csv.gz, .* with: aws s3 sync s3:"
    ):
        read(made)


@pytest.mark.parametrize("data", [b"", b"other"])
def test_altered_data_files_are_refused(tmp_path, data):
    """Cut short, emptied or of another day: the MD5 tells."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    made.data_path(0).write_bytes(data)
    path = re.escape(str(made.data_path(0)))
    with pytest.raises(BadInventoryError, match=rf"^{path} has MD5 .* and {len(data)} bytes instead of .* copy it"):
        read(made)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("dropped", ["e_tag", "key"])
def test_files_of_mixed_columns_are_refused(tmp_path, file_format, dropped):
    """A data file of another configuration, put under the same manifest."""
    made = inventory(tmp_path, file_format, [entry("a")])
    made.add([entry("b")], columns=[name for name in COLUMNS if name != dropped])
    with pytest.raises(
        BadInventoryError, match=rf"part-1\.\S+: expected {file_format} with the columns that .* mixed\?"
    ):
        read(made)


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_of_another_format_are_refused(tmp_path, file_format):
    """The manifest's word is compared with the bytes."""
    other = FORMATS[FORMATS.index(file_format) - 1]
    made = inventory(tmp_path, other, [entry("a")])
    made.write_manifest(fileFormat=file_format, fileSchema=schema_text(made.columns, file_format))
    with pytest.raises(BadInventoryError, match=f"expected {file_format}"):
        read(made)


@pytest.mark.parametrize(
    ("changed", "fault", "sentence"),
    [
        ({"version": "2031-01-01"}, BadInventoryError, "version 2016-11-30, got '2031-01-01': upgrade opendata"),
        (
            {"fileFormat": "Avro"},
            InvalidDocumentError,
            r"\$\.fileFormat: 'Avro' is not one of \['CSV', 'ORC', 'Parquet'\]",
        ),
        ({"fileSchema": "Bucket, Key"}, BadInventoryError, "missing size, got bucket, key: add them"),
        ({"fileSchema": ""}, BadInventoryError, "missing key and size"),
        ({"fileSchema": "Key, Size, IsLatest"}, BadInventoryError, "is_delete_marker together, got is_latest alone"),
        ({"fileFormat": "ORC"}, BadInventoryError, "a fileSchema that states columns as ORC does, got 'Bucket, Key"),
        ({"files": 3}, InvalidDocumentError, r"\$\.files: 3 is not of type 'array'"),
        ({"files": []}, EmptyInventoryError, "lists no current object: check what it inventories"),
    ],
)
def test_bad_manifests_are_told(tmp_path, changed, fault, sentence):
    """Each fault is named, with what to do."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    made.write_manifest(**changed)
    with pytest.raises(fault, match=sentence):
        read(made)


def test_manifests_that_name_a_file_twice_are_refused(tmp_path):
    """Its objects would count twice."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    made.write_manifest(files=made.files * 2)
    with pytest.raises(BadInventoryError, match=r"expected each data file once, got \S+part-0.csv.gz twice"):
        read(made)


def test_a_manifest_is_compared_with_its_checksum(tmp_path):
    """Amazon writes one beside it; it need not be copied."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    checksum = made.manifest.with_name("manifest.checksum")
    checksum.write_text(hashlib.md5(made.manifest.read_bytes(), usedforsecurity=False).hexdigest() + "\n")
    assert len(read(made)) == 1
    made.write_manifest(creationTimestamp="1717200000001")
    with pytest.raises(
        BadInventoryError, match=r"expected the MD5 that manifest\.checksum .* '[0-9a-f]{32}', got [0-9a-f]"
    ):
        read(made)


@pytest.mark.parametrize("schema", ['"Bucket", "Key", "Size"', "BUCKET,KEY,SIZE", "bucket, key, size"])
def test_columns_of_csv_are_known_however_they_are_spelled(tmp_path, schema):
    """Tools that write inventories of other stores do so."""
    made = inventory(tmp_path, "CSV", [entry("a")], columns=["bucket", "key", "size"])
    made.write_manifest(fileSchema=schema)
    assert [(o.key, o.size_bytes) for o in read(made).objects()] == [("a", 12)]


def test_no_json_is_no_manifest(tmp_path):
    """Half a download, say."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    made.manifest.write_text(made.manifest.read_text()[:-9])
    with pytest.raises(InvalidDocumentError, match="expected a JSON document"):
        read(made)


def test_two_latest_entries_of_a_key_are_refused(tmp_path):
    """No choice would be right."""
    made = inventory(tmp_path, "Parquet", [entry("a")], [entry("a", version_id="v2")])
    with pytest.raises(
        BadInventoryError, match=r"manifest\.json: expected one latest entry of each key, .* two of 'a': "
    ):
        read(made)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("other", ["object", "older", "marker", "none"])
def test_an_object_and_a_delete_marker_are_not_both_the_latest(tmp_path, apart, other):
    """It is either there or not, whatever else there is."""
    marker = {"is_delete_marker": True, "size": None, "e_tag": None}
    others = {
        "object": [entry("b")],
        "older": [entry("b"), entry("b", version_id="v0", is_latest=False)],
        "marker": [entry("b", **marker)],
        "none": [],
    }[other]
    rows = [entry("a"), *others, entry("c", **marker), entry("c", version_id="v2")]
    made = inventory(tmp_path, "ORC", *([[row] for row in rows] if apart else [rows]))
    with pytest.raises(BadInventoryError, match=r"expected one latest entry of each key, .* two of 'c': copy"):
        read(made)


@pytest.mark.parametrize("file_format", FORMATS)
def test_objects_of_another_bucket_are_refused(tmp_path, file_format):
    """Their URLs would be of this one: data files of two inventories under one manifest, or a manifest with a slip."""
    made = inventory(tmp_path, file_format, [entry("a")], [entry("b"), {**entry("c"), "bucket": "that-bucket"}])
    with pytest.raises(
        BadInventoryError, match=r"part-1\.\S+: expected objects of the-bucket, .* got some of that-bucket: take the"
    ):
        read(made)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_data_file_without_rows_is_nothing(tmp_path, file_format):
    """One among others has no objects; where all are so, the inventory has none."""
    made = inventory(tmp_path, file_format, [])
    with pytest.raises(EmptyInventoryError, match="lists no current object"):
        read(made)
    made.add([entry("a")])
    assert read(made).table["key"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"key": None}, "got 1 row without one"),
        ({"size": "12 kB"}, "expected CSV with the columns"),
        ({"size": -1}, r"part-0\S+: expected a size of at least 0 bytes, got -1 for 'a': copy it again"),
        ({"size": 2**63}, "expected CSV with the columns"),
    ],
)
def test_rows_that_cannot_be_are_refused(tmp_path, values, sentence):
    """A row without a key, a size that is no number or of no object."""
    made = inventory(tmp_path, "CSV", [entry("b"), {**entry("a"), **values}])
    with pytest.raises(BadInventoryError, match=sentence):
        read(made)


@pytest.mark.parametrize("file_format", ["Parquet", "ORC"])
def test_values_that_no_object_has_are_refused(tmp_path, file_format):
    """Keys of nothing, and times after the year 9999, which typed files can hold."""
    with pytest.raises(BadInventoryError, match="expected a key in each row, got 2 rows without one"):
        read(inventory(tmp_path / "keys", file_format, [entry(""), entry("b"), entry(None)]))
    after = pa.array([2**48], pa.int64()).cast(COLUMNS["last_modified_date"][1])[0]
    # Arrow reads times of ORC in nanoseconds, and finds this out of range itself.
    sentence = (
        "expected a time of the years 1 to 9999, got 281474976710656000 for 'a'"
        if file_format == "Parquet"
        else "out of range"
    )
    with pytest.raises(BadInventoryError, match=sentence):
        read(inventory(tmp_path / "times", file_format, [entry("a", last_modified_date=after)]))


@pytest.mark.parametrize(
    ("encoded", "sentence"),
    [
        (b"%FF", "expected URL-encoded UTF-8 keys"),
        (b"100%", r"part-0\S+: expected URL-encoded keys, got '100%', with a %"),
    ],
)
def test_keys_that_are_not_encoded_are_refused(tmp_path, encoded, sentence):
    """Nothing is replaced silently, or left as it is."""
    made = inventory(tmp_path, "CSV", [entry("KEY")])
    data = made.data_path(0)

    data.write_bytes(gzip.compress(gzip.decompress(data.read_bytes()).replace(b"KEY", encoded)))
    made.files[0]["MD5checksum"] = hashlib.md5(data.read_bytes(), usedforsecurity=False).hexdigest()
    made.write_manifest()
    with pytest.raises(BadInventoryError, match=sentence):
        read(made)


# In a bucket


def serve(scripted, made, lost=()):
    """The destination bucket of an inventory, on a server that breaks off once."""
    files = {f"/inv/{file['key']}": made.data_path(number).read_bytes() for number, file in enumerate(made.files)}
    files["/inv/p/manifest.json"] = made.manifest.read_bytes()
    cuts = iter([4])

    def answer(request):
        if request.path in files and request.path.rpartition("/")[2] not in lost:
            return Answer(body=files[request.path], cut=next(cuts, None))
        return error(404, "NoSuchKey")

    return scripted(answer).url


def test_an_inventory_is_read_from_its_bucket(scripted, tmp_path):
    """Manifest and data files by their keys; what breaks off is asked for again."""
    made = inventory(tmp_path, "Parquet", [entry("a")], [entry("b")])
    url = serve(scripted, made)
    snapshot = scan("s3://inv/p/manifest.json", endpoint_url=url)
    assert [o.key for o in snapshot.objects()] == ["a", "b"]
    assert snapshot.header.base_url == f"{url}/the-bucket/"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body="0" * 32), "expected the MD5 that manifest.checksum beside it says, '0000"),
        (error(403, "AccessDenied"), None),
    ],
)
def test_the_checksum_of_a_manifest_in_a_bucket(scripted, tmp_path, answer, sentence):
    """S3 says "access denied" of a key that is not there to whom may not list the bucket."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    files = {
        "/inv/p/manifest.json": made.manifest.read_bytes(),
        f"/inv/{made.files[0]['key']}": made.data_path(0).read_bytes(),
    }
    server = scripted(lambda request: Answer(body=files[request.path]) if request.path in files else answer)
    if sentence is None:
        assert len(scan("s3://inv/p/manifest.json", endpoint_url=server.url)) == 1
        return
    with pytest.raises(BadInventoryError, match=sentence):
        scan("s3://inv/p/manifest.json", endpoint_url=server.url)


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        ("manifest.json", "there is no S3 Inventory manifest p/manifest.json in s3://inv"),
        ("part-0.csv.gz", "expire there"),
    ],
)
def test_files_that_are_gone_from_the_bucket_are_not_found(scripted, tmp_path, lost, sentence):
    """Inventories expire: the file is named."""
    made = inventory(tmp_path, "CSV", [entry("a")])
    with pytest.raises(MissingInventoryFileError, match=sentence):
        scan("s3://inv/p/manifest.json", endpoint_url=serve(scripted, made, [lost]))


@pytest.mark.s3
def test_an_inventory_of_a_bucket_gives_what_a_listing_of_it_gives(s3_server, tmp_path):
    """The same rows, counts and id, from a real server's versions written down as Amazon would."""
    s3_server.make_bucket("inventoried")
    client = s3_server.client()
    for key in ["a b+c%2F.swc", "é/日本", "gone", "plain"]:
        for body in (b"first", b"second"):
            client.put_object(Bucket="inventoried", Key=key, Body=body)
    client.delete_object(Bucket="inventoried", Key="gone")
    listed = scan("s3://inventoried", endpoint_url=s3_server.endpoint_url)
    page = client.list_object_versions(Bucket="inventoried")
    rows = [
        entry(
            item["Key"],
            bucket="inventoried",
            version_id=item["VersionId"],
            is_latest=item["IsLatest"],
            is_delete_marker="Size" not in item,
            size=item.get("Size"),
            e_tag=item.get("ETag", "").strip('"') or None,
            last_modified_date=item["LastModified"],
            encryption_status=None,
        )
        for item in [*page["Versions"], *page["DeleteMarkers"]]
    ]
    for file_format in ("Parquet", "ORC"):
        made = inventory(tmp_path / file_format, file_format, rows[::2], rows[1::2])
        made.write_manifest(sourceBucket="inventoried")
        found = read(made, region=None, endpoint_url=s3_server.endpoint_url)
        assert found.table.drop(["last_modified"]).to_pylist() == listed.table.drop(["last_modified"]).to_pylist()
        assert found.header.older_versions == listed.header.older_versions
        assert found.header.delete_markers == listed.header.delete_markers


def test_the_command_scans_an_inventory(run_opendata, tmp_path):
    """From a manifest to a snapshot whose header says how; a missing file ends with 4, an altered one with 3."""
    made = inventory(tmp_path, "CSV", [entry("a"), entry("a", version_id="v0", is_latest=False)])
    words = ["scan", made.manifest, "--region", "eu-central-1", "--out", "s.parquet"]
    done = run_opendata(*words)
    assert "older versions 1, delete markers 0" in done.stdout
    assert json.loads(Path(tmp_path / "s.json").read_text())["method"] == "S3 Inventory"
    assert len(Snapshot.read(tmp_path / "s.parquet")) == 1
    made.data_path(0).write_bytes(b"altered")
    assert run_opendata(*words, check=False).returncode == 3
    made.data_path(0).unlink()
    assert run_opendata(*words, check=False).returncode == 4
