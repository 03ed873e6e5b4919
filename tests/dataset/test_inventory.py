"""Inventories: shards that hold still, CSV that reads back, digests that anybody can compute."""

import csv
import hashlib
import io
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.dataset.inventory import COLUMNS, InventoryWriter, content_digest, totals_of
from opendata_pkg.model import Grade
from opendata_pkg.plan.plan import make_plans
from opendata_pkg.text import unescape_line
from tests.core_support import catalogue_of, digest_of, entry_of, snapshot_of

KEY = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.text(st.sampled_from("ab/%\n\t\r,\"'; é\x7f\x00"), min_size=1, max_size=8),
)
KNOWN = st.sampled_from(["sha256", "md5", "both", "none"])
SIZE = st.one_of(st.none(), st.integers(0, 1 << 45))
OBJECTS = st.dictionaries(KEY, st.tuples(SIZE, KNOWN, st.sampled_from([None, "null", "v1", "v,\"2'"])), max_size=12)


def snapshot_with(objects, prefix=""):
    """A snapshot of these objects, below a folder."""
    return snapshot_of(
        *(
            entry_of(prefix + key, key, size_bytes=size, known=known, version=version, etag='"odd",etag')
            for key, (size, known, version) in objects.items()
        )
    )


def plan_of(snapshot):
    """The one plan of a catalogue without branches."""
    return make_plans(snapshot, catalogue_of("branches: {}\n")).by_branch[""]


def shards_of(plan):
    """File name → bytes of every shard."""
    writer = InventoryWriter()
    shards = [shard for batch in plan.batches() for shard in writer.add(batch)]
    shards += writer.finish()
    assert len({shard.info.name for shard in shards}) == len(shards)
    return {shard.info.name: shard.data for shard in shards}


def naive_digest(objects):
    """The content digest by the words of its definition, with nothing but hashlib; and the lines that hold a `-`."""
    lines, incomplete = [], 0
    for key, (size, known, _) in objects.items():
        path = "".join(f"%{ord(c):02X}" if ord(c) < 32 or c in "%\x7f" else c for c in key)
        if known in {"sha256", "both"}:
            digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
        elif known == "md5":
            digest = "md5:" + hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
        else:
            digest = "-"
        incomplete += digest == "-" or size is None
        lines.append(f"{path}\t{'-' if size is None else size}\t{digest}\n".encode())
    return hashlib.sha256(b"".join(sorted(lines, key=lambda line: line.split(b"\t")[0]))).hexdigest(), incomplete


@given(OBJECTS, st.sampled_from(["", "Rat/", "100% é/"]))
@example({"a\nb": (1, "sha256", None), "a!": (1, "sha256", None), "a%": (None, "none", None)}, "")
def test_the_content_digest_is_what_its_definition_says(objects, prefix):
    """Escaped, sorted and hashed by other means: the same digest, and the same count of incomplete lines."""
    found = content_digest(snapshot_with(objects, prefix).table, prefix)
    assert (found.sha256, found.incomplete) == naive_digest(objects)


def test_the_content_digest_with_standard_tools(tmp_path):
    """`printf`, `sort` and `sha256sum` give it too, as docs/explanation/identity.md promises."""
    objects = {"b.swc": (5, "sha256", None), "a b": (0, "md5", None), "é": (None, "none", None), "B": (1, "both", None)}
    lines = tmp_path / "lines"
    with lines.open("w", encoding="utf-8") as stream:
        for entry in snapshot_with(objects).objects():
            size = "-" if entry.size_bytes is None else entry.size_bytes
            stream.write(f"{entry.key}\t{size}\t{entry.digest or '-'}\n")
    said = subprocess.check_output(["sh", "-c", f"LC_ALL=C sort -r {lines} | LC_ALL=C sort | sha256sum"], text=True)
    assert said.split()[0] == content_digest(snapshot_with(objects).table, "").sha256


def test_the_digest_is_of_content_not_of_places():
    """Another versionId, ETag, time, storage class or bucket of the same bytes: the same digest. Other bytes: another."""
    digest = content_digest(snapshot_of(entry_of("a", version="v1")).table, "")
    other = snapshot_of(entry_of("a", version="v2", day=9, etag="e", storage_class="GLACIER"), base_url="http://else/")
    assert content_digest(other.table, "") == digest
    assert content_digest(snapshot_of(entry_of("a", "y")).table, "") != digest
    assert content_digest(snapshot_of(entry_of("Rat/a")).table, "Rat/") == digest


def test_nothing_has_a_digest_too():
    """The digest over no lines is SHA-256's of nothing."""
    found = content_digest(snapshot_of().table, "")
    assert (found.sha256, found.incomplete) == (digest_of(""), 0)


@settings(max_examples=50)
@given(OBJECTS)
def test_inventories_read_back(objects):
    """Python's own csv reader gives every value back, whatever the names; unknown is empty."""
    snapshot = snapshot_with(objects)
    plan = plan_of(snapshot)
    rows = [row for data in shards_of(plan).values() for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]
    assert len(rows) == len(plan)
    entries = {entry.key: entry for entry in snapshot.objects()}
    for row in rows:
        entry = entries[unescape_line(row["key"])]
        assert list(row) == list(COLUMNS)
        assert row["path"] == plan.naming.path_of(entry.key)
        assert row["bytes"] == ("" if entry.size_bytes is None else str(entry.size_bytes))
        assert (row["sha256"] or None, row["md5"] or None) == (entry.sha256, entry.md5)
        assert (row["etag"] or None, row["version_id"] or None) == (entry.etag, entry.version_id)
        assert row["grade"] == entry.grade.value
        assert row["last_modified"] == "2024-01-01T00:00:00Z"


def test_lines_hold_one_row_each():
    """No name breaks a line: `wc -l`, `grep` and `cut` work on an inventory."""
    (data,) = shards_of(plan_of(snapshot_of("a\nb", "c\r\nd", "e\x0bf", 'g"h', "i,j"))).values()
    assert data.count(b"\n") == 6
    assert b"\r" not in data


# Of these names every thousandth or so ends a shard: a few thousand rows make a few shards.
MANY = [f"{folder}/file-{number}.swc" for folder in "abc" for number in range(1500)]


@pytest.fixture(scope="module")
def many():
    """A few thousand names in their order, and their shards."""
    shards = shards_of(plan_of(snapshot_of(*MANY)))
    assert 3 <= len(shards) <= 12
    return shards


@settings(max_examples=12)
@given(st.from_regex(r"[abcd]/file-[0-9]{1,5}x", fullmatch=True))
def test_one_more_file_changes_one_shard(many, key):
    """All other shards keep name and bytes; the one may be split in two."""
    after = shards_of(plan_of(snapshot_of(*MANY, key)))
    gone = {name for name, data in many.items() if after.get(name) != data}
    new = {name for name, data in after.items() if many.get(name) != data}
    assert len(gone) == 1
    assert gone <= new
    assert len(new) <= 2


def test_a_name_that_ends_a_shard_splits_one(many):
    """The rare name at which a shard begins: two of its neighbours' rows part, and nothing else changes."""
    # Its CRC-32 is a multiple of 1024.
    key = next(
        key for key in (f"b/file-{n}y" for n in range(10_000)) if len(shards_of(plan_of(snapshot_of("b/a", key)))) == 2
    )
    after = shards_of(plan_of(snapshot_of(*MANY, key)))
    assert len(after) == len(many) + 1
    assert sum(many.get(name) == data for name, data in after.items()) == len(many) - 1


def test_shards_are_named_by_their_first_path():
    """Names depend on one path alone, so that they stay when files come and go elsewhere."""
    assert list(shards_of(plan_of(snapshot_of("z", "a")))) == ["0" * 16 + ".csv"]
    assert shards_of(plan_of(snapshot_of())) == {}


@given(OBJECTS)
def test_totals_are_sums(objects):
    """Counts, known bytes, unknown sizes and grades, against a loop over the objects."""
    snapshot = snapshot_with(objects)
    entries = list(snapshot.objects())
    totals = totals_of(snapshot.table)
    assert totals.files == len(entries)
    assert totals.size_bytes == sum(entry.size_bytes or 0 for entry in entries)
    assert totals.unknown_sizes == sum(entry.size_bytes is None for entry in entries)
    assert totals.grades == {grade: sum(entry.grade is grade for entry in entries) for grade in Grade}


def test_the_table_schema_has_the_columns():
    """schemas/files.tableschema.json describes exactly the columns of an inventory, in their order."""
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "files.tableschema.json").read_bytes())
    assert [field["name"] for field in schema["fields"]] == list(COLUMNS)
