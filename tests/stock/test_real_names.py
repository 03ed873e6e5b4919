"""The keys of a real bucket, 916 of s3://openbluebrain, go into datasets and come out of stock tools unharmed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.demo.compare import compare_clone
from opendata_pkg.scan.scan import scan

LISTING = Path(__file__).parents[1] / "data" / "openbluebrain-keys.tsv"
BASE = "https://openbluebrain.s3.us-west-2.amazonaws.com/"
VERSION = "2026.1.0"


def all_keys():
    """The keys, as the listing has them."""
    with LISTING.open(encoding="utf-8", newline="") as stream:
        return [row["key"] for row in csv.DictReader(stream, delimiter="\t")]


def catalogue_without_ignored():
    """The shipped catalogue with its list of ignored prefixes cut out: every key goes into a dataset."""
    before, rest = shipped_catalogue().source_bytes.split(b"\nignore:\n")
    return Catalogue.parse(before + b"\nbranches:\n" + rest.split(b"\nbranches:\n")[1], "catalogue without ignore")


@pytest.fixture(scope="module", params=[shipped_catalogue, catalogue_without_ignored], ids=["shipped", "all"])
def catalogue(request):
    """The catalogue that the store is built with."""
    return request.param()


@pytest.fixture(scope="module")
def store(catalogue, tmp_path_factory):
    """A store of the listing, whose rounded sizes and missing digests are unknown."""
    snapshot = scan(str(LISTING), bucket="openbluebrain", region="us-west-2")
    store = tmp_path_factory.mktemp("real-names") / "store"
    build(snapshot, catalogue, store, allow_undigested="**")
    release(VERSION, store)
    return store


@pytest.fixture(scope="module")
def clone(store, tool, identity, tmp_path_factory):
    """A clone with all subdatasets, by plain git."""
    folder = tmp_path_factory.mktemp("real-clone")
    allow_local = ("-c", "protocol.file.allow=always")
    source = store / "git" / "openbluebrain.git"
    tool("git", *allow_local, "clone", "--quiet", "--recurse-submodules", source, "clone", cwd=folder)
    for branch in datasets(store):
        tool("git", "annex", "init", cwd=folder / "clone" / branch, env=identity)
    return folder / "clone"


def datasets(store):
    """The datasets of the release, by branch."""
    return json.loads((store / "releases" / VERSION / "index.json").read_bytes())["datasets"]


def left_out(store):
    """Key → reason of every object that the report names as left out."""
    with (store / "releases" / VERSION / "report.csv").open(encoding="utf-8", newline="") as stream:
        return {row["key"]: row["why"] for row in csv.DictReader(stream) if row["what"] == "left out"}


def web_keys(tool, dataset):
    """Path → the S3 key that its URL brings to S3, by `git annex whereis`, for every file of a dataset."""
    found = {}
    for record in map(json.loads, tool("git", "annex", "whereis", "--json", cwd=dataset).splitlines()):
        (url,) = record["whereis"][0]["urls"]
        assert url.startswith(BASE)
        # As a server reads it: nothing after the path, `+` stands for itself.
        assert not set("?#") & set(url)
        found[record["file"]] = unquote(url.removeprefix(BASE), errors="strict")
    return found


def test_every_key_is_accounted_for(catalogue, store, clone, tool):
    """Each of the 916 keys is at its path in exactly one dataset, where its URL names it, or left out for a reason."""
    assert len(all_keys()) == 916
    found = {}
    for branch in datasets(store):
        for path, key in web_keys(tool, clone / branch).items():
            assert key not in found
            assert key == (path if branch == "." else f"{branch}/{path}")
            assert (clone / key).is_symlink()
            found[key] = branch
    reasons = left_out(store)
    assert sorted([*found, *reasons]) == sorted(all_keys())
    assert set(reasons.values()) == {entry.reason for entry in catalogue.ignore}


def test_counts_add_up(store):
    """The index counts what there is: files of all datasets and the objects left out are 916."""
    index = json.loads((store / "releases" / VERSION / "index.json").read_bytes())
    files = sum(entry["files"] for entry in index["datasets"].values())
    assert files == index["datasets"]["."]["subtree_files"]
    assert files + sum(index["left_out"].values()) == 916
    assert sum(index["left_out"].values()) == len(left_out(store))


def test_deepest_branch_owns(catalogue, store):
    """A file is in the deepest branch of the catalogue whose path is a folder of its key; only those are datasets."""
    expected = {}
    ignored = tuple(entry.prefix for entry in catalogue.ignore)
    for key in all_keys():
        if not key.startswith(ignored or "\0"):
            owner = max((path for path in catalogue.branches if key.startswith(f"{path}/")), key=len, default="")
            expected[owner or "."] = expected.get(owner or ".", 0) + 1
    assert {branch: entry["files"] for branch, entry in datasets(store).items() if entry["files"]} == expected


def test_inventories_agree(store, clone):
    """The inventories in the clone name the same keys, at paths where an annexed file is, and no other."""
    expected = {key: b"" for key in all_keys() if key not in left_out(store)}
    found = compare_clone(clone, expected)
    assert found.strangers == ()
    assert found.renamed == {}
    # Nobody got contents: what is listed is there as a name.
    assert set(found.missing) == set(expected)


def test_repositories_are_sound(store, clone, fsck, tool):
    """git finds no fault in any repository of the store or in the clone, and the clone's trees are clean."""
    for branch, entry in datasets(store).items():
        fsck(store / "git" / f"{entry['name']}.git")
        fsck(clone / branch)
        assert tool("git", "status", "--porcelain", cwd=clone / branch) == ""
