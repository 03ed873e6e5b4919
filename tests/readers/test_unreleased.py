"""Clones of buckets and snapshots, for which there is no store."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid

import pytest

import opendata_pkg
from opendata_pkg.listing.s3 import NothingThereError
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.plan.selection import EmptySelectionError, Rules
from opendata_pkg.readers import unreleased
from opendata_pkg.readers.cloning import OccupiedError, clone
from opendata_pkg.readers.unreleased import NoDatasetError, NoFilesError
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.places import NotInCacheError
from opendata_pkg.targets.opening import open_target
from tests.clone_support import CONTENTS, Listener, fill_bucket
from tests.core_support import entry_of, git_text, paths_in, snapshot_of

OURS = {"README.md", "CITATION.cff", "datapackage.json", ".gitattributes", ".datalad/config"}


def files_in(folder):
    """The paths of a clone's files, without what every dataset has."""
    return {path for path in paths_in(folder) if path not in OURS and not path.startswith("_opendata/")}


@pytest.fixture
def snapshot(tmp_path, static_server, git_identity):
    """A snapshot of contents that are served, its digests known."""
    fill_bucket(tmp_path / "bucket", CONTENTS)
    entries = [entry_of(path, text) for path, text in CONTENTS.items()]
    snapshot_of(*entries, base_url=f"{static_server(tmp_path / 'bucket')}/").write(tmp_path / "today.parquet")
    return tmp_path / "today.parquet"


@pytest.fixture
def bucket(s3_server, git_identity):
    """A bucket on a real server, filled once: call it with a word to open that."""
    name = "clone-as-it-is"
    client = s3_server.client()
    if name not in {known["Name"] for known in client.list_buckets()["Buckets"]}:
        s3_server.make_bucket(name)
        for path, text in CONTENTS.items():
            client.put_object(Bucket=name, Key=path, Body=text.encode())
        client.put_object(Bucket=name, Key="Rat/datapackage.json", Body=b"{}")
        client.put_object(Bucket=name, Key="empty/", Body=b"")
        client.put_object(Bucket=name, Key="a@b/c", Body=b"c")

    def reach(prefix):
        return open_target(f"s3://{name}{prefix}", endpoint_url=s3_server.endpoint_url)

    return reach


def test_a_snapshot_is_one_dataset(snapshot, tmp_path):
    """All objects of a snapshot in one dataset, whatever branches a catalogue has; the API gets contents at once."""
    made = opendata_pkg.clone(str(snapshot), tmp_path / "clone", contents=True, recursive=True, include="*.swc")
    assert files_in(made.folder) == CONTENTS.keys()
    assert (made.branch, made.version, made.elsewhere) == (".", None, 0)
    assert [(dataset.branch, dataset.path) for dataset in made.datasets] == [(".", ".")]
    assert made.datasets[0].commit == git_text(made.folder, "rev-parse", "HEAD")
    assert set(made.selected) == {path for path in CONTENTS if path.endswith(".swc")}
    assert {path for path in CONTENTS if (made.folder / path).is_file()} == set(made.selected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bucket", "clone", "today.json", "today.parquet"]


@pytest.mark.s3
def test_paths_are_relative_to_the_folder(bucket, tmp_path):
    """With or without a slash, the folder that was named is the dataset; the same objects give the same commit."""
    made = [clone(bucket(prefix), tmp_path / name) for name, prefix in (("a", "/Rat"), ("b", "/Rat/"))]
    wanted = {path.removeprefix("Rat/") for path in CONTENTS if path.startswith("Rat/")}
    assert files_in(made[0].folder) == wanted | {"%64atapackage.json"}
    assert made[0].datasets[0].commit == made[1].datasets[0].commit
    assert str(uuid.uuid5(uuid.NAMESPACE_URL, "s3://clone-as-it-is/Rat/")) in git_text(
        made[0].folder, "cat-file", "blob", "HEAD:.datalad/config"
    )
    whole = clone(bucket(""), tmp_path / "whole").folder
    assert files_in(whole) == CONTENTS.keys() | {"Rat/datapackage.json", "a@b/c"}


@pytest.mark.s3
def test_a_part_of_a_folder(bucket, tmp_path):
    """One object, or names that begin alike, are in a dataset of the folder that holds them, with an id of its own."""
    one = clone(bucket("/Rat/cell 2.swc"), tmp_path / "one")
    assert (files_in(one.folder), one.selected) == ({"cell 2.swc"}, ("cell 2.swc",))
    some = clone(bucket("/Rat/cell 1"), tmp_path / "some")
    assert files_in(some.folder) == {"cell 1.swc", "cell 10.swc", "cell 11.swc"}
    configs = {git_text(made.folder, "cat-file", "blob", "HEAD:.datalad/config") for made in (one, some)}
    assert len(configs) == 2


@pytest.mark.s3
def test_offline(bucket, s3_server, tmp_path):
    """Offline, the bucket is what it was when last listed, at the same commit; one never listed is told of."""
    there = bucket("/Mouse").origin.source
    before = clone(bucket("/Mouse"), tmp_path / "before")
    options = {"endpoint_url": s3_server.endpoint_url, "offline": True}
    after = opendata_pkg.clone(there, tmp_path / "after", **options)
    assert after.datasets == before.datasets
    with pytest.raises(NotInCacheError):
        opendata_pkg.clone("s3://clone-as-it-is/Rat/Deep", tmp_path / "x", **options)


@pytest.mark.s3
def test_another_state_is_another_commit(bucket, s3_server, tmp_path):
    """An object more gives another commit of the same dataset; without it, the first one comes again."""
    client = s3_server.client()
    made = [clone(bucket("/Rat/Deep"), tmp_path / "first")]
    client.put_object(Bucket="clone-as-it-is", Key="Rat/Deep/new", Body=b"new")
    made.append(clone(bucket("/Rat/Deep"), tmp_path / "second"))
    client.delete_object(Bucket="clone-as-it-is", Key="Rat/Deep/new")
    made.append(clone(bucket("/Rat/Deep"), tmp_path / "third"))
    first, second, third = (one.datasets[0].commit for one in made)
    assert first == third != second
    assert len({git_text(one.folder, "cat-file", "blob", "HEAD:.datalad/config") for one in made}) == 1


@pytest.mark.s3
def test_default_names(bucket, snapshot, tmp_path, monkeypatch):
    """Without a folder, a clone is named as the prefix's last part, the bucket, or the snapshot."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for target in (bucket("/Rat/raw/"), bucket(""), open_target(str(snapshot))):
        clone(target)
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["clone-as-it-is", "raw", "today"]


def test_sparse(snapshot, tmp_path):
    """Only what is meant is checked out, and git finds the clone clean."""
    made = clone(open_target(str(snapshot)), tmp_path / "clone", rules=Rules(include=("Mouse/",)), sparse=True)
    assert {str(path.relative_to(made.folder)) for path in made.folder.rglob("*.swc")} == {"Mouse/m.swc"}
    assert git_text(made.folder, "status", "--porcelain") == ""


@pytest.mark.parametrize("known", ["sha256", "none"])
def test_files_without_digests_are_told_of(known, tmp_path, git_identity):
    """Who clones objects that nobody can check is told how many they are; else nothing is said."""
    snapshot_of(entry_of("a", known=known), entry_of("b"), base_url="http://127.0.0.1:9/").write(tmp_path / "x.parquet")
    listener = Listener()
    clone(open_target(str(tmp_path / "x.parquet")), tmp_path / "clone", reporter=listener)
    assert [text.partition(", so that")[0] for text in listener.messages] == ["without a digest: 1 of 2 files"] * (
        known == "none"
    )


def test_the_catalogues_licences_are_told(tmp_path, git_identity):
    """Where a catalogue says on what terms the objects are, so does a clone of them, and keeps the commit it has without."""
    snapshot_of(entry_of("Rat/a", "a"), base_url="http://127.0.0.1:9/").write(tmp_path / "x.parquet")
    tree = tmp_path / "catalogue.yaml"
    tree.write_text(
        "format: 1\nid: example\ntitle: Example\nepoch: 2020-01-01T00:00:00Z\nlicenses: [{name: CC-BY-4.0}]\n"
        "branches:\n  Rat:\n    title: Rat\n    licenses: [{name: CC0-1.0}]\n"
    )
    said, commits = [], set()
    for catalogue in (None, tree):
        listener = Listener()
        target = open_target(str(tmp_path / "x.parquet"), catalogue=catalogue)
        commits.add(clone(target, tmp_path / f"clone{len(said)}", reporter=listener).datasets[0].commit)
        said.append(listener.messages)
    assert said == [[], ["Licence: CC0-1.0, as the catalogue example says; the clone itself states none"]]
    assert len(commits) == 1


def test_a_full_folder_is_refused_before_anything_is_listed(tmp_path, monkeypatch):
    """Nothing answers at the address: a folder that holds something is told of first, also the one by default."""
    (tmp_path / "Rat").mkdir()
    (tmp_path / "Rat" / "mine").touch()
    monkeypatch.chdir(tmp_path)
    for folder in (None, "Rat"):
        with pytest.raises(OccupiedError, match="name another one"):
            opendata_pkg.clone("s3://bucket/Rat", folder, endpoint_url="http://127.0.0.1:1")


@pytest.mark.s3
def test_nothing_to_clone(bucket, snapshot, tmp_path):
    """Rules without files, no objects, only markers, and prefixes that cannot be datasets leave nothing behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(EmptySelectionError, match=r"today\.parquet"):
        clone(open_target(str(snapshot)), tmp_path / "x", rules=Rules(include=("*.nothing",)))
    with pytest.raises(NothingThereError):
        bucket("/nothing-here")
    with pytest.raises(NoFilesError, match="only folder marker"):
        clone(bucket("/empty/"), tmp_path / "x")
    with pytest.raises(NoDatasetError, match="clone a folder above it"):
        clone(bucket("/a@b"), tmp_path / "x")
    snapshot_of(base_url="http://127.0.0.1:9/").write(tmp_path / "none.parquet")
    with pytest.raises(NotFoundError, match="holds no objects"):
        clone(open_target(str(tmp_path / "none.parquet")), tmp_path / "x")
    Snapshot.create(snapshot_of("a").table, snapshot_of("a", base_url=None).header).write(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="--base-url"):
        clone(open_target(str(tmp_path / "none.parquet")), tmp_path / "x")
    assert sorted(tmp_path.iterdir()) == sorted({*before, tmp_path / "none.parquet", tmp_path / "none.json"})


_STOPPED = """
import os, signal, sys
from pathlib import Path
from opendata_pkg.readers import cloning
from opendata_pkg.targets.opening import open_target

def stop(*words, **options):
    os.kill(os.getpid(), signal.SIGKILL)

cloning.clone_repository = stop
cloning.clone(open_target(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed(snapshot, tmp_path):
    """Whoever is killed once the store is made has no clone; the next one takes away the store too."""
    done = subprocess.run([sys.executable, "-c", _STOPPED, str(snapshot), str(tmp_path / "clone")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "clone").exists()
    assert len(list(tmp_path.glob(".clone.opendata-*/store"))) == 1
    clone(open_target(str(snapshot)), tmp_path / "clone")
    assert list(tmp_path.glob(".clone*")) == []


def test_a_name_for_any_prefix(snapshot, tmp_path):
    """Prefixes in other scripts, and very long ones, have a name and an id."""
    for folder in ("日本/", f"{'x' * 200}/{'y' * 200}/", "a b+c=d/", 'quo"te/'):
        target = open_target(str(snapshot))
        object.__setattr__(target, "folder", folder)
        branch = unreleased.catalogue_of(target).branches[folder.removesuffix("/")]
        assert 0 < len(branch.name) <= 200
        assert branch.title.endswith(folder.removesuffix("/"))
