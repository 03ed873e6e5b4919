"""A snapshot that the store keeps already is not read again, unless its rows are needed; all others are."""

import shutil

import pyarrow.parquet as pq
import pytest

from opendata_pkg.building.build import build, snapshot_for
from opendata_pkg.snapshot.check import BrokenSnapshotError
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.store import Store
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
    assert [entry.key for entry in snapshot.read().objects()] == ["Mouse/m", "Rat/a"]
    assert (len(snapshot), snapshot.header) == (2, Snapshot.read(given).header)


def kept_after(store, file, meanwhile=lambda: None):
    """The store's copy of a snapshot that is built from a file, to which something happens after it was read."""
    snapshot = snapshot_for(store, file)
    meanwhile()
    build(snapshot, catalogue_of(), store)
    return Store.open(store).snapshot_path(snapshot.id)


def test_a_new_snapshot_is_kept_as_a_copy_of_its_file(tmp_path):
    """Byte for byte, whatever wrote it as we do; with the header that writing it would give."""
    file, written = tmp_path / "s.parquet", tmp_path / "written.parquet"
    snapshot_of("Rat/a", "Mouse/m").write(written)
    # As the same rows are written by us, but for what no reader sees.
    pq.write_table(pq.read_table(written), file, compression="zstd", write_page_checksum=True)
    shutil.copy(written.with_suffix(".json"), file.with_suffix(".json"))
    kept = kept_after(tmp_path / "store", file)
    assert kept.read_bytes() == file.read_bytes() != written.read_bytes()
    assert kept.with_suffix(".json").read_bytes() == written.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("options", [{"compression": "snappy"}, {"compression": "zstd", "row_group_size": 1}])
def test_a_file_of_another_shape_is_written_anew(tmp_path, options):
    """Readers of the store find what they rely on: row groups of a size, compressed in one way."""
    file, written = tmp_path / "s.parquet", tmp_path / "written.parquet"
    snapshot_of("Rat/a", "Mouse/m").write(written)
    pq.write_table(pq.read_table(written), file, **options)
    shutil.copy(written.with_suffix(".json"), file.with_suffix(".json"))
    assert kept_after(tmp_path / "store", file).read_bytes() == written.read_bytes()


@pytest.mark.parametrize("change", ["other rows", "gone"])
def test_a_file_that_changes_after_it_was_read_is_not_copied(tmp_path, change):
    """The store keeps what was built from."""
    file, written = tmp_path / "s.parquet", tmp_path / "written.parquet"
    snapshot_of("Rat/a", "Mouse/m").write(file)
    shutil.copy(file, written)
    meanwhile = file.unlink if change == "gone" else lambda: snapshot_of("Rat/b", "Mouse/m").write(file)
    kept = kept_after(tmp_path / "store", file, meanwhile)
    assert kept.read_bytes() == written.read_bytes()
    assert Snapshot.read(kept).id == kept.stem


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
