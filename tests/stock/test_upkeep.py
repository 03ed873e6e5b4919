"""A steward looks after the repositories of a store with git's own means; opendata does not mind."""

from __future__ import annotations

import json
import shutil

import pytest

from opendata_pkg.building.build import build, catalogue_for
from opendata_pkg.building.release import release
from opendata_pkg.snapshot.snapshot import Snapshot

pytestmark = pytest.mark.s3

THIRD = "2026.1.2"


def publish_first_again(store):
    """Release the state of the first version again; the release's index."""
    first = json.loads((store / "index.json").read_bytes())["releases"][0]["snapshot"]
    build(Snapshot.read(store / "snapshots" / f"{first}.parquet"), catalogue_for(store, None), store)
    release(THIRD, store)
    return json.loads((store / "releases" / THIRD / "index.json").read_bytes())


@pytest.fixture(scope="module")
def untouched(published, tmp_path_factory):
    """The index of a third release, of a store that nobody touched."""
    return publish_first_again(shutil.copytree(published.store, tmp_path_factory.mktemp("untouched") / "store"))


UPKEEP = {
    "gc": [("gc", "--quiet", "--prune=now")],
    "aggressive gc": [("gc", "--quiet", "--aggressive", "--prune=now")],
    "all loose": [("unpack",)],
    "packed refs": [("pack-refs", "--all", "--prune")],
    "many packs": [("repack", "-d", "--quiet"), ("commit-graph", "write", "--reachable")],
    "multi-pack index and bitmaps": [("repack", "-a", "-d", "-b", "--quiet"), ("multi-pack-index", "write")],
}


@pytest.mark.parametrize("commands", UPKEEP.values(), ids=UPKEEP)
def test_maintenance_changes_nothing(commands, published, untouched, tool, fsck, static_server, tmp_path):
    """After `git gc` and the like, the next build and release make the very same commits, and readers read them."""
    store = shutil.copytree(published.store, tmp_path / "store")
    for repository in (store / "git").iterdir():
        for command in commands:
            if command == ("unpack",):
                packs = tmp_path / f"{repository.name}.packs"
                shutil.move(repository / "objects" / "pack", packs)
                (repository / "objects" / "pack").mkdir()
                for pack in packs.glob("*.pack"):
                    tool("sh", "-c", f"git unpack-objects -q < '{pack}'", cwd=repository)
            else:
                tool("git", *command, cwd=repository)
    assert publish_first_again(store) == untouched
    for repository in (store / "git").iterdir():
        fsck(repository)
    address = f"{static_server(store)}/git/openbluebrain.git"
    tool("git", "clone", "--quiet", "--recurse-submodules", address, "clone", cwd=tmp_path)
    assert tool("git", "rev-parse", "HEAD", cwd=tmp_path / "clone").strip() == untouched["datasets"]["."]["commit"]


def test_gc_between_build_and_release(published, untouched, tool, tmp_path):
    """`git gc` after the build does not take away the draft that is to be released."""
    store = shutil.copytree(published.store, tmp_path / "store")
    first = json.loads((store / "index.json").read_bytes())["releases"][0]["snapshot"]
    build(Snapshot.read(store / "snapshots" / f"{first}.parquet"), catalogue_for(store, None), store)
    for repository in (store / "git").iterdir():
        tool("git", "gc", "--quiet", "--prune=now", cwd=repository)
    release(THIRD, store)
    assert json.loads((store / "releases" / THIRD / "index.json").read_bytes()) == untouched
    for entry in untouched["datasets"].values():
        assert tool("git", "rev-parse", "main", cwd=store / "git" / f"{entry['name']}.git").strip() == entry["commit"]
