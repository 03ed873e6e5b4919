"""Which two things can be compared, by the words that people use for them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opendata_pkg.comparison.differences import diff_tables
from opendata_pkg.comparison.sides import diff
from opendata_pkg.lock.format import LockContent
from opendata_pkg.model import NotFoundError, UsageError
from opendata_pkg.plan.selection import EmptySelectionError, Rules
from opendata_pkg.snapshot.snapshot import Snapshot
from tests.core_support import entry_of, publish, snapshot_files, snapshot_of
from tests.lock_support import locked, selected

BEFORE = (entry_of("Rat/Cortex/a.swc", "a"), entry_of("Rat/b.swc", "b", etag="1"), entry_of("Mouse/c.txt", "c"))
AFTER = (
    entry_of("Rat/Cortex/new.swc", "new"),
    entry_of("Rat/Cortex/a.swc", "other"),
    entry_of("Rat/b.swc", "b", etag="1"),
    entry_of("Rat/d.txt", "d"),
)


@pytest.fixture
def store(tmp_path):
    """A store with two releases."""
    publish(tmp_path / "store", "1.0.0", snapshot_of(*BEFORE))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*AFTER))
    return tmp_path / "store"


@pytest.fixture
def lock(tmp_path):
    """Writes a lock of objects: its path."""

    def write(*rows, selections, name="opendata.lock"):
        content = LockContent(selections={one.name: one for one in selections}, files=rows)
        path = tmp_path / name
        path.write_text(content.dump(), encoding="utf-8")
        return str(path)

    return write


def told(found):
    """The changes as short texts."""
    return [f"{change.kind} {change.path}" for change in found.changes()]


def test_versions_of_a_branch(store):
    """All below the branch, across datasets; both sides say what they are."""
    found = diff("Rat@1.0.0", "Rat", store=store)
    assert told(found) == ["changed Rat/Cortex/a.swc", "added Rat/Cortex/new.swc", "added Rat/d.txt"]
    assert found.to_dict()["before"]["version"] == "1.0.0"
    assert found.to_dict()["after"]["version"] == "1.1.0"
    assert found.after.files == 4


def test_rules_and_paths_narrow_it(store):
    """As with every command that selects."""
    found = diff("Rat@1.0.0", "Rat@1.1.0", rules=Rules(include=("*.swc",)), store=store)
    assert told(found) == ["changed Rat/Cortex/a.swc", "added Rat/Cortex/new.swc"]
    assert told(diff("Rat@1.0.0:d.txt", "Rat:d.txt", store=store)) == ["added Rat/d.txt"]


def test_files_of_a_dataset_that_end_as_snapshots_and_locks_do(tmp_path):
    """`BRANCH:PATH` is a file of the dataset, whatever it ends in."""
    names = ("Rat/t.parquet", "Rat/poetry.lock")
    publish(tmp_path / "store", "1.0.0", snapshot_of(*(entry_of(name, "old") for name in names)))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*(entry_of(name, "new") for name in names)))
    for name in ("t.parquet", "poetry.lock"):
        found = diff(f"Rat@1.0.0:{name}", f"Rat:{name}", store=tmp_path / "store")
        assert told(found) == [f"changed Rat/{name}"]


def test_nothing_on_both_sides_is_an_error(store):
    """It would look as if nothing had changed."""
    rules = Rules(include=("*.h5",))
    with pytest.raises(EmptySelectionError, match=r"no file to compare in Rat@1\.0\.0 and Rat"):
        diff("Rat@1.0.0", "Rat", rules=rules, store=store)


def test_what_is_not_there_is_an_error(store):
    """A version or branch that never was is no empty side."""
    with pytest.raises(NotFoundError, match="no version 9"):
        diff("Rat@9.0.0", "Rat", store=store)
    with pytest.raises(NotFoundError, match="no lock at"):
        diff("no.lock", "Rat", store=store)


def test_snapshots_with_each_other_and_with_versions(store, tmp_path):
    """A snapshot has the same paths as what was built from it."""
    snapshot_of(*BEFORE).write(tmp_path / "a.parquet")
    snapshot_of(*AFTER).write(tmp_path / "b.parquet")
    words = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    changes = told(diff(*words))
    assert changes == [
        "removed Mouse/c.txt", "changed Rat/Cortex/a.swc", "added Rat/Cortex/new.swc", "added Rat/d.txt",
    ]  # fmt: skip
    assert told(diff(".@1.0.0", words[1], store=store)) == changes
    assert told(diff(words[0], ".@1.0.0", store=store)) == []
    assert len(diff(words[0], words[0])) == 0


KEYS = st.lists(
    st.builds(entry_of, st.text(st.sampled_from("ab-/0%."), min_size=1, max_size=4), st.sampled_from("xy")),
    min_size=1,
    max_size=8,
    unique_by=lambda entry: entry.key,
)


@settings(max_examples=50)
@given(KEYS, KEYS, st.integers(1, 4))
def test_snapshots_read_side_by_side_differ_as_their_tables_do(tmp_path_factory, before, after, rows):
    """Also where an object has the name of a folder on one side, or only its path has its place elsewhere."""
    folder = tmp_path_factory.mktemp("pair")
    paths = [folder / "a.parquet", folder / "b.parquet"]
    for path, entries in zip(paths, (before, after), strict=True):
        snapshot_of(*entries).write(path)
    tables = [snapshot_files(Snapshot.read(path), None) for path in paths]
    assume(any(len(table) for table in tables))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opendata_pkg.snapshot.storage.READ_ROWS", rows)
        found = diff(*map(str, paths))
    assert found.table.to_pylist() == diff_tables(*tables).to_pylist()
    assert [found.before.files, found.after.files] == [len(table) for table in tables]
    assert found.after.size_bytes == sum(tables[1]["size"].to_pylist())


def test_rules_narrow_snapshots_too(tmp_path):
    """By name and size; where they give nothing of both, it is said."""
    snapshot_of(*BEFORE).write(tmp_path / "a.parquet")
    snapshot_of(*AFTER).write(tmp_path / "b.parquet")
    words = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    found = diff(*words, rules=Rules(include=("*.swc",), larger=2))
    assert told(found) == ["added Rat/Cortex/a.swc", "added Rat/Cortex/new.swc"]
    assert (found.before.files, found.after.files) == (0, 2)
    with pytest.raises(EmptySelectionError, match="no file to compare"):
        diff(*words, rules=Rules(include=("*.nothing",)))


@pytest.mark.s3
def test_a_bucket_as_it_is_now_with_a_version(tmp_path, s3_server):
    """No store of today is needed: the bucket is listed."""
    s3_server.make_bucket("sides")
    client = s3_server.client()
    for key in ("Rat/Cortex/a.swc", "Rat/d.txt"):
        client.put_object(Bucket="sides", Key=key, Body=b"a")
    publish(tmp_path / "store", "1.0.0", snapshot_of(*BEFORE))
    found = diff("Rat@1.0.0", "s3://sides/Rat", store=tmp_path / "store", endpoint_url=s3_server.endpoint_url)
    # No digest of it is known on both sides, and its date is another.
    assert told(found) == ["changed Rat/Cortex/a.swc", "removed Rat/b.swc", "added Rat/d.txt"]


def test_a_lock_with_a_version_is_about_what_was_pinned(store, lock):
    """Other files of the version are no news; new files that the rules mean are."""
    rows = [locked("Rat/Cortex/a.swc", content=b"a"), locked("Rat/b.swc", content=b"b")]
    rules = {"include": ["*.swc"]}
    pinned = lock(*rows, selections=[selected(branch="Rat", rules=rules)])
    assert told(diff(pinned, ".@1.0.0", store=store)) == []
    changes = ["changed Rat/Cortex/a.swc", "added Rat/Cortex/new.swc"]
    assert told(diff(pinned, ".", store=store)) == changes
    assert told(diff(pinned, "Rat", store=store)) == changes
    assert told(diff(".@1.1.0", pinned, store=store)) == ["changed Rat/Cortex/a.swc", "removed Rat/Cortex/new.swc"]
    # Of a lock of more branches than are compared, the others are no news either.
    more = lock(
        *rows,
        locked("Mouse/c.txt", content=b"c", selection="mice"),
        selections=[selected(branch="Rat", rules=rules), selected("mice", branch="Mouse")],
    )
    assert told(diff(more, "Rat", store=store)) == changes
    assert told(diff(more, ".", store=store)) == ["removed Mouse/c.txt", *changes]


def test_an_overwritable_version_is_none_to_a_lock(tmp_path, lock):
    """`null` versions are not locked, and no difference."""
    snapshot_of(entry_of("a", "a", version="null", etag="1")).write(tmp_path / "s.parquet")
    pinned = lock(locked("a", content=b"a"), selections=[selected()])
    assert told(diff(pinned, str(tmp_path / "s.parquet"))) == []


def test_two_locks_by_the_places_of_their_files(lock):
    """Two versions of one path stand side by side in a lock."""
    both = [selected(), selected("old", folder="old")]
    one = lock(locked("a", content=b"1"), locked("a", content=b"0", selection="old"), selections=both, name="1.lock")
    two = lock(locked("a", content=b"2"), locked("a", content=b"0", selection="old"), selections=both, name="2.lock")
    assert told(diff(one, two)) == ["changed a"]
    assert told(diff(one, one)) == []


def test_two_versions_of_a_path_in_a_lock_with_a_snapshot(tmp_path, lock):
    """The one at its own place is compared."""
    snapshot_of(entry_of("a", "1")).write(tmp_path / "s.parquet")
    both = [selected("old", folder="old"), selected()]
    pinned = lock(locked("a", content=b"1"), locked("a", content=b"0", selection="old"), selections=both)
    assert told(diff(pinned, str(tmp_path / "s.parquet"))) == []


def test_a_lock_takes_no_rules(lock):
    """It has its own."""
    pinned = lock(locked("a"), selections=[selected()])
    with pytest.raises(UsageError, match="leave the selection options out"):
        diff(pinned, pinned, rules=Rules(include=("*",)))
