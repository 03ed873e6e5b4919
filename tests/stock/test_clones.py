"""Clones that `opendata clone` made, in the hands of stock git, git-annex and DataLad, over a path and over http."""

from __future__ import annotations

import json
import os
import shutil

import pytest

pytestmark = pytest.mark.s3

FIRST, SECOND = "2026.1.0", "2026.1.1"
CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
DENSITY = "Experimental_Data/Neuron_density"
WEB = "00000000-0000-0000-0000-000000000001"
SECURITY = ("annex.security.allowed-ip-addresses", "127.0.0.1")


@pytest.fixture(params=["path", "web"])
def store(request, published, static_server):
    """The store by its path, and by its URL on a plain web server."""
    return str(published.store) if request.param == "path" else static_server(published.store)


@pytest.fixture
def near(published):
    """The store by its path alone: for what has nothing to do with where a store lies once there is a clone."""
    return str(published.store)


def clone_of_cortex(store, run_opendata, tool, tmp_path):
    """A clone of one dataset, allowed to fetch from this machine."""
    run_opendata("clone", CORTEX, "clone", "--store", store)
    tool("git", "config", *SECURITY, cwd=tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def cortex(store, run_opendata, git_identity, tool, tmp_path):
    """A clone of one dataset, of either store."""
    return clone_of_cortex(store, run_opendata, tool, tmp_path)


def records(text):
    """The JSON documents of `git annex --json` and `datalad -f json`, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_git_annex(cortex, published, tool):
    """`git annex` finds, gets, checks and drops contents, without a word on stderr."""
    names = {key.removeprefix(f"{CORTEX}/") for key in published.second if key.startswith(f"{CORTEX}/")}
    found = records(tool("git", "annex", "whereis", "--json", cwd=cortex))
    assert len(found) == len(names)
    assert {place["uuid"] for record in found for place in record["whereis"]} == {WEB}
    tool("git", "annex", "get", "--quiet", ".", cwd=cortex)
    assert len(tool("git", "annex", "find", "--in=here", "--print0", cwd=cortex).split("\0")) == len(names) + 1
    assert (cortex / "steady.swc").read_bytes() == published.second[f"{CORTEX}/steady.swc"]
    checked = records(tool("git", "annex", "fsck", "--json", cwd=cortex))
    assert all(record["success"] and not record["error-messages"] for record in checked)
    tool("git", "annex", "drop", "--quiet", "--force", ".", cwd=cortex)
    assert tool("git", "annex", "find", "--in=here", cwd=cortex) == ""
    assert tool("git", "status", "--porcelain", cwd=cortex) == ""


def test_datalad(cortex, published, tool):
    """`datalad status`, `get`, `save`, `drop` and `update` work in a clone."""
    assert {record["state"] for record in records(tool("datalad", "-f", "json", "status", cwd=cortex))} == {"clean"}
    tool("datalad", "get", "plain.swc", cwd=cortex)
    assert (cortex / "plain.swc").read_bytes() == published.second[f"{CORTEX}/plain.swc"]
    (cortex / "note.txt").write_text("mine\n")
    tool("datalad", "save", "-m", "a note", cwd=cortex)
    assert tool("git", "show", "--name-only", "--format=", cwd=cortex).split() == ["note.txt"]
    tool("datalad", "update", "--how", "merge", cwd=cortex)
    tool("datalad", "drop", "plain.swc", cwd=cortex)
    assert tool("git", "status", "--porcelain", cwd=cortex) == ""


def test_get_agrees(near, published, run_opendata, git_identity, tool, tmp_path):
    """After `opendata get`, git-annex and DataLad have nothing left to get and find all sound."""
    cortex = clone_of_cortex(near, run_opendata, tool, tmp_path)
    run_opendata("get", cwd=cortex)
    said = tool("git", "annex", "get", ".", cwd=cortex)
    assert said == ""
    assert records(tool("datalad", "-f", "json", "get", ".", cwd=cortex)) == []
    for key, body in published.second.items():
        if key.startswith(f"{CORTEX}/") and "notes" not in key and "per%" not in key:
            assert (cortex / key.removeprefix(f"{CORTEX}/")).read_bytes() == body
    assert all(record["success"] for record in records(tool("git", "annex", "fsck", "--json", cwd=cortex)))
    assert tool("git", "status", "--porcelain", cwd=cortex) == ""


def test_nested_installs(store, run_opendata, git_identity, tool, tmp_path):
    """DataLad installs, from the address that a clone has, what was not installed with it."""
    run_opendata("clone", ".", "clone", "--store", store)
    tool("datalad", "get", "-n", CORTEX, cwd=tmp_path / "clone")
    assert (tmp_path / "clone" / CORTEX / "steady.swc").is_symlink()
    assert tool("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""


def test_recursive(store, published, run_opendata, git_identity, tool, tmp_path):
    """With `--recursive --get` all is here at an older version: DataLad finds every dataset installed and clean."""
    run_opendata("clone", f".@{FIRST}", "clone", "--recursive", "--get", "--store", store)
    clone = tmp_path / "clone"
    assert (clone / CORTEX / "gone.swc").read_bytes() == published.first[f"{CORTEX}/gone.swc"]
    installed = records(tool("datalad", "-f", "json", "subdatasets", "-r", cwd=clone))
    assert {record["state"] for record in installed} == {"present"}
    assert len(installed) == len(published.datasets(FIRST)) - 1
    states = records(tool("datalad", "-f", "json", "status", "-r", cwd=clone))
    assert {record["state"] for record in states} == {"clean"}
    tool("datalad", "update", "-r", cwd=clone)
    assert tool("git", "status", "--porcelain", cwd=clone) == ""
    tool("git", "submodule", "update", "--recursive", cwd=clone)


def test_store_in_a_bucket(published, run_opendata, git_identity, tool, tmp_path):
    """A store that lies in a bucket is cloned from there, and is where stock tools update and install from."""
    server = published.server
    server.make_bucket("stores", versioned=False)
    for path in published.store.rglob("*"):
        if path.is_file():
            key = f"our/store/{path.relative_to(published.store)}"
            server.client().put_object(Bucket="stores", Key=key, Body=path.read_bytes())
    there = ("--store", "s3://stores/our/store", "--endpoint-url", server.endpoint_url)
    run_opendata("clone", f".@{FIRST}", "clone", "--include", f"{CORTEX}/steady.swc", "--recursive", "--get", *there)
    clone = tmp_path / "clone"
    assert (clone / CORTEX / "steady.swc").read_bytes() == published.first[f"{CORTEX}/steady.swc"]
    tool("datalad", "update", "-r", cwd=clone)
    tool("datalad", "get", "-n", DENSITY, cwd=clone)
    assert tool("git", "status", "--porcelain", cwd=clone) == ""
    for command in ("info", "tree"):
        assert FIRST in run_opendata(command, f"{CORTEX}@{FIRST}", *there).stdout
        assert FIRST in run_opendata(command, f"{CORTEX}@{FIRST}", "--offline", *there).stdout


def test_store_of_another_user(published, run_opendata, git_identity, tool, tmp_path):
    """A store that another user owns is cloned without a question."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    foreign = shutil.copytree(published.store, tmp_path / "foreign")
    for path in [foreign, *foreign.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    run_opendata("clone", CORTEX, "clone", "--store", foreign)
    assert tool("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""


def test_sparse_guard(near, run_opendata, git_identity, tool, refusal, tmp_path):
    """`datalad save PATH` works in a sparse clone; one that would save the rest as deleted is refused, and undone."""
    run_opendata("clone", CORTEX, "clone", "--include", "steady.swc", "--sparse", "--store", near)
    clone = tmp_path / "clone"
    links = [path.name for path in clone.iterdir() if path.is_symlink()]
    assert links == ["steady.swc"]
    assert tool("git", "annex", "find", "--in=web", cwd=clone).split() == ["steady.swc"]
    (clone / "note.txt").write_text("mine\n")
    tool("datalad", "save", "-m", "a note", "note.txt", cwd=clone)
    tool("datalad", "unlock", "note.txt", cwd=clone)
    with (clone / "note.txt").open("a") as stream:
        stream.write("more\n")
    before = tool("git", "rev-parse", "HEAD", cwd=clone)
    said = refusal("datalad", "save", "-m", "everything", cwd=clone)
    assert "only not checked out here" in said
    assert tool("git", "rev-parse", "HEAD", cwd=clone) == before
    undo = next(line for line in said.splitlines() if line.startswith("To undo the deletions: "))
    tool("sh", "-c", undo.removeprefix("To undo the deletions: "), cwd=clone)
    tool("datalad", "save", "-m", "a longer note", "note.txt", cwd=clone)
    assert tool("git", "status", "--porcelain", cwd=clone) == ""
    assert tool("git", "diff", "--name-only", "origin/main", cwd=clone).split() == ["note.txt"]
    tool("git", "sparse-checkout", "disable", cwd=clone)
    assert (clone / "plain.swc").is_symlink()
