"""Stores that another user owns, as on a shared disk: ours to write where we may, and stock git's to read when told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import opendata_pkg
from opendata_pkg.building.build import build, catalogue_for
from opendata_pkg.building.release import release
from opendata_pkg.documents import shipped
from opendata_pkg.snapshot.snapshot import Snapshot

pytestmark = pytest.mark.s3

THIRD = "2026.1.2"
NOBODY = 65534
IS_ROOT = os.geteuid() == 0

# The interpreter and what it imports may be where only root reads: so everything is loaded (by a build and release of
# another store) before the process becomes another user.
AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
from opendata_pkg.building.build import build, catalogue_for
from opendata_pkg.git.repository import git_environment
from opendata_pkg.building.release import release
from opendata_pkg.snapshot.snapshot import Snapshot

def publish(version, snapshot, store):
    build(Snapshot.read(Path(snapshot)), catalogue_for(Path(store), None), Path(store))
    return release(version, Path(store)).commit

user, version, snapshot, scratch, store = sys.argv[1:]
publish("1.0.0", snapshot, scratch)
git_environment.cache_clear()
os.setgroups([])
os.setgid(int(user))
os.setuid(int(user))
print(publish(version, snapshot, store))
"""


def chown(folder, user):
    """Give a folder, with all in it, to a user."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user, follow_symlinks=False)


def first_snapshot(store):
    """The snapshot of a store's first release."""
    snapshot_id = json.loads((store / "index.json").read_bytes())["releases"][0]["snapshot"]
    return store / "snapshots" / f"{snapshot_id}.parquet"


@pytest.fixture(scope="module")
def expected_commit(published, tmp_path_factory):
    """The root commit of a third release from the first one's snapshot, in a store of our own."""
    own = shutil.copytree(published.store, tmp_path_factory.mktemp("own") / "store")
    build(Snapshot.read(first_snapshot(own)), catalogue_for(own, None), own)
    return release(THIRD, own).commit


@pytest.fixture
def foreign(published, tmp_path, monkeypatch):
    """A copy of the store that another user owns; where only root could give it away, git is made to think so."""
    store = shutil.copytree(published.store, tmp_path / "foreign")
    if IS_ROOT:
        chown(store, NOBODY)
    else:
        shim = tmp_path / "shim" / "git"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec "{shutil.which("git")}" "$@"\n')
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))
    return store


def test_stock_git_asks(foreign, refusal, tmp_path):
    """Stock git refuses such a store, and options on its command line do not help: what the documentation says."""
    address = foreign / "git" / "openbluebrain.git"
    said = refusal("git", "clone", "--quiet", address, "clone", cwd=tmp_path, status=128)
    assert "detected dubious ownership" in said
    told = ("-c", "safe.directory=*")
    said = refusal("git", *told, "clone", "--quiet", address, "clone", cwd=tmp_path, status=128)
    assert "detected dubious ownership" in said


def test_documented_way(foreign, published, tool, git_identity, tmp_path, monkeypatch):
    """As documented: with a file named by GIT_CONFIG_GLOBAL, git, git-annex and DataLad read such a store."""
    settings = tmp_path / "gitconfig-store"
    settings.write_text("[safe]\n\tdirectory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    tool("git", "clone", "--quiet", foreign / "git" / "openbluebrain.git", "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", "annex", "init", cwd=clone)
    tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=clone)
    tool("git", "annex", "get", ".", cwd=clone)
    assert (clone / "at the root.txt").read_bytes() == published.second["at the root.txt"]
    tool("datalad", "get", "-n", "Experimental_Data/Neuron_density", cwd=clone)
    assert (clone / "Experimental_Data" / "Neuron_density" / "density.csv").is_symlink()


def test_web_server_does_not_care(foreign, static_server, tool, tmp_path):
    """Over http nobody asks whose the store is."""
    address = f"{static_server(foreign)}/git/openbluebrain.git"
    tool("git", "clone", "--quiet", "--recurse-submodules", address, "clone", cwd=tmp_path)
    assert (tmp_path / "clone" / "Experimental_Data" / "Neuron_density" / "density.csv").is_symlink()


def test_steward_of_a_foreign_store(foreign, expected_commit, run_opendata):
    """`opendata build` and `release` work on a store that another user owns, and make the same commit as on one's own."""
    run_opendata("build", first_snapshot(foreign), "--store", foreign)
    released = json.loads(run_opendata("release", THIRD, "--store", foreign, "--json").stdout)
    assert released["commit"] == expected_commit


@pytest.fixture
def open_folder():
    """A folder that every user can reach and write to: pytest's own are private."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def publish_as_nobody(store, folder, scratch):
    """Build and release a store's first snapshot again, as a user who owns nothing of it; the root commit."""
    code = folder / "code"
    for source in (Path(opendata_pkg.__file__).parent, shipped("schemas"), shipped("packages")):
        shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, str(NOBODY), THIRD, first_snapshot(store), scratch, store],
        capture_output=True,
        check=False,
        cwd=folder,
        encoding="utf-8",
        env={**os.environ, "HOME": str(folder / "home"), "TMPDIR": str(folder), "PYTHONPATH": str(code)},
    )
    if done.returncode != 0:
        pytest.fail(done.stderr)
    return done.stdout.strip()


def test_steward_who_does_not_own_the_store(published, expected_commit, run_opendata, open_folder, fsck, tmp_path):
    """Who may write to a store need not own it; who may not is told so, and the store stays as it was."""
    store = shutil.copytree(published.store, open_folder / "store")
    if IS_ROOT:
        for path in [store, *store.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
        commit = publish_as_nobody(store, open_folder, tmp_path / "scratch")
        assert commit == expected_commit
        assert (store / "index.json").stat().st_uid == NOBODY
        for repository in (store / "git").iterdir():
            fsck(repository)
    else:
        # Root writes everywhere, so this is what only others can see.
        for path in [store, *store.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
        done = run_opendata("build", first_snapshot(store), "--store", store, check=False)
        assert done.returncode == 5
        assert str(store) in done.stderr
        assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
        for path in [store, *store.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
