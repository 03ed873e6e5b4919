"""What became of each object between two releases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.changes import Change, ChangeCounts, compare, count_changes
from tests.core_support import entry_of

SAME, REGRADED, CHANGED = Change.SAME, Change.REGRADED, Change.CHANGED


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
