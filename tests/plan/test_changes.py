"""What became of each object between two releases."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.plan.changes import Change, compare, compare_rows, difference, differences
from opendata_pkg.snapshot.rows import objects_to_table
from opendata_pkg.written import ChangeCounts
from tests.core_support import entry_of

SAME, REGRADED, CHANGED = Change.SAME, Change.REGRADED, Change.CHANGED


def count_changes(before, after):
    """One by one, what columns are compared for at once."""
    old = {entry.key: entry for entry in before}
    added = changed = regraded = 0
    for entry in after:
        match = old.pop(entry.key, None)
        if match is None:
            added += 1
        elif (became := compare(match, entry)) is Change.CHANGED:
            changed += 1
        elif became is Change.REGRADED:
            regraded += 1
    return ChangeCounts(added=added, changed=changed, removed=len(old), regraded=regraded)


@pytest.mark.parametrize(
    ("before", "after", "became"),
    [
        (entry_of("a"), entry_of("a"), SAME),
        (entry_of("a"), entry_of("a", storage_class="GLACIER"), SAME),
        (entry_of("a"), entry_of("a", "y"), CHANGED),
        # Learning a better digest is regraded, never changed.
        (entry_of("a", known="md5"), entry_of("a", known="both"), REGRADED),
        (entry_of("a", known=None), entry_of("a"), REGRADED),
        (entry_of("a"), entry_of("a", known="both"), REGRADED),
        # The same bytes put there again: the content is the same, what is known of it is not.
        (entry_of("a", version="v1"), entry_of("a", version="v2", day=3), REGRADED),
        # MD5 on both sides tells, though only one has a SHA-256.
        (entry_of("a", known="md5"), entry_of("a", "y", known="both"), CHANGED),
        # No digest that both have: the size tells, then the ETag, then the time.
        (entry_of("a", known="md5"), entry_of("a", "xy"), CHANGED),
        (entry_of("a", known="md5"), entry_of("a", "y"), REGRADED),
        (entry_of("a", known=None, etag="1"), entry_of("a", known=None, etag="2"), CHANGED),
        (entry_of("a", known=None, etag="1"), entry_of("a", known=None, etag="1", day=1), REGRADED),
        (entry_of("a", known=None), entry_of("a", known=None, day=1), CHANGED),
        (entry_of("a", known=None, size_bytes=None), entry_of("a", known=None), REGRADED),
    ],
)
def test_what_became_of_an_object(before, after, became):
    """By a digest both have, else by size, else by what S3 says of it."""
    assert compare(before, after) is became


ENTRY = st.builds(
    entry_of,
    st.just("a"),
    st.sampled_from("xy"),
    known=st.sampled_from(["sha256", "md5", "both", None]),
    day=st.integers(0, 1),
)


@given(ENTRY, ENTRY)
def test_forwards_and_backwards_are_alike(before, after):
    """What changed in one direction changed in the other; nothing becomes of what stays."""
    assert compare(before, after) is compare(after, before)
    assert compare(before, before) is SAME


def test_counts():
    """Added, changed, removed and regraded, by key, whatever the order."""
    before = [entry_of("a"), entry_of("b"), entry_of("c"), entry_of("d", known="md5")]
    after = [entry_of("e"), entry_of("d", known="both"), entry_of("b", "other"), entry_of("a")]
    assert count_changes(before, after) == ChangeCounts(added=1, changed=1, removed=1, regraded=1)
    assert count_changes(after, after) == ChangeCounts()
    assert count_changes([], after) == ChangeCounts(added=4)


def table_of(entries):
    """Objects as a table that is sorted by key, as a snapshot's is."""
    return objects_to_table(sorted(entries, key=lambda entry: entry.key.encode()))


def became_of(before, after):
    """What became of the only row of two tables, by their columns."""
    rows = compare_rows(before, after)
    assert not len(rows.added)
    assert not len(rows.removed)
    if len(rows.changed[0]):
        return CHANGED
    return REGRADED if len(rows.regraded[0]) else SAME


KNOWN_ENTRY = st.builds(
    entry_of,
    st.sampled_from(["a", "b", "b/c", "é", "\U0001f600", "\uffee"]),
    st.sampled_from(["x", "y", "xy"]),
    known=st.sampled_from(["sha256", "md5", "both", None]),
    day=st.integers(0, 1),
    version=st.sampled_from([None, "v1", "v2"]),
    etag=st.sampled_from([None, "1", "2"]),
) | st.builds(entry_of, st.just("a"), size_bytes=st.none(), last_modified=st.none(), known=st.just(None))


@given(KNOWN_ENTRY, KNOWN_ENTRY)
def test_columns_are_compared_as_objects_are(before, after):
    """One rule, whether objects come one by one or as columns."""
    same_key = objects_to_table([after]).set_column(0, "key", pa.array([before.key]))
    assert became_of(objects_to_table([before]), same_key) is compare(before, after)


ENTRIES = st.lists(KNOWN_ENTRY, max_size=6, unique_by=lambda entry: entry.key)


@given(ENTRIES, ENTRIES, st.integers(1, 4))
def test_tables_are_compared_as_lists_of_objects_are(before, after, block):
    """The same counts, and the rows they are of, wherever the pieces end that are worked on at a time."""
    old, new = table_of(before), table_of(after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.plan.changes._BLOCK_ROWS", block)
        rows = compare_rows(old, new)
    assert rows.counts() == count_changes(before, after)
    old_keys, new_keys = old["key"].to_pylist(), new["key"].to_pylist()
    assert [new_keys[row] for row in rows.added.to_pylist()] == [key for key in new_keys if key not in old_keys]
    assert [old_keys[row] for row in rows.removed.to_pylist()] == [key for key in old_keys if key not in new_keys]
    by_key = {entry.key: entry for entry in before}, {entry.key: entry for entry in after}
    for became, pairs in ((CHANGED, rows.changed), (REGRADED, rows.regraded)):
        keys = [old_keys[row] for row in pairs[0].to_pylist()]
        assert keys == [new_keys[row] for row in pairs[1].to_pylist()]
        both = (key for key in old_keys if key in new_keys)
        assert keys == [key for key in both if compare(by_key[0][key], by_key[1][key]) is became]


@given(ENTRIES, ENTRIES, st.integers(1, 4), st.integers(1, 4))
def test_pieces_differ_as_tables_do(before, after, old_rows, new_rows):
    """The same rows are gone and new, wherever pieces of either side end; pieces that are the same are left out."""
    old, new = table_of(before), table_of(after)
    whole = difference(old, new)
    parts = list(differences(pieces_of(old, old_rows), pieces_of(new, new_rows)))
    assert [row for part in parts for row in part.gone.to_pylist()] == whole.gone.to_pylist()
    assert [row for part in parts for row in part.new.to_pylist()] == whole.new.to_pylist()
    assert all(parts)


def pieces_of(table, rows):
    """A table in pieces, one of them empty."""
    return [table.slice(0, 0), *(table.slice(start, rows) for start in range(0, len(table), rows))]


def test_what_one_side_never_knows_tells_nothing():
    """A lock has neither ETag nor date: an object is not changed or regraded by having them."""
    entry = entry_of("a", version="v1", etag="1")
    whole = objects_to_table([entry])
    lock = whole.drop_columns(["etag", "last_modified"])
    assert became_of(lock, whole) is SAME
    assert became_of(whole, lock) is SAME
    assert became_of(lock, objects_to_table([entry_of("a", "y", version="v1", etag="1")])) is CHANGED
