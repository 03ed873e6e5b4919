"""A person of whom git knows nothing: an empty home, no name, no settings. git is kept from guessing a name."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.s3

FIRST, SECOND = "2026.1.0", "2026.1.1"
DENSITY = "Experimental_Data/Neuron_density"


@pytest.fixture(autouse=True)
def no_identity(home):
    """A machine from whose host and user names git can make no identity: elsewhere it may, and nothing is missing."""
    (home / "gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    assert sorted(path.name for path in home.iterdir()) == ["gitconfig"]


def test_steward_without_identity(published, run_opendata, tmp_path):
    """`opendata build` and `release` need no identity and no home, and make the same commits as everybody's."""
    nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "OPENDATA_CACHE": "/nonexistent"}
    first = json.loads((published.store / "index.json").read_bytes())["releases"][0]
    snapshot = published.store / "snapshots" / f"{first['snapshot']}.parquet"
    run_opendata("build", snapshot, "--store", "store", env=nowhere)
    run_opendata("release", FIRST, "--store", "store", env=nowhere)
    (again,) = json.loads((tmp_path / "store" / "index.json").read_bytes())["releases"]
    # Nobody promises the bytes of packs, which the list of them is over (docs/explanation/determinism.md).
    assert again | {"packs": None} == first | {"packs": None}


def test_git_needs_no_identity(published, static_server, tool, tmp_path):
    """Plain git clones and checks out, from a web server with all subdatasets, for a person without identity."""
    address = f"{static_server(published.store)}/git/openbluebrain.git"
    tool("git", "clone", "--quiet", "--recurse-submodules", address, "clone", cwd=tmp_path)
    assert (tmp_path / "clone" / DENSITY / "density.csv").is_symlink()
    tool("git", "checkout", "--quiet", FIRST, cwd=tmp_path / "clone")


def test_identity_in_the_clone(published, refusal, tool, tmp_path):
    """As documented: git-annex asks who one is, and `git config` in the clone answers."""
    name = published.datasets(SECOND)[DENSITY]["name"]
    tool("git", "clone", "--quiet", published.repository(name), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    assert "Please tell me who you are" in refusal("git", "annex", "init", cwd=clone)
    tool("git", "config", "user.name", "A Scientist", cwd=clone)
    tool("git", "config", "user.email", "scientist@example.org", cwd=clone)
    tool("git", "annex", "init", cwd=clone)
    tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=clone)
    tool("git", "annex", "get", "density.csv", cwd=clone)
    assert (clone / "density.csv").read_bytes() == published.second[f"{DENSITY}/density.csv"]


def test_identity_in_the_environment(published, refusal, tool, identity, tmp_path):
    """As documented: DataLad asks who one is, and leaves nothing behind; four variables answer, for subdatasets too."""
    assert "Please tell me who you are" in refusal("datalad", "clone", published.repository(), "clone", cwd=tmp_path)
    assert not (tmp_path / "clone").exists()
    tool("datalad", "clone", published.repository(), "clone", cwd=tmp_path, env=identity)
    clone = tmp_path / "clone"
    tool("datalad", "get", "-n", DENSITY, cwd=clone, env=identity)
    tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=clone / DENSITY)
    tool("datalad", "get", f"{DENSITY}/density.csv", cwd=clone, env=identity)
    assert (clone / DENSITY / "density.csv").read_bytes() == published.second[f"{DENSITY}/density.csv"]
