"""Sorting: rows in order, however many and in whatever pieces they come."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.columns import sorting
from opendata_pkg.columns.sorting import SortedRows

SCHEMA = pa.schema([pa.field("key", pa.string()), pa.field("number", pa.int64())])


@pytest.fixture(autouse=True, scope="module")
def _small_runs():
    """Runs of a few rows, so that a few dozen rows make many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RUN_BYTES", 200)
        patch.setattr(sorting, "_BATCH_ROWS", 3)
        yield


def table_of(keys):
    """Rows of keys, numbered by length."""
    return pa.table([keys, [len(key) for key in keys]], schema=SCHEMA)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.text(max_size=12), max_size=40), max_size=8),
    st.sampled_from([None, False]),
)
def test_any_rows_come_in_the_order_of_their_bytes(pieces, folder):
    """In memory or from files, with equal keys, and a second time too."""
    keys = [key for piece in pieces for key in piece]
    with SortedRows(SCHEMA, folder=folder) as rows:
        for piece in pieces:
            rows.add(table_of(piece))
        for _ in range(2):
            found = [row for batch in rows.batches() for row in batch.to_pylist()]
            assert [row["key"] for row in found] == sorted(keys, key=str.encode)
            assert all(row["number"] == len(row["key"]) for row in found)


def test_files_have_no_names(tmp_path):
    """So that nothing is left behind, whatever ends the process."""
    with SortedRows(SCHEMA, folder=tmp_path) as rows:
        rows.add(table_of([f"{number:05d}" for number in range(1000)]))
        next(rows.batches())
        assert list(tmp_path.iterdir()) == []


def test_rows_that_come_after_some_were_handed_out_are_sorted_in(tmp_path):
    """A second look sees them all."""
    with SortedRows(SCHEMA, folder=tmp_path) as rows:
        rows.add(table_of(["b"]))
        assert [row["key"] for batch in rows.batches() for row in batch.to_pylist()] == ["b"]
        rows.add(table_of(["a"]))
        assert [row["key"] for batch in rows.batches() for row in batch.to_pylist()] == ["a", "b"]
