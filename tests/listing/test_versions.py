"""Which entries of a listing are objects, now and in the past: rules, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.versions import (
    ENTRY_SCHEMA,
    ChangedWhileListingError,
    NoHistoryError,
    resolve,
)

T0 = datetime(2024, 1, 1, tzinfo=UTC)


def at(seconds: int) -> datetime:
    """A time of the tests."""
    return T0 + timedelta(seconds=seconds)


def entry(key="k", version="v1", when=0, *, latest=True, marker=False, size=1):
    """One entry as a server lists it."""
    return (key, version, None if marker else size, None if marker else "e", at(when), "STANDARD", latest, marker)


def entries_to_table(entries):
    """Entries as the columns that a listing has."""
    rows = [dict(zip(ENTRY_SCHEMA.names, entry, strict=True)) for entry in entries]
    return pa.Table.from_pylist(rows, schema=ENTRY_SCHEMA)


def resolved(entries, as_of=None, *, cut=2):
    """The objects among entries in any order of keys, which come a few at a time."""
    with SortedRows(ENTRY_SCHEMA, folder=False) as found:
        found.add(entries)
        table = pa.concat_tables([ENTRY_SCHEMA.empty_table(), *found.batches()])
    return resolve((table.slice(start, cut) for start in range(0, len(table), cut)), as_of=as_of)


def rows(found):
    """Keys and versions of the result, which is in the order of keys."""
    assert found.table["key"].to_pylist() == sorted(found.table["key"].to_pylist())
    return sorted(zip(found.table["key"].to_pylist(), found.table["version_id"].to_pylist(), strict=True))


def test_current_objects_are_the_latest_entries():
    """Older versions and deleted keys are counted, not listed."""
    table = entries_to_table(
        [
            entry("b", "b1", 0, latest=False),
            entry("a", "a2", 5),
            entry("a", "a1", 1, latest=False),
            entry("b", "bx", 9, marker=True),
            entry("c", "null", 2),
        ]
    )
    found = resolved(table)
    assert rows(found) == [("a", "a2"), ("c", "null")]
    assert (found.older_versions, found.delete_markers, found.unaddressable) == (2, 1, 0)


def test_an_entry_listed_twice_counts_once():
    """Pages that overlap do not double objects or counts."""
    entries = [entry("a", "a2", 5), entry("a", "a1", 1, latest=False), entry("z", "zx", marker=True)]
    found = resolved(entries_to_table(entries * 3))
    assert rows(found) == [("a", "a2")]
    assert (found.older_versions, found.delete_markers) == (1, 1)


def test_entries_without_version_ids_are_deduplicated_too():
    """Unknown values compare as equal."""
    plain = ("a", None, 1, None, at(0), None, True, False)
    assert rows(resolved(entries_to_table([plain, plain]))) == [("a", None)]


@pytest.mark.parametrize(
    "entries",
    [
        [entry("a", "a1", size=1), entry("a", "a1", size=2)],
        [entry("a", "a1"), entry("a", "a2")],
        [entry("a", "a1", latest=False)],
        [entry("a", "a1"), entry("b", "b1", latest=False)],
    ],
)
def test_a_listing_that_contradicts_itself_is_refused(entries):
    """A key listed in two states, or with no latest one, asks for another scan."""
    with pytest.raises(ChangedWhileListingError, match="scan again"):
        resolved(entries_to_table(entries))


def test_an_empty_listing_has_no_objects():
    """Nothing in, nothing out."""
    assert rows(resolved(entries_to_table([]))) == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, []), (1, ["v1"]), (4, ["v1"]), (5, []), (6, []), (7, ["v2"]), (9, ["v3"]), (99, ["v3"])],
)
def test_as_of_takes_the_entry_that_was_latest_then(seconds, expected):
    """Before it was made, while it lived, when it was deleted, made again and overwritten."""
    table = entries_to_table(
        [
            entry(version="v3", when=8),
            entry(version="v2", when=7, latest=False),
            entry(version="x1", when=5, latest=False, marker=True),
            entry(version="v1", when=1, latest=False),
        ]
    )
    assert [version for _, version in rows(resolved(table, at(seconds)))] == expected


@pytest.mark.parametrize(("first", "expected"), [("v1", ["v1"]), ("x1", [])])
def test_entries_of_one_second_count_in_the_listing_order(first, expected):
    """A version and a delete marker of the same second: the one listed first is the newer."""
    both = [entry(version="v1", when=1, latest=False), entry(version="x1", when=1, latest=False, marker=True)]
    both.sort(key=lambda row: row[1] != first)
    table = entries_to_table([entry(version="v9", when=9), *both])
    assert [version for _, version in rows(resolved(table, at(1)))] == expected


def test_a_key_without_later_entries_is_as_it_is_now():
    """A multipart upload is dated by its beginning: its older date does not make it an old version."""
    table = entries_to_table([entry(version="multipart", when=1), entry(version="v1", when=5, latest=False)])
    assert rows(resolved(table, at(9))) == [("k", "multipart")]
    assert rows(resolved(table, at(3))) == [("k", "multipart")]


def test_an_overwritten_null_version_has_no_address():
    """It is left out and counted, not listed with a URL that brings other bytes."""
    table = entries_to_table(
        [entry("a", "a1", 9), entry("a", "null", 1, latest=False), entry("b", "null", 1), entry("c", "c1", 8)]
    )
    found = resolved(table, at(5))
    assert rows(found) == [("b", "null")]
    assert found.unaddressable == 1


def test_a_bucket_without_versions_has_no_past():
    """Asking it for one is an error that says so."""
    with pytest.raises(NoHistoryError, match="keeps none"):
        resolved(entries_to_table([entry(version="null")]), at(5))


HISTORIES = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=5),
    min_size=1,
)


@given(HISTORIES, st.integers(0, 16), st.randoms(use_true_random=False))
def test_as_of_replays_any_history(histories, moment, random):
    """For any puts and deletes at distinct times, the past is what a reader of then would have found."""
    entries, expected = [entry("always", "v0", 0)], {("always", "v0")}
    for key, steps in histories.items():
        when, alive = 0, None
        for number, (wait, marker) in enumerate(steps):
            when += wait
            entries.append(
                entry(key, f"{key}{number}", when, latest=number == len(steps) - 1, marker=marker, size=number)
            )
            if when <= moment:
                alive = None if marker else (key, f"{key}{number}")
        if alive is not None:
            expected.add(alive)
    random.shuffle(entries)
    assert rows(resolved(entries_to_table(entries), at(moment))) == sorted(expected)
    now = resolved(entries_to_table(entries), at(1000))
    assert rows(now) == rows(resolved(entries_to_table(entries)))


def test_only_pieces_of_a_listing_are_in_memory(tmp_path, monkeypatch):
    """Entries come and objects go a few thousand at a time; what was found is in a file."""
    monkeypatch.setattr("opendata_pkg.columns.spool.SPOOL_BYTES", 1 << 20)
    before, most = pa.total_allocated_bytes(), 0

    def pages():
        nonlocal most
        for page in range(60):
            keys = [f"folder/{page:03d}/{number:0200d}" for number in range(1000)]
            yield entries_to_table(
                [entry(key, version, latest=latest) for key in keys for version, latest in (("2", True), ("1", False))]
            )
            most = max(most, pa.total_allocated_bytes() - before)

    found = resolve(pages(), folder=tmp_path)
    assert (len(found.table), found.older_versions) == (60_000, 60_000)
    assert most < 5 << 20 < found.table.nbytes / 2


def test_many_entries_are_packed_in_order():
    """More entries than fit one batch keep their order."""
    table = entries_to_table(entry(f"{number:06d}", when=number) for number in range(45_000))
    assert all(left < right for left, right in pairwise(table["key"].to_pylist()))
