"""The store's folder: what is refused, what is read back, and who may write."""

import json
import multiprocessing
import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.building.build import build
from opendata_pkg.documents import InvalidDocumentError, NewerFormatError
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.store.places import BrokenStoreError, NoStoreError
from opendata_pkg.store.published import NotAStoreError
from opendata_pkg.store.state import State, with_version
from opendata_pkg.store.store import BusyStoreError, NoDraftError, Store, VersionError, parse_version
from opendata_pkg.written import ContentDigest
from tests.core_support import catalogue_of, publish, snapshot_of


@pytest.fixture
def store(tmp_path):
    """A store with one release."""
    publish(tmp_path / "store", "2026.1.0", snapshot_of("Rat/a", "b", "tmp/x"))
    return tmp_path / "store"


def test_there_is_no_store(tmp_path):
    """A folder that is not there: how to make one."""
    with pytest.raises(NoStoreError, match=r"no store at .*/none: make one with: opendata build SNAPSHOT --store "):
        Store.open(tmp_path / "none")


def test_a_folder_of_other_things(tmp_path):
    """Neither read as a store nor written to: nothing of it is lost."""
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(NotAStoreError, match=r"expected a store at .*, but it has no index\.json: name the folder"):
        Store.open(tmp_path)
    with pytest.raises(NotAStoreError, match=r"expected a store or an empty folder at .*, got something else"):
        Store.open_or_create(tmp_path, "example")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_store(tmp_path):
    """A file where a folder is meant."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotAStoreError, match=r"expected a store at .*/file"):
        Store.open(tmp_path / "file")
    with pytest.raises(NotAStoreError, match=r"expected a store or an empty folder at .*/file"):
        Store.open_or_create(tmp_path / "file", "example")


def test_an_empty_folder_becomes_one(tmp_path):
    """And stays the store of that catalogue."""
    assert Store.open_or_create(tmp_path / "a" / "b", "example").versions() == []
    assert json.loads((tmp_path / "a" / "b" / "index.json").read_bytes()) == {
        "format": 1,
        "catalogue": "example",
        "releases": [],
    }
    with pytest.raises(
        InputError, match=r"expected a store of the catalogue other, but .* is one of example: name another"
    ):
        Store.open_or_create(tmp_path / "a" / "b", "other")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            '{"format": 2, "catalogue": "example", "releases": {}}',
            NewerFormatError,
            "has format version 2, but this opendata",
        ),
        (
            '{"format": 1, "catalogue": "example"}',
            InvalidDocumentError,
            r"index\.json: at \$: 'releases' is a required",
        ),
        ('{"format": 1, "catal', InvalidDocumentError, r"index\.json: at \$: expected a JSON document"),
        ("", InvalidDocumentError, "expected a JSON document"),
    ],
)
def test_a_broken_or_newer_index(tmp_path, text, error, says):
    """Cut short, edited, or written by a newer opendata: refused before anything is read or written."""
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(error, match=says):
        Store.open(tmp_path)
    with pytest.raises(error, match=says):
        Store.open_or_create(tmp_path, "example")


def test_releases_are_read_back(store):
    """Every figure of every dataset, and what was left out, as the builder had it."""
    opened = Store.open(store)
    state = opened.release("2026.1.0")
    assert opened.latest() == state
    assert State.from_dict(json.loads(json.dumps(state.to_dict()))) == state
    assert list(state.datasets) == ["", "Rat"]
    assert state.datasets["Rat"].parent == "example"
    assert state.datasets[""].parent is None
    assert state.left_out == {"scratch": 1}
    assert (state.version, state.complete) == ("2026.1.0", True)


@pytest.fixture(scope="module")
def a_state(tmp_path_factory):
    """One state to vary."""
    store = tmp_path_factory.mktemp("state")
    publish(store, "1.0.0", snapshot_of("a"))
    return Store.open(store).latest()


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.booleans())
def test_states_survive_json(a_state, count, subtree, complete):
    """from_dict(to_dict(state)) == state."""
    state = a_state
    entry = state.datasets[""]
    entry = replace(
        entry,
        subtree_files=subtree,
        subtree_digest=ContentDigest(sha256="b" * 64, incomplete=count),
        written=replace(entry.written, borrowed=count, digest=ContentDigest(sha256="c" * 64, incomplete=subtree)),
    )
    state = replace(state, datasets={"": entry, "A/B": replace(entry, branch="A/B")}, complete=complete, version=None)
    assert State.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_an_unknown_version_names_the_last(store):
    """What to type instead."""
    with pytest.raises(NotFoundError, match=r"no version 9\.9\.9 in .*: the last ones are 2026\.1\.0"):
        Store.open(store).release("9.9.9")
    empty = Store.open_or_create(store.parent / "empty", "example")
    assert empty.latest() is None
    with pytest.raises(NotFoundError, match="the last ones are none yet"):
        empty.release("1.0.0")


def test_an_edited_release_is_noticed(store):
    """The index binds each release by digest: history cannot be changed in silence."""
    path = store / "releases" / "2026.1.0" / "index.json"
    path.write_text(path.read_text().replace('"files": 1', '"files": 7', 1))
    with pytest.raises(
        BrokenStoreError, match=r"releases/2026\.1\.0/index\.json is not as it was released: restore it"
    ):
        Store.open(store).latest()


def test_an_edited_catalogue_is_noticed(store):
    """Catalogues have their digest for a name."""
    opened = Store.open(store)
    sha256 = opened.latest().catalogue
    assert opened.read_catalogue(sha256).id == "example"
    path = store / "catalogues" / f"{sha256}.yaml"
    path.write_text(path.read_text() + "# a word more\n")
    with pytest.raises(BrokenStoreError, match=rf"catalogues/{sha256}\.yaml is not as it was released"):
        opened.read_catalogue(sha256)


def test_snapshots_are_kept(store):
    """What was built from is there for whoever wants to build again."""
    opened = Store.open(store)
    snapshot = opened.read_snapshot(opened.latest().snapshot)
    assert snapshot.id == snapshot_of("Rat/a", "b", "tmp/x").id


def test_there_is_no_draft(store):
    """What to run first."""
    with pytest.raises(NoDraftError, match=r"nothing to release in .*: run opendata build SNAPSHOT --store .* first"):
        Store.open(store).draft()
    assert Store.open(store).unfinished_release() is None


def test_a_draft_without_its_index_is_none(store):
    """What an interrupted build left behind is no draft, and goes away with the next one."""
    build(snapshot_of("c"), catalogue_of(), store)
    opened = Store.open(store)
    (opened.draft_folder / "index.json").unlink()
    with pytest.raises(NoDraftError):
        opened.draft()
    opened.drop_draft()
    assert not opened.draft_folder.exists()
    opened.drop_draft()


def _hold(path, ready, leave):
    with Store(path).locked():
        ready.set()
        leave.wait(30)


def test_one_writer_at_a_time(store):
    """A second one is told at once, and comes in when the first is done."""
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(store, ready, leave))
    other.start()
    assert ready.wait(30)
    with pytest.raises(BusyStoreError, match=r"another opendata is writing to .*: wait until it is done"):
        _enter(Store(store))
    leave.set()
    other.join()
    _enter(Store(store))


def _enter(store):
    with store.locked():
        pass


def test_a_killed_writer_holds_no_lock(store):
    """The lock goes with the process, however it ends: nobody has to remove a file."""
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(store, ready, leave))
    other.start()
    assert ready.wait(30)
    other.kill()
    other.join()
    _enter(Store(store))


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-rc1", "1.2.3+build", "v1.2.3", "1.2.3\n", "../x", "\u0661.2.3"]
)
def test_what_is_no_version(text):
    """Three numbers and nothing else: no leading zeros, no pre-release, no path."""
    with pytest.raises(VersionError, match=r"expected a version of three numbers, such as 2026\.1\.0, got "):
        parse_version(text)


def test_versions_are_ordered_as_numbers():
    """10 comes after 9."""
    assert parse_version("2026.10.0") > parse_version("2026.9.12") > parse_version("2026.9.2")


def test_changed_datasets_move_to_their_release(store):
    """Artefacts of what changed lie in the new release's folder; those of the rest stay where they are."""
    build(snapshot_of("Rat/a", "b", "c"), catalogue_of(), store)
    released = with_version(Store.open(store).draft(), "2026.1.1")
    assert {path: entry.artefacts for path, entry in released.datasets.items()} == {
        "": "releases/2026.1.1/example/",
        "Rat": "releases/2026.1.0/rat/",
    }


def test_what_is_published_is_for_everybody(tmp_path):
    """Under a private umask too, every file and folder below the store can be read by those whom it is served to."""
    private = os.umask(0o077)
    try:
        publish(tmp_path / "store", "1.0.0", snapshot_of("a", "Mouse/b"))
    finally:
        os.umask(private)
    published = [path for path in (tmp_path / "store").rglob("*") if path.name != ".lock"]
    assert published
    assert [path for path in published if path.stat().st_mode & 0o044 != 0o044] == []
    assert [path for path in published if path.is_dir() and path.stat().st_mode & 0o011 != 0o011] == []
