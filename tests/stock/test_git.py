"""Plain git reads a store: by path and from a web server that knows nothing of git."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.s3

FIRST, SECOND = "2026.1.0", "2026.1.1"
# git lets submodules come from local paths only when told to (since 2.38.1); docs/how-to/read-with-stock-tools.md.
ALLOW_LOCAL = ("-c", "protocol.file.allow=always")


@pytest.fixture(params=["path", "http"])
def address(request, published, static_server):
    """Where the root dataset is cloned from."""
    base = str(published.store) if request.param == "path" else static_server(published.store)
    return f"{base}/git/openbluebrain.git"


def heads(tool, clone, branches):
    """The commit that is checked out in each installed dataset, by branch."""
    return {branch: tool("git", "rev-parse", "HEAD", cwd=clone / branch).strip() for branch in branches}


def commits(published, version):
    """The commit of each dataset in a release, by branch."""
    return {branch: entry["commit"] for branch, entry in published.datasets(version).items()}


def test_clone_with_all_submodules(address, published, tool, fsck, tmp_path):
    """A clone with its submodules has every dataset at the commit of the newest release, and git finds no fault."""
    tool("git", "clone", "--quiet", address, "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", *ALLOW_LOCAL, "submodule", "--quiet", "update", "--init", "--recursive", cwd=clone)
    expected = commits(published, SECOND)
    assert len(expected) == 8
    assert heads(tool, clone, expected) == expected
    for branch in expected:
        fsck(clone / branch)
        assert tool("git", "status", "--porcelain", cwd=clone / branch) == ""


def test_clone_of_a_version(address, published, tool, tmp_path):
    """Checking out a version's tag and updating the submodules brings every dataset back to that version."""
    tool("git", *ALLOW_LOCAL, "clone", "--quiet", "--recurse-submodules", address, "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", "checkout", "--quiet", FIRST, cwd=clone)
    tool("git", "submodule", "--quiet", "update", "--recursive", cwd=clone)
    expected = commits(published, FIRST)
    assert heads(tool, clone, expected) == expected
    assert expected != commits(published, SECOND)


def test_tags_and_branches(published, tool):
    """Each dataset's HEAD is its commit of the newest release; annotated tags name those of the versions it changed in."""
    for version in (FIRST, SECOND):
        for branch, entry in published.datasets(version).items():
            repository = published.repository(entry["name"])
            refs = dict(
                line.split()
                for line in tool(
                    "git", "for-each-ref", "--format=%(refname) %(objectname)", cwd=repository
                ).splitlines()
            )
            if version == SECOND:
                assert tool("git", "rev-parse", "HEAD", cwd=repository).strip() == entry["commit"]
                assert refs["refs/heads/git-annex"] == entry["annex_commit"]
                assert not any(name.startswith("refs/opendata/") for name in refs)
            if entry["changed"]:
                tag = f"refs/tags/{version}"
                assert tool("git", "cat-file", "-t", tag, cwd=repository).strip() == "tag"
                assert tool("git", "rev-parse", f"{tag}^{{commit}}", cwd=repository).strip() == entry["commit"]
            else:
                assert f"refs/tags/{version}" not in refs, branch


def test_fsck_of_the_store(published, tool, fsck):
    """`git fsck --strict` finds no fault in any repository of the store, and nothing lies around in it."""
    for entry in published.datasets(SECOND).values():
        fsck(published.repository(entry["name"]))
        said = tool("git", "count-objects", "-v", cwd=published.repository(entry["name"]))
        assert "garbage: 0" in said


def test_index_names_the_root_commit(published, tool):
    """`index.json` names, for each version, the commit that the root's tag of that version names."""
    releases = json.loads((published.store / "index.json").read_bytes())["releases"]
    assert [release["version"] for release in releases] == [FIRST, SECOND]
    for release in releases:
        tagged = tool("git", "rev-parse", f"{release['version']}^{{commit}}", cwd=published.repository()).strip()
        assert release["commit"] == tagged


def test_unchanged_dataset_keeps_its_commit(published):
    """A dataset whose objects did not change has the same commits in both releases; one that did has others."""
    first, second = published.datasets(FIRST), published.datasets(SECOND)
    assert first["Experimental_Data/Neuron_density"]["commit"] == second["Experimental_Data/Neuron_density"]["commit"]
    changed = [branch for branch in first if first[branch]["commit"] != second[branch]["commit"]]
    assert changed == [branch for branch in first if branch != "Experimental_Data/Neuron_density"]
