"""What may not become a release, because earlier ones promised otherwise; each sentence says what to do."""

import json

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.promises import BrokenPromiseError, UndigestedError
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.store.store import NoDraftError, Store
from tests.core_support import catalogue_of, dataset, entry_of, publish, snapshot_of

KEYS = ("Rat/a", "Rat/Cortex/b", "Mouse/c", "d")


def tree(**branches):
    """A catalogue of branches by path, `__` for a slash."""
    named = {path.replace("__", "/"): fields for path, fields in branches.items()}
    return catalogue_of(f"branches: {json.dumps(named)}\n")


BEFORE = {"Rat": {}, "Rat__Cortex": {}, "Mouse": {}}


@pytest.fixture
def store(tmp_path):
    """A store with one release of four datasets."""
    publish(tmp_path, "1.0.0", snapshot_of(*KEYS), tree(**BEFORE))
    return tmp_path


def refuses(store, catalogue, says, *, keys=KEYS):
    """Fail the test unless a build is refused in these words, and nothing is drafted."""
    with pytest.raises(BrokenPromiseError, match=says):
        build(snapshot_of(*keys), catalogue, store)
    with pytest.raises(NoDraftError):
        Store.open(store).draft()


def test_a_released_branch_cannot_be_dropped(store):
    """Its entry stays in the catalogue, though it be empty."""
    says = r"branch Mouse was released as dataset [0-9a-f-]{36}, which the catalogue has not: keep its entry"
    refuses(store, tree(Rat={}, Rat__Cortex={}), says)


def test_an_empty_branch_stays_a_dataset(store):
    """No object at or below it any more: an empty dataset, in its parent as before."""
    publish(store, "1.1.0", snapshot_of("d"), tree(**BEFORE))
    assert dataset(store, "Rat/Cortex").written.totals.files == 0
    assert dataset(store, "Rat/Cortex").parent == "rat"


def test_a_released_uuid_cannot_change(store):
    """Another id is another dataset."""
    uuid = "11111111-2222-3333-4444-555555555555"
    refuses(store, tree(**BEFORE | {"Mouse": {"uuid": uuid}}), r"branch Mouse was released as dataset .*has not: keep")


def test_a_released_name_cannot_change(store):
    """Clones and submodules go by it."""
    says = r"branch Mouse was released under the name mouse, but the catalogue names it mus: restore `name: mouse`"
    refuses(store, tree(**BEFORE | {"Mouse": {"name": "mus"}}), says)


def test_the_name_of_the_root_is_kept_too(store):
    """It is called `.`, as people write it."""
    other = catalogue_of(f"name: other\nbranches: {json.dumps({'Rat': {}, 'Rat/Cortex': {}, 'Mouse': {}})}\n")
    refuses(store, other, r"branch \. was released under the name example, but the catalogue names it other")


def test_a_moved_branch_says_so(store):
    """Its old path must still lead to it."""
    uuid = dataset(store, "Mouse").dataset_id
    moved = {"Rat": {}, "Rat__Cortex": {}, "Mice": {"uuid": uuid, "name": "mouse"}}
    says = r"dataset mouse was released as branch Mouse, but is Mice now: add Mouse to its `formerly:`"
    refuses(store, tree(**moved), says, keys=("Rat/a", "Mice/c"))
    moved["Mice"]["formerly"] = ["Mouse"]
    publish(store, "1.1.0", snapshot_of("Rat/a", "Mice/c"), tree(**moved))
    assert dataset(store, "Mice").dataset_id == uuid
    assert "Mouse" not in Store.open(store).latest().datasets


def test_a_branch_in_the_middle_cannot_be_dropped(store):
    """Nor one with others below it: what it held would move, and they would be nested anew."""
    between = {"Rat": {}, "Rat__Cortex": {}, "Mouse": {}}
    publish(store, "1.1.0", snapshot_of(*KEYS, "Rat/Cortex/deep/x"), tree(**between | {"Rat__Cortex__deep": {}}))
    between |= {"Rat__Cortex__deep": {"uuid": dataset(store, "Rat/Cortex/deep").dataset_id, "name": "rat.cortex.deep"}}
    del between["Rat__Cortex"]
    refuses(store, tree(**between), r"branch Rat/Cortex was released as dataset .* keep its entry")


def test_a_dataset_cannot_get_another_parent(tmp_path):
    """Declaring a branch between a released one and its parent would nest it anew."""
    publish(tmp_path, "1.0.0", snapshot_of("A/B/x", "A/y"), tree(A__B={}))
    says = r"branch A/B was released as a subdataset of example, but would now be one of a: `git pull` fails in clones"
    refuses(tmp_path, tree(A={}, A__B={}), says, keys=("A/B/x", "A/y"))


def test_more_branches_may_come(store):
    """A new branch beside or below those that were released is no broken promise."""
    more = BEFORE | {"Fish": {}, "Rat__Cortex__L1": {}, "Mouse__Brain": {}}
    built, _ = publish(store, "1.1.0", snapshot_of(*KEYS, "Fish/x", "Mouse/Brain/y"), tree(**more))
    assert {entry.branch for entry in built.datasets if entry.changed} == {"", "Mouse", "Mouse/Brain", "Fish"}


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            (),
            ("Rat/",),
            r"the last release was built from the whole source, but this snapshot covers only Rat/: all else",
        ),
        (("Rat/",), ("Rat/Cortex/",), r"built from Rat/, but this snapshot covers only Rat/Cortex/"),
        (("Rat/", "Mouse/"), ("Rat/",), r"built from Rat/, Mouse/, but this snapshot covers only Rat/: all else would"),
    ],
)
def test_a_narrower_snapshot_would_delete(tmp_path, before, after, says):
    """What was not listed would count as deleted."""
    publish(tmp_path, "1.0.0", snapshot_of("Rat/Cortex/b", prefixes=before), tree(**BEFORE))
    narrower = snapshot_of("Rat/Cortex/b", prefixes=after)
    with pytest.raises(BrokenPromiseError, match=says):
        build(narrower, tree(**BEFORE), tmp_path)


@pytest.mark.parametrize(
    ("before", "after"), [((), ()), (("Rat/",), ()), (("Rat/",), ("R",)), (("Rat/", "Mouse/"), ("Rat/", "M"))]
)
def test_as_much_or_more_may_be_scanned(tmp_path, before, after):
    """A snapshot that covers all that the last one did is fine."""
    publish(tmp_path, "1.0.0", snapshot_of("Rat/Cortex/b", prefixes=before), tree(**BEFORE))
    assert build(snapshot_of("Rat/Cortex/b", prefixes=after), tree(**BEFORE), tmp_path).report is not None


def test_files_without_digest_stop_a_build(tmp_path):
    """How many, how large, one by name, and both remedies."""
    entries = [entry_of(f"Rat/{n}", "12345", known=None) for n in range(3)]
    entries += [entry_of("Mouse/x", known=None, size_bytes=None), entry_of("d"), entry_of("e", known="md5")]
    with pytest.raises(UndigestedError) as caught:
        build(snapshot_of(*entries), catalogue_of(), tmp_path / "store")
    assert (caught.value.count, caught.value.size_bytes) == (4, 15)
    said = str(caught.value)
    assert said.startswith("no digest is known of 4 objects of 15 bytes (one is '")
    assert "opendata hash SNAPSHOT --dry-run" in said
    assert "--allow-undigested" in said


@pytest.mark.parametrize(
    ("glob", "left"), [("**", 0), ("*.big", 1), ("/Rat/", 1), ("Rat/*.big", 1), ("Mouse", 2), ("nothing", 2)]
)
def test_some_may_go_without(tmp_path, glob, left):
    """Those whose whole key matches the glob, in gitignore's syntax; the rest are still counted."""
    snapshot = snapshot_of(entry_of("Rat/a.big", known=None), entry_of("b", known=None), entry_of("c"))
    if left == 0:
        assert build(snapshot, catalogue_of(), tmp_path, allow_undigested=glob).report is not None
        return
    with pytest.raises(UndigestedError, match=rf"^no digest is known of {left} objects? of {left} bytes? "):
        build(snapshot, catalogue_of(), tmp_path, allow_undigested=glob)


def test_ignored_objects_need_no_digest(tmp_path):
    """What is in no dataset need not be hashed."""
    built = build(snapshot_of(entry_of("tmp/x", known=None), "a"), catalogue_of(), tmp_path)
    assert built.left_out == {"scratch": 1}


def test_an_empty_snapshot(tmp_path):
    """Nothing to build, and no store is begun."""
    empty = snapshot_of()
    with pytest.raises(NotFoundError, match="the snapshot holds no objects: there is nothing to build; scan another"):
        build(empty, catalogue_of(), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_snapshot_without_an_address(tmp_path):
    """Nobody could fetch: how to scan again."""
    nowhere = snapshot_of("a", base_url=None, source="/data")
    with pytest.raises(
        InputError, match=r"the snapshot of /data does not say where readers fetch .* with --base-url URL"
    ):
        build(nowhere, catalogue_of(), tmp_path / "store")
    assert not (tmp_path / "store").exists()
