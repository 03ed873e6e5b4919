"""A snapshot's objects as files, named as they come: the same paths as if all were known before."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.paths import Naming
from opendata_pkg.plan.clashes import find_clashes
from opendata_pkg.plan.files import Passing, settle
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import StoredSnapshot
from tests.core_support import catalogue_of, entry_of, snapshot_files, snapshot_of

# Names that are each other's beginnings, with signs that sort before and behind `/`.
KEYS = st.sets(st.text(st.sampled_from("aab-/0%.é\\"), min_size=1, max_size=6), max_size=12)


def cut(table, rows):
    """A table in pieces."""
    return [table.slice(start, rows) for start in range(0, len(table), rows)]


@settings(max_examples=300)
@given(KEYS, st.integers(1, 5))
def test_paths_are_decided_as_rows_come(keys, rows):
    """Wherever pieces end: each object once, renamed where it has the name of a folder, in order unless it is late."""
    table = snapshot_of(*keys).table
    clashing, _ = find_clashes(table["key"].combine_chunks(), ())
    naming = Naming(prefix="", renamed_files=clashing)
    found, last = {}, ""
    for settled in settle(cut(table, rows)):
        for key in settled.rows["key"].to_pylist():
            assert key not in found
            found[key] = Naming(prefix="", renamed_files=settled.renamed).path_of(key)
            assert settled.late or key > last
            last = last if settled.late else key
    assert found == {key: naming.path_of(key) for key in keys}


@given(KEYS, st.integers(1, 5))
def test_files_do_not_depend_on_pieces(keys, rows):
    """The same table, in the order of paths, read a few rows at a time or all at once."""
    snapshot = snapshot_of(*keys)
    whole = snapshot_files(snapshot, catalogue_of())
    with pytest.MonkeyPatch.context() as patch:
        # What is sorted by path goes through files, too.
        patch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", rows)
        patch.setattr("opendata_pkg.columns.spool._BLOCK_ROWS", rows)
        patch.setattr(Snapshot, "batches", lambda self, columns: iter(cut(self.table.select(columns), rows)))
        pieces = snapshot_files(snapshot, catalogue_of())
    assert pieces.to_pylist() == whole.to_pylist()
    paths = whole["path"].to_pylist()
    assert paths == sorted(paths, key=str.encode)


def test_an_object_waits_only_while_its_folder_may_come():
    """Of a million names that begin with one, that one is all that waits; it comes before what is behind its folder."""
    keys = ["a", *(f"a-{number:04d}" for number in range(1000)), "a0", "b"]
    order = [(settled.late, settled.rows["key"].to_pylist()) for settled in settle(cut(snapshot_of(*keys).table, 100))]
    assert [keys for late, keys in order if late] == [["a"]]
    assert order.index((True, ["a"])) == len(order) - 2


def test_folder_markers_are_no_files():
    """As in a dataset; an empty object of another name is one, and so is a marker that holds something."""
    snapshot = snapshot_of(entry_of("a/", ""), entry_of("b/", "x"), entry_of("c", ""))
    assert snapshot_files(snapshot, None)["path"].to_pylist() == ["b/%empty", "c"]


def test_the_newest_object_is_seen():
    """Its day, whatever order dates come in; none of no dates."""
    passing = Passing()
    assert passing.newest_date is None
    list(passing.look(cut(snapshot_of(entry_of("a", day=1), entry_of("b", day=3), entry_of("c")).table, 1)))
    assert passing.newest_date == "2024-01-04"


def test_only_pieces_of_a_stored_snapshot_are_in_memory(tmp_path):
    """Its rows are read as they are asked for, by stages that wait for each other."""
    keys = [f"folder/{number:060d}" for number in range(300_000)]
    table = snapshot_of(*keys[:1]).table
    columns = [pa.array(keys) if name == "key" else pa.repeat(table[name][0], len(keys)) for name in table.schema.names]
    snapshot = Snapshot(pa.table(columns, schema=table.schema), snapshot_of().header)
    snapshot.write(tmp_path / "s.parquet")
    whole_bytes, stored = snapshot.table.nbytes, StoredSnapshot.open(tmp_path / "s.parquet")
    del snapshot, table, columns
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for settled in settle(stored.batches()):
        rows += len(settled.rows)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == len(stored) == len(keys)
    assert most < whole_bytes / 2
