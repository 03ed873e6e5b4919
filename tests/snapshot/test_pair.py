"""Two snapshots read together: each as if alone, with what both have once in memory; and row groups that stay the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.columns.arrays import are_equal, without_prefix
from opendata_pkg.snapshot import pair as snapshot_pair
from opendata_pkg.snapshot import storage as snapshot_io
from opendata_pkg.snapshot.check import BrokenSnapshotError
from opendata_pkg.snapshot.pair import are_keys_alike
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import is_as_written, write_snapshot
from tests.core_support import entry_of, snapshot_of

STEADY = [f"Rat/{number:04}" for number in range(300)]
KEYS = st.sampled_from([*STEADY[::10], "Mouse", "Rat/0100/a", "Rat/0299x", "Z"])
CHANGES = st.dictionaries(KEYS, st.sampled_from([None, "other", "more"]), max_size=6)


@pytest.fixture(autouse=True)
def _small_groups():
    """Row groups of some ten rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_io, "_LEAST_ROWS", 5)
        patch.setattr(snapshot_io, "_MORE_ROWS", 8)
        patch.setattr(snapshot_io, "_MOST_ROWS", 40)
        yield


def changed(changes, **values):
    """Hundreds of objects, of which some have other content, are new, or (None) are not there."""
    objects = {key: key for key in STEADY} | changes
    entries = [entry_of(key, content) for key, content in objects.items() if content is not None]
    return snapshot_of(*entries, **values)


def groups_of(path):
    """The bytes of each row group, and its rows."""
    found, data = pq.ParquetFile(path).metadata, path.read_bytes()
    for number in range(found.num_row_groups):
        extent = snapshot_pair._extent(found.row_group(number), range(found.num_columns))
        yield data[extent.start : extent.start + extent.length], found.row_group(number).num_rows


def addresses(snapshot):
    """Where the pieces of the keys are in memory."""
    return {chunk.buffers()[2].address for chunk in snapshot.table["key"].chunks}


@settings(max_examples=25)
@given(CHANGES, CHANGES, st.booleans(), st.sampled_from([0, 1 << 30]), st.integers(1, 50))
def test_both_are_as_if_read_alone(tmp_path_factory, before, after, is_moved, limit, rows):
    """Whatever changed, also the address, wherever rows are, and however many are worked on at a time."""
    folder = tmp_path_factory.mktemp("two")
    old, new = changed(before), changed(after, **({"base_url": "http://127.0.0.1:9/moved/"} if is_moved else {}))
    old.write(folder / "old.parquet")
    new.write(folder / "new.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", limit)
        patch.setattr(snapshot_pair, "BATCH_ROWS", rows)
        patch.setattr(snapshot_pair, "READ_ROWS", rows)
        found = Snapshot.read_two(folder / "new.parquet", folder / "old.parquet")
    for read, wanted in zip(found, (new, old), strict=True):
        assert read.table.equals(wanted.table)
        assert (read.header, read.id) == (wanted.header, wanted.id)
        assert Snapshot(read.table, read.header).id == wanted.id


def test_what_both_have_is_once_in_memory(tmp_path):
    """What is before a change, and what is behind it; what is at one place is equal without a look at it."""
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    changed({}).write(old)
    changed({"Rat/0150": "other"}).write(new)
    after, before = Snapshot.read_two(new, old)
    assert len(addresses(after) - addresses(before)) == len(addresses(before) - addresses(after)) == 1
    assert len(addresses(after) & addresses(before)) == 2
    assert sum(map(len, after.table["key"].chunks[:1])) > 100
    assert are_equal(after.table["key"].slice(0, 100), before.table["key"].slice(0, 100))
    assert not are_equal(after.table["sha256"], before.table["sha256"])


@pytest.mark.parametrize("spoilt", ["old", "new"])
@pytest.mark.parametrize("how", ["rows", "bytes", "end", "address"])
def test_the_broken_one_is_named(tmp_path, spoilt, how):
    """Other rows, some bytes, a part, or a header of another address: of either, and never taken for the other's."""
    for name, changes in (("old", {}), ("new", {"Rat/0150": "other"})):
        changed(changes).write(tmp_path / f"{name}.parquet")
    path = tmp_path / f"{spoilt}.parquet"
    data = path.read_bytes()
    if how == "rows":
        changed({"Rat/0100": None}).write(tmp_path / "other.parquet")
        path.write_bytes((tmp_path / "other.parquet").read_bytes())
    elif how == "bytes":
        path.write_bytes(data[:500] + bytes([data[500] ^ 255]) + data[501:])
    elif how == "end":
        path.write_bytes(data[:-1])
    else:
        header = path.with_suffix(".json")
        header.write_text(header.read_text(encoding="utf-8").replace("/bucket/", "/bin/"), encoding="utf-8")
    with pytest.raises(BrokenSnapshotError, match=rf"{spoilt}\.parquet (is no whole snapshot|has snapshot id)"):
        Snapshot.read_two(tmp_path / "new.parquet", tmp_path / "old.parquet")


def test_a_file_of_another_tool_is_read_all_the_way(tmp_path):
    """Other row groups, pages and columns' order: the same rows."""
    old, new = changed({}), changed({"Rat/0150": "other"})
    for name, snapshot in (("old", old), ("new", new)):
        snapshot.write(tmp_path / f"{name}.parquet")
    table = pq.read_table(tmp_path / "old.parquet")
    pq.write_table(table.select(table.column_names[::-1]), tmp_path / "old.parquet", compression="snappy")
    after, before = Snapshot.read_two(tmp_path / "new.parquet", tmp_path / "old.parquet")
    assert (after.id, before.id) == (new.id, old.id)
    assert before.table.equals(old.table)


@settings(max_examples=25)
@given(st.sampled_from(STEADY), st.sampled_from(["Rat/0100/a", "Rat/0201x", "A", "Z"]))
def test_one_object_changes_few_row_groups(tmp_path_factory, other, new):
    """One that is other changes one; one that is new changes one, splits one, or moves the end of a few."""
    folder = tmp_path_factory.mktemp("groups")
    for name, changes in (("old", {}), ("other", {other: "other"}), ("new", {new: "new"})):
        changed(changes).write(folder / f"{name}.parquet")
    old = set(groups_of(folder / "old.parquet"))
    assert len(set(groups_of(folder / "other.parquet")) - old) == 1
    assert len(set(groups_of(folder / "new.parquet")) - old) <= 4 < len(old) / 3


@settings(max_examples=25)
@given(CHANGES, st.lists(st.integers(1, 200), min_size=1, max_size=5))
def test_a_file_does_not_tell_how_its_rows_came(tmp_path_factory, changes, lengths):
    """Whatever pieces they came in: the same bytes, in groups of the sizes that readers rely on."""
    folder = tmp_path_factory.mktemp("pieces")
    snapshot = changed(changes)
    snapshot.write(folder / "whole.parquet")
    edges = sorted({0, len(snapshot), *(sum(lengths[:count]) % len(snapshot) for count in range(len(lengths)))})
    pieces = [snapshot.table.slice(start, stop - start) for start, stop in pairwise(edges)]
    write_snapshot(pieces, snapshot.header, folder / "pieces.parquet")
    assert (folder / "pieces.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    sizes = [rows for _, rows in groups_of(folder / "whole.parquet")]
    assert all(5 <= size <= 40 for size in sizes[:-1])
    with (folder / "whole.parquet").open("rb") as stream:
        assert is_as_written(stream)


def test_keys_are_known_to_be_alike_without_reading_them(tmp_path):
    """Of other content, they are; with one more, one less, or another in its place, they are not."""
    variants = {
        "content": {"Rat/0150": "other"},
        "more": {"Z": "Z"},
        "less": {"Rat/0299": None},
        "place": {"Rat/0150": None, "Rat/0150x": "Rat/0150"},
    }
    changed({}).write(tmp_path / "old.parquet")
    found = {}
    for name, changes in variants.items():
        changed(changes).write(tmp_path / f"{name}.parquet")
        found[name] = are_keys_alike(tmp_path / f"{name}.parquet", tmp_path / "old.parquet")
    assert found == {"content": True, "more": False, "less": False, "place": False}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.lists(st.text(max_size=5), max_size=4))
def test_a_prefix_is_cut_off_by_characters(prefix, texts):
    """Of any length in bytes, from whole arrays and from parts of them."""
    texts = [text for text in texts if text.isascii()] + ["é", ""]
    keys = snapshot_of(*(f"{prefix}{number}{text}" for number, text in enumerate(texts))).table["key"].combine_chunks()
    wanted = [key[len(prefix) :] for key in keys.to_pylist()]
    assert without_prefix(keys, prefix).to_pylist() == wanted
    assert without_prefix(keys.slice(1), prefix).to_pylist() == wanted[1:]


def test_the_rest_of_a_header_may_differ(tmp_path):
    """What both have is told by rows, not by when they were scanned."""
    old = changed({})
    old.write(tmp_path / "old.parquet")
    Snapshot(old.table, replace(old.header, notes=("later",))).write(tmp_path / "new.parquet")
    after, before = Snapshot.read_two(tmp_path / "new.parquet", tmp_path / "old.parquet")
    assert (after.id, after.header.notes, before.header.notes) == (before.id, ("later",), ())
    assert addresses(after) == addresses(before)
