"""DataLad and git-annex read a store: the nesting, where content is, and the real bytes of both versions."""

from __future__ import annotations

import json
import os

import pytest

from opendata_pkg.demo.compare import compare_clone
from opendata_pkg.urls import parse_object_url

pytestmark = pytest.mark.s3

FIRST, SECOND = "2026.1.0", "2026.1.1"
CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
CORTEX_NAME = "experimental-data.reconstructed-morphologies.categorized.neurons.mouse.cortex"
DENSITY = "Experimental_Data/Neuron_density"
WEB = "00000000-0000-0000-0000-000000000001"
SECURITY = "annex.security.allowed-ip-addresses"


def allow_loopback(tool, *datasets):
    """Let git-annex fetch from this machine, in these clones only: it refuses private addresses until told."""
    for dataset in datasets:
        tool("git", "config", SECURITY, "127.0.0.1", cwd=dataset)


def installed(clone):
    """The branches that are installed in a clone of the root."""
    found = [folder for folder, folders, files in os.walk(clone) if ".git" in (*folders, *files)]
    return {os.path.relpath(folder, clone) for folder in found}


def clone_all(tool, source, folder, identity):
    """A DataLad clone of the root with all subdatasets installed, ready to get from loopback."""
    tool("datalad", "clone", source, "clone", cwd=folder, env=identity)
    clone = folder / "clone"
    tool("datalad", "get", "-n", "-r", ".", cwd=clone, env=identity)
    allow_loopback(tool, *(clone / branch for branch in installed(clone)))
    return clone


@pytest.fixture(scope="module")
def full_clone(published, tool, identity, tmp_path_factory):
    """A clone of the newest release with all contents, got by DataLad."""
    clone = clone_all(tool, published.repository(), tmp_path_factory.mktemp("full"), identity)
    tool("datalad", "get", "-r", ".", cwd=clone, env=identity)
    return clone


def records(text):
    """The JSON documents of `git annex --json`, one a line, by file."""
    return {record["file"]: record for record in map(json.loads, text.splitlines())}


def test_all_bytes(full_clone, published):
    """`datalad get` of everything brings every object of the bucket, byte by byte, and nothing else."""
    expected = {key: body for key, body in published.second.items() if not key.startswith("staging/")}
    found = compare_clone(full_clone, expected)
    assert (found.different, found.missing, found.strangers) == ((), (), ())
    assert len(found.same) == len(expected) == len(published.second) - 1
    assert found.renamed == {
        f"{CORTEX}/notes": f"{CORTEX}/notes%file",
        f"{CORTEX}/per%cent%41%2F.swc": f"{CORTEX}/per%25cent%2541%252F.swc",
    }


def test_annex_fsck(full_clone, published, tool, identity):
    """`git annex fsck` finds every content to be what its key says, and all of them here."""
    for branch, entry in published.datasets(SECOND).items():
        checked = records(tool("git", "annex", "fsck", "--json", cwd=full_clone / branch, env=identity))
        assert len(checked) == entry["files"]
        assert all(record["success"] and not record["error-messages"] for record in checked.values())
        here = tool("git", "annex", "find", "--print0", "--in=here", cwd=full_clone / branch).split("\0")[:-1]
        assert set(here) == set(checked)


def test_annex_asks_the_web(full_clone, published, tool, identity):
    """git-annex itself finds each content at its URL, without fetching it, and would give each the key that it has."""
    dataset = full_clone / CORTEX
    checked = records(tool("git", "annex", "fsck", "--from=web", "--fast", "--json", cwd=dataset, env=identity))
    assert len(checked) == published.datasets(SECOND)[CORTEX]["files"]
    assert all(record["success"] for record in checked.values())
    for path in checked:
        calculated = tool("git", "annex", "calckey", dataset / path, cwd=dataset)
        assert calculated == tool("git", "annex", "lookupkey", "--", path, cwd=dataset)


def test_tree_is_clean(full_clone, published, tool):
    """After all that, git and DataLad see nothing changed in any dataset."""
    for branch in published.datasets(SECOND):
        assert tool("git", "status", "--porcelain", cwd=full_clone / branch) == ""
    states = tool("datalad", "-f", "json", "status", "-r", cwd=full_clone).splitlines()
    assert states
    assert {json.loads(line)["state"] for line in states} == {"clean"}


def test_own_readme_wins(full_clone, published):
    """Where the bucket has a README.md, it is the one in the dataset; elsewhere there is one of ours."""
    key = f"{DENSITY}/README.md"
    assert (full_clone / key).read_bytes() == published.second[key]
    assert (full_clone / CORTEX / "README.md").read_text().startswith("# ")


def test_whereis(full_clone, published, tool):
    """`git annex whereis` knows each file on the web, at URLs that name objects with exactly its bytes, by version."""
    base = f"{published.server.endpoint_url}/{published.bucket}/"
    found = records(tool("git", "annex", "whereis", "--json", cwd=full_clone / CORTEX))
    named = set()
    for file, record in found.items():
        (web,) = [place for place in record["whereis"] if place["uuid"] == WEB]
        assert web["urls"], file
        for url in web["urls"]:
            key, version_id = parse_object_url(base, url)
            assert version_id is not None
            assert published.second[key] == (full_clone / CORTEX / file).read_bytes()
            named.add(key)
    assert named == {key for key in published.second if key.startswith(f"{CORTEX}/")}


def test_old_bytes(full_clone, published, tool, identity):
    """At an older version's tag, an overwritten and a deleted object come with the bytes that they had then."""
    dataset = full_clone / CORTEX
    tool("git", "checkout", "--quiet", FIRST, cwd=dataset)
    try:
        assert not (dataset / "new.swc").is_symlink()
        tool("git", "annex", "get", "plain.swc", cwd=dataset, env=identity)
        tool("datalad", "get", "gone.swc", cwd=dataset, env=identity)
        for name in ("plain.swc", "gone.swc"):
            assert (dataset / name).read_bytes() == published.first[f"{CORTEX}/{name}"]
        tool("git", "annex", "fsck", "plain.swc", "gone.swc", cwd=dataset, env=identity)
    finally:
        tool("git", "checkout", "--quiet", "main", cwd=dataset)
    assert published.first[f"{CORTEX}/plain.swc"] != published.second[f"{CORTEX}/plain.swc"]


def test_nesting_on_demand(published, static_server, tool, git_identity, tmp_path):
    """From a web server, `datalad get -n PATH` installs just the datasets on the way, and `get` brings odd names."""
    source = f"{static_server(published.store)}/git/openbluebrain.git"
    tool("datalad", "clone", source, "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("datalad", "get", "-n", CORTEX, cwd=clone)
    parts = CORTEX.split("/")
    assert installed(clone) == {".", *("/".join(parts[: count + 1]) for count in range(len(parts)))}
    ids = {branch: entry["id"] for branch, entry in published.datasets(SECOND).items()}
    assert tool("datalad", "configuration", "get", "datalad.dataset.id", cwd=clone / CORTEX).strip() == ids[CORTEX]
    allow_loopback(tool, clone / CORTEX)
    odd = [key for key in published.second if key.startswith(f"{CORTEX}/") and "%" not in key and key[-5:] != "notes"]
    tool("datalad", "get", *odd[:6], cwd=clone)
    tool("git", "annex", "get", "--", *(key.removeprefix(f"{CORTEX}/") for key in odd[6:]), cwd=clone / CORTEX)
    for key in odd:
        assert (clone / key).read_bytes() == published.second[key]


def test_update_from_a_web_server(published, static_server, tool, git_identity, tmp_path):
    """`datalad update` brings an older clone to the newest release, all datasets of it; the old bytes stay within reach."""
    (tmp_path / "live").symlink_to(published.earlier)
    tool("datalad", "clone", f"{static_server(tmp_path)}/live/git/openbluebrain.git", "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("datalad", "get", "-n", CORTEX, cwd=clone)
    allow_loopback(tool, clone / CORTEX)
    # The steward publishes the second version.
    (tmp_path / "live").unlink()
    (tmp_path / "live").symlink_to(published.store)
    tool("datalad", "update", "-r", "--how=ff-only", cwd=clone)
    entries = published.datasets(SECOND)
    for branch in installed(clone):
        assert tool("git", "rev-parse", "HEAD", cwd=clone / branch).strip() == entries[branch]["commit"]
    tool("datalad", "get", f"{CORTEX}/plain.swc", f"{CORTEX}/new.swc", cwd=clone)
    for name in ("plain.swc", "new.swc"):
        assert (clone / CORTEX / name).read_bytes() == published.second[f"{CORTEX}/{name}"]
    tool("git", "checkout", "--quiet", FIRST, cwd=clone / CORTEX)
    tool("git", "annex", "get", "gone.swc", cwd=clone / CORTEX)
    assert (clone / CORTEX / "gone.swc").read_bytes() == published.first[f"{CORTEX}/gone.swc"]


def test_git_annex_without_datalad(published, tool, git_identity, tmp_path):
    """Git and git-annex alone clone one dataset and get its content, in parallel too."""
    tool("git", "clone", "--quiet", published.repository(CORTEX_NAME), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", "annex", "init", cwd=clone)
    allow_loopback(tool, clone)
    tool("git", "annex", "get", "-J2", ".", cwd=clone)
    expected = {key: body for key, body in published.second.items() if key.startswith(f"{CORTEX}/")}
    bytes_by_key = {f"{CORTEX}/{path}": (clone / path).read_bytes() for path in annexed(tool, clone)}
    assert bytes_by_key.keys() - expected.keys() == {f"{CORTEX}/notes%file", f"{CORTEX}/per%25cent%2541%252F.swc"}
    assert sorted(bytes_by_key.values()) == sorted(expected.values())


def annexed(tool, clone):
    """The paths of all annexed files, by git-annex's own count."""
    return tool("git", "annex", "find", "--print0", "--anything", cwd=clone).split("\0")[:-1]


def test_sparse_clone(published, tool, git_identity, tmp_path):
    """A sparse clone gets just the selected files, and git finds its tree clean."""
    tool("git", "clone", "--quiet", "--sparse", published.repository(CORTEX_NAME), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", "sparse-checkout", "set", "--no-cone", "*.gz", cwd=clone)
    tool("git", "annex", "init", cwd=clone)
    allow_loopback(tool, clone)
    tool("git", "annex", "get", ".", cwd=clone)
    assert tool("git", "annex", "find", "--in=here", cwd=clone).splitlines() == [".hidden.nii.gz"]
    assert tool("git", "status", "--porcelain", cwd=clone) == ""


def test_unlocked_files(published, tool, git_identity, tmp_path):
    """Where symlinks are in the way, an adjusted, unlocked branch has the contents as plain files."""
    tool("git", "clone", "--quiet", published.repository(CORTEX_NAME), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    tool("git", "annex", "init", cwd=clone)
    allow_loopback(tool, clone)
    tool("git", "annex", "adjust", "--unlock", cwd=clone)
    tool("git", "annex", "get", "steady.swc", cwd=clone)
    assert not (clone / "steady.swc").is_symlink()
    assert (clone / "steady.swc").read_bytes() == published.second[f"{CORTEX}/steady.swc"]


def test_readers_leave_the_store_alone(full_clone, published, tool):
    """No tool that read the store by path, as a user who may write to it, has written to it."""
    assert full_clone.is_dir()
    for entry in published.datasets(SECOND).values():
        repository = published.repository(entry["name"])
        assert tool("git", "rev-parse", "main", "git-annex", cwd=repository).split() == [
            entry["commit"],
            entry["annex_commit"],
        ]
        assert "annex" not in (repository / "config").read_text()
        assert {path.name for path in repository.iterdir()} <= {
            "HEAD",
            "config",
            "info",
            "objects",
            "packed-refs",
            "refs",
        }
