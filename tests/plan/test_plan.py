"""What goes where: every object in exactly one dataset or in the report of what was left out."""

import json

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opendata_pkg.model import InputError
from opendata_pkg.plan import plan as planning
from opendata_pkg.plan.plan import FOLDER_MARKER, LostObjectsError, count_rows, kept_keys, make_plans
from opendata_pkg.snapshot.snapshot import Snapshot
from tests.core_support import BASE, catalogue_of, entry_of, snapshot_of

BRANCHES = ("A", "A/B", "A/B/C", "A/D/E", "A-b", "A b", "A.b", "A0", "B", "Z/Y")
IGNORED = ("tmp/", "A/x", "A-", "B/q/", "st", "Z/Yy")
NAMES = (
    "A",
    "B",
    "C",
    "D",
    "E",
    "A-b",
    "A b",
    "A.b",
    "A0",
    "Z",
    "Y",
    "Yy",
    "x",
    "xx",
    "q",
    "tmp",
    "st",
    "datapackage.json",
    "",
)
KEY = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5).map("/".join).filter(bool)
TREE = st.sets(st.sampled_from(BRANCHES)).flatmap(
    lambda tree: st.tuples(st.just(tree), st.sets(st.sampled_from(IGNORED)))
)


def catalogue_with(branches, ignored=()):
    """A catalogue of branches by path, and ignored prefixes."""
    ignore = [{"prefix": prefix, "reason": f"ignored {prefix}"} for prefix in sorted(ignored)]
    # `A b` and `A-b` would have one name by default, as `A.b` and `A/B` would.
    named = {path: {"name": path.encode().hex()} for path in branches}
    return catalogue_of(f"branches: {json.dumps(named)}\nignore: {json.dumps(ignore)}\n")


def naive_place(key, size_bytes, branches, ignored):
    """Where one key goes, by the words of the rule: (branch, None) or (None, reason)."""
    for prefix in ignored:
        if key.startswith(prefix):
            return None, f"ignored {prefix}"
    if key.endswith("/") and size_bytes in {0, None}:
        return None, FOLDER_MARKER
    return max((path for path in ["", *branches] if not path or key.startswith(f"{path}/")), key=len), None


def rows_in(snapshot, rows):
    """The keys of a range of rows."""
    return [entry.key for entry in snapshot.objects(*rows)]


@settings(max_examples=120)
@given(TREE, st.dictionaries(KEY, st.sampled_from([None, 0, 7]), max_size=40))
def test_every_object_is_in_one_place(tree, sizes):
    """Random trees, ignored prefixes and keys: the same places as key by key, by the words of the rule."""
    branches, ignored = tree
    try:
        catalogue = catalogue_with(branches, ignored)
    except InputError:
        # A branch in an ignored prefix is refused.
        assume(False)
    snapshot = snapshot_of(*(entry_of(key, size_bytes=size) for key, size in sizes.items()))
    plans = make_plans(snapshot, catalogue)

    expected, left_out = {}, {}
    for key, size in sizes.items():
        branch, reason = naive_place(key, size, branches, ignored)
        if branch is None:
            left_out[key] = reason
        else:
            expected.setdefault(branch, set()).add(key)
    found = {path: set(plan.table["key"].to_pylist()) for path, plan in plans.by_branch.items() if len(plan)}
    assert found == expected
    assert {key: entry.reason for entry in plans.left_out for key in rows_in(snapshot, entry.rows)} == left_out

    kept = {key for keys in expected.values() for key in keys}
    for path, plan in plans.by_branch.items():
        below = {key for key in kept if not path or key.startswith(f"{path}/")}
        assert set(plan.subtree_table["key"].to_pylist()) == below
        assert below or path == ""
        assert count_rows(plan.own) == len(plan) == plan.table.num_rows
        assert all(low < high for low, high in plan.own)
        assert_is_a_tree(plan)
    assert set(kept_keys([snapshot.table], catalogue).to_pylist()) == kept


def assert_is_a_tree(plan):
    """Files, mounts and our own names of one dataset: all different, none a folder of another."""
    files = [file.path for file in plan.files()]
    assert files == sorted(files, key=str.encode)
    mounts = [plan.naming.mount_path(child.mount_in_parent) for child in plan.children]
    paths = [*files, *mounts, "datapackage.json", "_opendata/files/0.csv", ".datalad/config"]
    assert len(set(paths)) == len(paths)
    folders = {path.rsplit("/", count)[0] for path in paths for count in range(1, path.count("/") + 1)}
    assert not folders & set(paths)


def test_children_come_first():
    """In the order of building, every dataset comes after all of its subdatasets."""
    plans = make_plans(snapshot_of("A/B/C/x", "A/y", "Z/Y/z", "B/a"), catalogue_with(BRANCHES))
    order = [plan.branch.path for plan in plans.children_first()]
    assert sorted(order) == ["", "A", "A/B", "A/B/C", "B", "Z/Y"]
    for plan in plans.by_branch.values():
        for child in plan.children:
            assert order.index(child.path) < order.index(plan.branch.path)


def test_names_that_begin_alike_are_other_folders():
    """`A/` alone holds what is in the branch `A`: `A-b/…`, `A.b`, `AA/…` and the object `A` are the root's."""
    plans = make_plans(snapshot_of("A/x", "A", "A-b/x", "A.b", "A0/x", "AA/x"), catalogue_with(["A", "A0"]))
    assert {path: plan.paths.to_pylist() for path, plan in plans.by_branch.items()} == {
        "": ["%41", "A-b/x", "A.b", "AA/x"],
        "A": ["x"],
        "A0": ["x"],
    }


def test_datasets_are_branches_with_objects_and_those_above():
    """A branch without an object at or below it is no dataset; one above another dataset is, be it empty."""
    plans = make_plans(snapshot_of("A/B/C/x"), catalogue_with(BRANCHES))
    assert [*plans.by_branch] == ["", "A", "A/B", "A/B/C"]
    assert [len(plan) for plan in plans.by_branch.values()] == [0, 0, 0, 1]


def test_a_released_branch_stays():
    """What earlier releases had as datasets is one for ever, with all above it, be it empty now."""
    plans = make_plans(snapshot_of("B/x"), catalogue_with(BRANCHES), released=["A/B", "B"])
    assert [*plans.by_branch] == ["", "A", "A/B", "B"]
    assert [child.path for child in plans.by_branch["A"].children] == ["A/B"]


def test_paths_do_not_move_when_a_child_gets_its_first_object():
    """Declared children keep their mounts free, datasets or not."""
    catalogue = catalogue_with(["A/B"])
    before = make_plans(snapshot_of("A", "A/B", "a/b/x"), catalogue).by_branch[""].paths.to_pylist()
    after = (
        make_plans(snapshot_of("A", "A/B", "A/B/y", "a/b/x"), catalogue, earlier_keys=[])
        .by_branch[""]
        .paths.to_pylist()
    )
    assert before == ["A%file", "A/%42", "a/%62/x"]
    assert after == before


def test_a_folder_on_the_way_to_a_child_was_there_first():
    """An object with the name of a folder in which a child is mounted is renamed, be the child empty or not yet there."""
    catalogue = catalogue_with(["A/B/C"])
    for released in ((), ("A/B/C",)):
        plan = make_plans(snapshot_of("A", "A/x"), catalogue, released=released).by_branch[""]
        assert plan.paths.to_pylist() == ["A%file", "A/x"]
        plan = make_plans(snapshot_of("A", "A/B"), catalogue, released=released).by_branch[""]
        assert plan.paths.to_pylist() == ["A%file", "A/B%file"]
        plan = make_plans(snapshot_of("A"), catalogue, released=released).by_branch[""]
        assert plan.paths.to_pylist() == ["A%file"]


def test_a_key_keeps_its_path_over_releases():
    """An object that was there before a folder of its name stays where it was; the folder's files are renamed."""
    catalogue = catalogue_with(["A"])
    earlier = [pa.array(["A/m", "A/q/r"]), pa.array(["A/m"])]
    plan = make_plans(snapshot_of("A/m", "A/m/n", "A/q"), catalogue, earlier_keys=earlier).by_branch["A"]
    assert plan.paths.to_pylist() == ["m", "m%dir/n", "q%file"]


def test_empty_files_are_no_folder_markers():
    """Only an empty object whose key ends in a slash is one; with bytes in it, it is a file."""
    snapshot = snapshot_of(
        entry_of("d/", ""), entry_of("e/", "bytes"), entry_of("f", ""), entry_of("g/", size_bytes=None)
    )
    plans = make_plans(snapshot, catalogue_with([]))
    assert plans.by_branch[""].paths.to_pylist() == ["e/%empty", "f"]
    assert [(rows_in(snapshot, entry.rows), entry.reason) for entry in plans.left_out] == [
        (["d/"], FOLDER_MARKER),
        (["g/"], FOLDER_MARKER),
    ]


def test_nothing_but_what_is_left_out():
    """A snapshot of ignored objects alone is an empty root."""
    plans = make_plans(snapshot_of("tmp/a", "tmp/b"), catalogue_with(["A"], ["tmp/"]))
    assert [*plans.by_branch] == [""]
    assert [entry.rows for entry in plans.left_out] == [(0, 2)]


def test_files_know_key_url_and_path():
    """A planned file has its path in the tree, its git-annex key, and the URL with the key exactly encoded."""
    plan = make_plans(snapshot_of(entry_of("A/a+b é.swc", version="v1")), catalogue_with(["A"])).by_branch["A"]
    (file,) = plan.files()
    assert file.path == "a+b é.swc"
    assert file.url == f"{BASE}A/a%2Bb%20%C3%A9.swc?versionId=v1"
    assert file.annex_key.endswith(".swc")
    assert file.entry.key == "A/a+b é.swc"


def test_renamed_files_stand_in_the_order_of_their_paths():
    """Trees are written in path order, also where renaming moves a file away from its key's place."""
    plan = make_plans(snapshot_of("a/b", "a//c", ".git/x", "z", "%"), catalogue_with([])).by_branch[""]
    assert [file.path for file in plan.files()] == ["%25", "%2Egit/x", "a/%empty/c", "a/b", "z"]
    assert [file.entry.key for file in plan.files()] == ["%", ".git/x", "a//c", "a/b", "z"]


def test_the_sum_is_checked(monkeypatch):
    """Should an object ever get lost between the plans, nothing is built."""
    real = planning._assign

    def lossy(snapshot, catalogue):
        own, left_out = real(snapshot, catalogue)
        return own | {"A": ()}, left_out

    monkeypatch.setattr(planning, "_assign", lossy)
    snapshot, catalogue = snapshot_of("A/x", "y"), catalogue_with(["A"])
    with pytest.raises(LostObjectsError, match=r"planned 1 object and left out 0, but the snapshot has 2"):
        make_plans(snapshot, catalogue)


def test_tables_are_shared():
    """A plan's rows are views of the snapshot's, in key order: a million objects are not copied per dataset."""
    snapshot = snapshot_of(*(f"A/{index:03}" for index in range(200)), "B/x")
    plan = make_plans(snapshot, catalogue_with(["A"])).by_branch["A"]
    theirs = {buffer.address for buffer in snapshot.table["key"].chunk(0).buffers() if buffer}
    ours = {buffer.address for chunk in plan.table["key"].chunks for buffer in chunk.buffers() if buffer}
    assert ours <= theirs
    assert isinstance(plan.snapshot, Snapshot)
