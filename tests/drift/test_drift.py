"""`drift`: what the bucket has, what the catalogue has, and names that nearly agree."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.drift.drift import EmptyBranch, NearMiss, NewPrefix, find_drift, propose_branches
from opendata_pkg.model import ObjectKey, S3Object
from opendata_pkg.strict_yaml import load_yaml
from tests.core_support import catalogue_of, entry_of, publish, snapshot_of

TREE = """\
branches:
  Rat:
    branches:
      SSCx: {}
      Deep/Layer: {}
  Mouse:
    branches: {Cortex: {}, Thalamus: {}}
ignore:
  - {prefix: Rat/tmp/, reason: scratch}
"""
HEAD = {"format": 1, "id": "example", "epoch": "2024-01-01T00:00:00Z"}


def drift(*keys, tree=TREE, **header):
    """The drift of a few keys (each of one byte a letter) against a small catalogue."""
    return find_drift(snapshot_of(*keys, **header), catalogue_of(tree))


def merged(proposal, base):
    """The catalogue of a document with the proposed branches pasted in."""
    document = {
        **base,
        "branches": {**base.get("branches", {}), **load_yaml(proposal.encode(), "proposal").value["branches"]},
    }
    return Catalogue.parse(json.dumps(document).encode(), "merged.yaml")


def test_no_drift():
    """Files in leaves, whatever their folders, and in a branch's own folder, are where they belong."""
    found = drift("Rat/SSCx/a/b/c.swc", "Rat/Deep/Layer/x", "Rat/README.md", "Rat/Deep/notes", "Mouse/Cortex/a",
                  "Mouse/Thalamus/a", "README.md", "Rat/tmp/x", entry_of("New/", ""))  # fmt: skip
    assert not found
    assert found.new == found.empty == found.near_misses == ()


def test_new_prefixes_are_grouped_with_counts_and_bytes():
    """The shortest folder that no branch is at or below, in the branch that its objects are part of now."""
    whole = [*(f"Rat/{name}" for name in ("SSCx/a", "Deep/Layer/a")), "Mouse/Cortex/a", "Mouse/Thalamus/a"]
    found = drift(*whole, "Rat/Deep/Other/x/1", "Rat/Deep/Other/y/22", "Zebra/a", S3Object(key=ObjectKey("Zebra/b")))
    assert found.new == (
        NewPrefix(prefix="Rat/Deep/Other/", branch="Rat", objects=2, size_bytes=37, unknown_sizes=0),
        NewPrefix(prefix="Zebra/", branch="", objects=2, size_bytes=7, unknown_sizes=1),
    )
    assert found.empty == ()


def test_a_folder_split_by_what_is_left_out_is_one():
    """Folder markers and ignored keys within it are not counted, and do not make two of it."""
    tree = "branches: {A: {}}\nignore: [{prefix: New/m/, reason: r}]\n"
    found = drift("A/x", "New/a", entry_of("New/b/", ""), "New/m/x", "New/z", tree=tree)
    assert [(entry.prefix, entry.objects) for entry in found.new] == [("New/", 2)]


def test_branches_without_objects_are_told_with_those_below():
    """An empty parent stands for its children."""
    found = drift("Rat/SSCx/a")
    assert found.empty == (
        EmptyBranch(path="Mouse", branches_below=2),
        EmptyBranch(path="Rat/Deep/Layer", branches_below=0),
    )


def test_branches_that_were_not_scanned_are_not_judged():
    """A snapshot of some prefixes says nothing of the others."""
    found = drift("Rat/SSCx/a", prefixes=("Rat/S",))
    assert found.empty == ()
    assert found.not_judged == 6


@pytest.mark.parametrize(
    ("folder", "like", "why"),
    [
        ("Rat/SSCX/", "Rat/SSCx/", "differs in case or Unicode form only"),
        ("rat/", "Rat/", "differs in case or Unicode form only"),
        ("Rat/SSC_x/", "Rat/SSCx/", "differs in separators only"),
        ("Mouse/Talamus/", "Mouse/Thalamus/", "is spelled alike"),
    ],
)
def test_near_misses_are_told(folder, like, why):
    """`SSCX` beside `SSCx`: often one folder written in two ways."""
    assert drift(f"{folder}x").near_misses == (NearMiss(prefix=folder, like=like, why=why),)


def test_names_that_are_meant_to_differ_are_no_near_misses():
    """Numbered folders, and others that merely have a word in common."""
    tree = "branches: {Day1: {}, Whole: {}}\n"
    assert drift("Day2/x", "Holes/x", "Day12/x", tree=tree).near_misses == ()


def test_new_prefixes_are_compared_with_each_other():
    """Of two new folders that are one to many file systems, only one can be a branch."""
    found = drift("New/x", "new/x", tree="branches: {A: {}}\n")
    assert found.near_misses == (NearMiss(prefix="new/", like="New/", why="differs in case or Unicode form only"),)
    proposal = propose_branches(found, catalogue_of("branches: {A: {}}\n"))
    assert proposal == (
        "branches:\n"
        "  New:  # 1 object, 5 bytes\n"
        "  # new cannot be added: New is the same to file systems that ignore case or Unicode form: "
        "only one can be a branch (1 object, 5 bytes)\n"
    )


def test_proposals_can_be_pasted_into_the_catalogue():
    """Odd names, names that would come to one default name, and folders that cannot be branches."""
    base = {**HEAD, "branches": {"a b": {}, "Gone": {"formerly": ["Was/Here"]}}}
    catalogue = Catalogue.parse(json.dumps(base).encode(), "base")
    keys = ["a-b/x", 'Das "neue"/x', "日本/x", "null/x", "1/x", "-dash/x", "A@1/x", "x: y/x", f"{'l' * 240}/x",
            "A B/x", "Was/Here/x", "Was/There/x"]  # fmt: skip
    found = find_drift(snapshot_of(*keys), catalogue)
    proposal = propose_branches(found, catalogue)
    after = merged(proposal, base)
    added = set(after.branches) - set(catalogue.branches)
    assert added == {"a-b", 'Das "neue"', "日本", "null", "1", "l" * 240, "Was"}
    assert re.fullmatch("a-b-[0-9a-f]{8}", after.branches["a-b"].name)
    refused = [line for line in proposal.splitlines() if line.startswith("  # ")]
    assert len(refused) == 4
    assert '  # "A@1" cannot be added: expected no `@`, `:` or backslash in it (1 object, 5 bytes)' in refused


NAMES = st.text(st.sampled_from("aAbB -_.@/%#'\"é:0~"), min_size=1, max_size=8)


@given(st.lists(NAMES, max_size=8, unique=True))
def test_every_proposal_can_be_read_when_merged(names):
    """Whatever a bucket's folders are called, the catalogue with the proposal is one; only what was refused stays new."""
    base = {**HEAD, "branches": {"aa": {}, "b b": {}}}
    catalogue = Catalogue.parse(json.dumps(base).encode(), "base")
    snapshot = snapshot_of(*{f"{name}/x": None for name in names})
    found = find_drift(snapshot, catalogue)
    proposal = propose_branches(found, catalogue)
    after = find_drift(snapshot, merged(proposal, base))
    refused = proposal.count("cannot be added")
    assert len(after.new) <= refused


@pytest.fixture
def files(tmp_path):
    """A snapshot with drift, one without, and their catalogue."""
    (tmp_path / "c.yaml").write_text(f"{json.dumps(HEAD)[:-1]}, branches: {{Rat: {{}}}}}}", encoding="utf-8")
    snapshot_of("Rat/a", "Zebra/b").write(tmp_path / "drifted.parquet")
    snapshot_of("Rat/a").write(tmp_path / "same.parquet")
    return tmp_path


def test_the_command_ends_with_1_when_there_is_drift(run_opendata, files):
    """A table, lists and a summary; 0 when bucket and catalogue agree."""
    done = run_opendata("drift", "drifted.parquet", "--catalogue", "c.yaml", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "in the bucket only  objects  size  now part of\n"
        "Zebra/                    1   7 B  .\n"
        "\n"
        "1 new folder with 1 object, 0 branches without objects\n"
    )
    same = run_opendata("drift", "same.parquet", "--catalogue", "c.yaml")
    assert same.stdout == "the bucket is as the catalogue example says\n"


def test_the_command_proposes_and_speaks_json(run_opendata, files):
    """`--propose` prints YAML and nothing else; JSON holds all of it."""
    done = run_opendata("drift", "drifted.parquet", "--catalogue", "c.yaml", "--propose", check=False)
    assert (done.returncode, done.stdout) == (1, "branches:\n  Zebra:  # 1 object, 7 bytes\n")
    done = run_opendata("drift", "drifted.parquet", "--catalogue", "c.yaml", "--propose", "--json", check=False)
    document = json.loads(done.stdout)
    assert document["proposal"] == "branches:\n  Zebra:  # 1 object, 7 bytes\n"
    assert document["new"][0] == {
        "prefix": "Zebra/",
        "branch": ".",
        "objects": 1,
        "size_bytes": 7,
        "unknown_sizes": 0,
    }


def test_the_command_takes_the_catalogue_of_a_store(run_opendata, files, static_server):
    """With a store, here or on the web, and no catalogue, that of its last release."""
    publish(files / "store", "1.0.0", snapshot_of("Rat/a"), catalogue_of("branches: {Rat: {}, Zebra: {}}\n"))
    done = run_opendata("drift", "drifted.parquet", "--store", "store")
    assert done.stdout == "the bucket is as the catalogue example says\n"
    served = static_server(files)
    done = run_opendata("drift", "drifted.parquet", "--store", f"{served}/store")
    assert done.stdout == "the bucket is as the catalogue example says\n"
