"""What became of each file between two tables of files."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.comparison.differences import CHANGES, Diff, Kind, Known, Side, diff_tables
from opendata_pkg.model import Grade, Sha256
from opendata_pkg.plan.changes import Change, compare
from tests.core_support import catalogue_of, entry_of, snapshot_files, snapshot_of


def files_of(*entries):
    """Objects as a table of files, in the datasets of the example's catalogue."""
    return snapshot_files(snapshot_of(*entries), catalogue_of())


def diff_of(before, after):
    """The diff of two lists of objects."""
    tables = files_of(*before), files_of(*after)
    sides = [Side(word=word, files=len(table), size_bytes=0) for word, table in zip("ab", tables, strict=True)]
    return Diff(sides[0], sides[1], diff_tables(*tables))


def told(found):
    """The changes as short texts."""
    return [f"{c.kind} {c.moved_from or ''}>{c.path}" for c in found.changes()]


def test_every_kind_of_change():
    """Added, removed, changed, moved and regraded, in the order of their paths; what is the same is only counted."""
    before = [
        entry_of("Mouse/gone", "gone"),
        entry_of("Rat/changed", "old one"),
        entry_of("Rat/moved", "moved"),
        entry_of("Rat/regraded", known="md5"),
        entry_of("Rat/same"),
    ]
    after = [
        entry_of("Mouse/new", "new"),
        entry_of("Rat/Cortex/moved", "moved", version="v1"),
        entry_of("Rat/changed", "new one!"),
        entry_of("Rat/regraded", known="both"),
        entry_of("Rat/same"),
    ]
    found = diff_of(before, after)
    assert told(found) == [
        "removed >Mouse/gone",
        "added >Mouse/new",
        "moved Rat/moved>Rat/Cortex/moved",
        "changed >Rat/changed",
        "regraded >Rat/regraded",
    ]
    assert found.same == 1
    assert {kind.value: (total.files, total.size_bytes) for kind, total in found.totals.items()} == {
        "added": (1, 3), "removed": (1, 4), "changed": (1, 8), "moved": (1, 5), "regraded": (1, 1),
    }  # fmt: skip
    removed, added, moved, changed, _ = found.changes()
    assert removed.after is None
    assert added.before is None
    assert moved.before.grade is Grade.VERIFIABLE
    assert moved.after.grade is Grade.FIXED
    assert (changed.before.size_bytes, changed.after.size_bytes) == (7, 8)
    assert changed.to_dict() == {
        "change": "changed",
        "path": "Rat/changed",
        "before": {"bytes": 7, "sha256": changed.before.sha256, "md5": None, "version_id": None, "grade": "verifiable"},
        "after": {"bytes": 8, "sha256": changed.after.sha256, "md5": None, "version_id": None, "grade": "verifiable"},
    }


def test_nothing_changed():
    """No rows, and all are the same."""
    found = diff_of(["a", "b"], ["a", "b"])
    assert (len(found), found.same, list(found.changes()), found.by_folder()) == (0, 2, [], ())
    assert found.table.schema == CHANGES
    assert diff_of([], []).same == 0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # A folder that was renamed: copies of one content keep their names, not their order.
        (
            [entry_of("x/a", "1"), entry_of("x/b", "1"), entry_of("x/c", "1")],
            [entry_of("y/z/b", "1"), entry_of("y/a", "1"), entry_of("y/c", "1")],
            ["moved x/a>y/a", "moved x/c>y/c", "moved x/b>y/z/b"],
        ),
        # More copies than before: each is paired once, the rest was added.
        ([entry_of("a", "1")], [entry_of("b", "1"), entry_of("c", "1")], ["moved a>b", "added >c"]),
        ([entry_of("b", "1"), entry_of("c", "1")], [entry_of("a", "1")], ["moved b>a", "removed >c"]),
        # A copy, while the first stays, is a new file.
        ([entry_of("a", "1")], [entry_of("a", "1"), entry_of("b", "1")], ["added >b"]),
        # By MD5, where one side has no SHA-256; with the size, since it costs nothing.
        ([entry_of("a", "1", known="md5")], [entry_of("b", "1", known="both")], ["moved a>b"]),
        (
            [entry_of("a", "1", known="md5")],
            [entry_of("b", "1", known="md5", size_bytes=2)],
            ["removed >a", "added >b"],
        ),
        # MD5s that were made to collide.
        (
            [entry_of("a", "1", known="both")],
            [entry_of("b", "1", known="both", sha256=Sha256("0" * 64))],
            ["removed >a", "added >b"],
        ),
        # Without digests nobody knows.
        ([entry_of("a", "1", known=None)], [entry_of("b", "1", known=None)], ["removed >a", "added >b"]),
    ],
)
def test_what_moved(before, after, expected):
    """One content at another path; pairs are the same each time."""
    assert told(diff_of(before, after)) == expected


ENTRIES = st.lists(
    st.builds(
        entry_of,
        st.sampled_from(["a", "b", "c", "é", "x/a", "x/b", "y/a", "y/x/a"]),
        st.sampled_from(["1", "2", "33"]),
        known=st.sampled_from(["sha256", "sha256", "md5", "both", None]),
        version=st.sampled_from([None, "v1"]),
    ),
    max_size=7,
    unique_by=lambda entry: entry.key,
)


@given(ENTRIES, ENTRIES)
def test_a_diff_adds_up(before, after):
    """From the files before, the changes lead to those after; nothing that moved could have been told otherwise."""
    found = diff_of(before, after)
    old, new = {entry.key: entry for entry in before}, {entry.key: entry for entry in after}
    now = set(old)
    for change in found.changes():
        if change.kind is Kind.REMOVED:
            now.remove(change.path)
        elif change.kind is Kind.MOVED:
            now.remove(change.moved_from)
            one, other = old[change.moved_from], new[change.path]
            assert (one.sha256 is not None and one.sha256 == other.sha256) or one.md5 == other.md5 is not None
        elif change.kind is not Kind.ADDED:
            assert compare(old[change.path], new[change.path]) is Change(change.kind.value)
        if change.kind in {Kind.MOVED, Kind.ADDED}:
            assert change.path not in old
            now.add(change.path)
    assert now == set(new)
    assert found.same == sum(compare(old[key], new[key]) is Change.SAME for key in old.keys() & new.keys())
    # No pair was missed.
    kinds = {kind: [c for c in found.changes() if c.kind is kind] for kind in (Kind.ADDED, Kind.REMOVED)}
    gone = {c.before.sha256 for c in kinds[Kind.REMOVED]} - {None}
    assert not gone & {c.after.sha256 for c in kinds[Kind.ADDED]}
    back = diff_of(after, before)
    assert {kind: total.files for kind, total in back.totals.items()} == {
        kind: found.totals[{Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED}.get(kind, kind)].files for kind in Kind
    }


def test_figures_by_dataset_and_folder():
    """Counts and bytes where the files are now; folders only as deep as a person can read."""
    before = [entry_of("Rat/Cortex/old/a", "1234"), entry_of("Rat/x", "12"), entry_of("top", "1")]
    after = [entry_of("Rat/Cortex/new/b", "123"), entry_of("Rat/x", "123"), entry_of("Rat/Cortex/new/c", "1")]
    found = diff_of(before, after)
    assert [one.to_dict() for one in found.by_dataset()] == [
        {"where": "Rat", "added": 0, "removed": 0, "changed": 1, "moved": 0, "regraded": 0, "bytes_new": 3, "bytes_gone": 2},
        {"where": "Rat/Cortex", "added": 1, "removed": 1, "changed": 0, "moved": 1, "regraded": 0, "bytes_new": 3, "bytes_gone": 4},
    ]  # fmt: skip
    assert [one.where for one in found.by_folder()] == ["Rat/", "Rat/Cortex/new/", "Rat/Cortex/old/"]
    assert [(one.where, sum(one.files.values())) for one in found.by_folder(2)] == [("Rat/", 1), ("Rat/Cortex/", 3)]
    assert [(one.where, sum(one.files.values())) for one in found.by_folder(1)] == [("Rat/", 4)]
    assert [one.where for one in diff_of([], ["top"]).by_folder()] == ["./"]


def test_folders_add_up_to_the_totals():
    """However deep they are told."""
    before = [entry_of(f"{a}/{b}/{c}", f"{a}{b}{c}") for a in "abc" for b in "de" for c in "fgh"]
    after = [entry_of(f"{a}/{b}/{c}", f"{b}{c}") for a in "bcd" for b in "de" for c in "ghi"]
    found = diff_of(before, after)
    for most in range(1, 12):
        sums = Counter()
        for one in found.by_folder(most):
            sums.update(one.files)
        assert sums == Counter({kind: total.files for kind, total in found.totals.items() if total.files})


def test_a_notebook_shows_it_escaped():
    """Names are data, not HTML."""
    page = diff_of([], [entry_of("<b>/x"), entry_of("&/y")])._repr_html_()
    assert "&lt;b&gt;/" in page
    assert "<b>" not in page
    assert "a → b: 0 files the same" in page


def test_grades_are_those_of_objects():
    """The same four, by the same rule."""
    for version in (None, "null", "v1"):
        for known in ("sha256", "md5", None):
            entry = entry_of("a", version=version, known=known)
            seen = Known(size_bytes=1, sha256=entry.sha256, md5=entry.md5, version_id=entry.version_id)
            assert seen.grade is entry.grade


def test_changes_come_in_batches_and_up_to_a_limit():
    """All rows, whatever the size of a batch."""
    found = diff_of([], [f"{number:02}" for number in range(20)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.comparison.differences._BATCH_ROWS", 3)
        assert [change.path for change in found.changes()] == [f"{number:02}" for number in range(20)]
        assert len(list(found.changes(7))) == 7


def test_columns_that_one_side_lacks_are_no_difference():
    """A lock has no ETags, dates, keys or addresses."""
    whole = files_of(entry_of("a", etag="1"), entry_of("b", "2"))
    lock = whole.select(["path", "size", "sha256", "md5", "version_id"]).append_column(
        "branch", pa.nulls(2, pa.string())
    )
    assert diff_tables(lock, whole).num_rows == 0
    assert diff_tables(whole, lock).num_rows == 0
