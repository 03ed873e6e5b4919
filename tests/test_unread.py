"""A snapshot that the store keeps already is not read again, unless its rows are needed; all others are."""

import shutil

import pytest

from opendata_pkg.build import build, snapshot_for
from opendata_pkg.snapshot import BrokenSnapshotError, Snapshot
from opendata_pkg.store import Store
from tests.core_support import catalogue_of, publish, snapshot_of


@pytest.fixture
def given(tmp_path):
    """The file of a snapshot that was released."""
    snapshot = snapshot_of("Rat/a", "Mouse/m")
    snapshot.write(tmp_path / "s.parquet")
    publish(tmp_path / "store", "1.0.0", snapshot)
    return tmp_path / "s.parquet"


def reads(monkeypatch):
    """The paths of snapshots that are read from now on."""
    found = []
    real = Snapshot.read.__func__
    monkeypatch.setattr(Snapshot, "read", classmethod(lambda cls, path: (found.append(path), real(cls, path))[1]))
    return found


def test_what_was_released_is_not_read(given, tmp_path, monkeypatch):
    """Neither the file nor the store's copy; the result has all that it would have."""
    whole = build(Snapshot.read(given), catalogue_of(), tmp_path / "store")
    found = reads(monkeypatch)
    assert build(snapshot_for(tmp_path / "store", given), catalogue_of(), tmp_path / "store") == whole
    assert found == []


def test_rows_are_read_when_needed(given, tmp_path, monkeypatch):
    """A snapshot known to the store is the same as one read from its file."""
    found = reads(monkeypatch)
    snapshot = snapshot_for(tmp_path / "store", given)
    assert (len(snapshot), snapshot.id, found) == (2, Snapshot.read(given).id, [given])
    assert [entry.key for entry in snapshot.objects()] == ["Mouse/m", "Rat/a"]
    assert (len(snapshot), snapshot.header) == (2, Snapshot.read(given).header)


def test_altered_rows_are_found(given, tmp_path):
    """A file that says it is what was released, but is not, is refused."""
    other = tmp_path / "other.parquet"
    snapshot_of("Rat/other").write(other)
    shutil.copy(other, given)
    with pytest.raises(BrokenSnapshotError, match="do not belong together"):
        snapshot_for(tmp_path / "store", given)


def test_the_stores_own_file_is_checked(given, tmp_path):
    """It is no witness of itself."""
    store = Store.open(tmp_path / "store")
    kept = store.snapshot_path(Snapshot.read(given).id)
    other = tmp_path / "other.parquet"
    snapshot_of("Rat/other").write(other)
    shutil.copy(other, kept)
    with pytest.raises(BrokenSnapshotError, match="do not belong together"):
        snapshot_for(store.path, kept)
