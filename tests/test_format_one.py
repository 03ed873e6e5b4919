"""Format version 1: what was written in it is read for ever, and the same snapshots give the same commits for ever.

The files were made by `python tests/data/format-1/make.py`.
"""

import csv
import json
import tarfile
from pathlib import Path

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.store import Store
from opendata_pkg.text import unescape_line
from tests.core_support import (
    annexed_paths,
    bound_packs,
    every_ref,
    git_text,
    packs_on_disk,
    publish,
    published,
    repository_of,
)

DATA = Path(__file__).parent / "data" / "format-1"

# changing it means a new format version
ROOT_COMMITS = {
    "1.0.0": "1de706e33877d86d179f47f2e1b1a58ef5d610e6",
    "2.0.0": "87e237243fb786d47067e8fdea0ca09887625b7a",
}


@pytest.fixture
def old(tmp_path):
    """The committed store, as it was written."""
    with tarfile.open(DATA / "store.tar.xz") as archive:
        for member in archive:
            path = tmp_path / "old" / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.extractfile(member).read())
    return tmp_path / "old"


def test_the_same_snapshots_give_the_pinned_commits(old, tmp_path):
    """Built anew, release by release: the root commits that people cite, and every ref and text of the committed store."""
    store = tmp_path / "new"
    catalogue = Catalogue.load(DATA / "catalogue.yaml")
    for number, version in enumerate(ROOT_COMMITS, start=1):
        build(Snapshot.read(DATA / f"snapshot-{number}.parquet"), catalogue, store, allow_undigested="**")
        assert release(version, store).commit == ROOT_COMMITS[version]
    assert every_ref(store) == every_ref(old)
    ours, theirs = published(store), published(old)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_can_read_old(old):
    """The committed store opens: index, releases, snapshots, catalogues, repositories."""
    store = Store.open(old)
    assert store.versions() == list(ROOT_COMMITS)
    for version, commit in ROOT_COMMITS.items():
        state = store.release(version)
        assert state.datasets[""].written.commits.main == commit
        snapshot = store.read_snapshot(state.snapshot)
        catalogue = store.read_catalogue(state.catalogue)
        assert set(state.datasets) == set(catalogue.branches)
        files = sum(entry.written.totals.files for entry in state.datasets.values())
        assert files + sum(state.left_out.values()) == len(snapshot)
        for entry in state.datasets.values():
            repository = repository_of(old, entry.name)
            assert len(annexed_paths(repository, entry.written.commits.main)) == entry.written.totals.files
            assert git_text(repository, "cat-file", "-t", entry.written.commits.annex) == "commit"
    for repository in (old / "git").iterdir():
        assert git_text(repository, "fsck", "--strict", "--full") == ""


def test_can_read_old_packs(old):
    """The list of packs that the index binds has every pack of every repository, byte for byte."""
    assert bound_packs(old) == packs_on_disk(old)
    assert Store.open(old).packs().keys() == {repository.stem for repository in (old / "git").iterdir()}


def test_can_read_old_artefacts(old):
    """Descriptor and inventory of a release: every file has its path and key, and the digests are those of the index."""
    store = Store.open(old)
    latest = store.latest()
    for entry in latest.datasets.values():
        folder = old / entry.artefacts
        document = json.loads((folder / "datapackage.json").read_bytes())
        assert document["od:contentDigest"] == f"sha256:{entry.written.digest.sha256}"
        rows = []
        for resource in document["resources"]:
            if resource["name"].startswith("files-"):
                text = (folder / resource["path"]).read_text(encoding="utf-8")
                rows += list(csv.DictReader(text.splitlines()))
        assert {row["path"] for row in rows} == annexed_paths(
            repository_of(old, entry.name), entry.written.commits.main
        )
        assert all(store.read_snapshot(latest.snapshot).get(unescape_line(row["key"])) for row in rows)


def test_can_go_on_from_old(old):
    """A steward with a store of this format makes the next release with today's writer: one commit more each."""
    snapshot = Snapshot.read(DATA / "snapshot-1.parquet")
    publish(old, "3.0.0", snapshot, Catalogue.load(DATA / "catalogue.yaml"), allow_undigested="**")
    assert git_text(repository_of(old, "format-1"), "rev-parse", "main^") == ROOT_COMMITS["2.0.0"]
    assert Store.open(old).versions() == [*ROOT_COMMITS, "3.0.0"]


def test_old_documents_say_their_version():
    """Each file names the format it is in."""
    for path in DATA.glob("*.json"):
        assert json.loads(path.read_bytes())["format"] == 1
