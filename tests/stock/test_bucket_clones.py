"""Clones of a bucket as it is, without a store, in the hands of stock git, git-annex and DataLad."""

from __future__ import annotations

import json

import pytest

from opendata_pkg.digests.checksums import ChecksumCache
from opendata_pkg.scan.hashing import hash_snapshot
from opendata_pkg.scan.scan import scan

pytestmark = pytest.mark.s3

CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
WEB = "00000000-0000-0000-0000-000000000001"
SECURITY = ("annex.security.allowed-ip-addresses", "127.0.0.1")


@pytest.fixture
def bucket(published):
    """The words that name the bucket's server."""
    return ("--endpoint-url", published.server.endpoint_url)


def contents(published):
    """The bytes of the files below the folder, by path: the two whose names are kept or taken have other paths."""
    found = {key.removeprefix(f"{CORTEX}/"): body for key, body in published.second.items()}
    renamed = {"notes": "notes%file", "per%cent%41%2F.swc": "per%25cent%2541%252F.swc"}
    return {renamed.get(path, path): body for path, body in found.items() if not path.startswith(("Exp", "at", "stag"))}


def records(text):
    """The JSON documents of `git annex --json` and `datalad -f json`, one a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_stock_tools_take_it_for_one_of_theirs(published, bucket, run_opendata, git_identity, tool, fsck, tmp_path):
    """git, git-annex and DataLad find a bucket's clone sound and clean, bring contents, and save what is new."""
    said = run_opendata("clone", f"s3://{published.bucket}/{CORTEX}", "clone", *bucket)
    clone, wanted = tmp_path / "clone", contents(published)
    assert "so that nobody can check their bytes" in said.stderr
    assert "of no release" in said.stdout
    fsck(clone)
    assert tool("git", "remote", cwd=clone) == tool("git", "tag", cwd=clone) == ""
    assert tool("git", "symbolic-ref", "HEAD", cwd=clone) == "refs/heads/main\n"
    assert set(tool("git", "for-each-ref", "--format=%(refname)", cwd=clone).split()) == {
        "refs/heads/main",
        "refs/heads/git-annex",
    }
    tool("git", "config", *SECURITY, cwd=clone)
    found = records(tool("git", "annex", "whereis", "--json", cwd=clone))
    assert {record["file"] for record in found} == wanted.keys()
    assert {place["uuid"] for record in found for place in record["whereis"]} == {WEB}
    assert {record["state"] for record in records(tool("datalad", "-f", "json", "status", cwd=clone))} == {"clean"}
    tool("datalad", "get", "steady.swc", cwd=clone)
    run_opendata("get", "plain.swc", cwd=clone)
    run_opendata("get", cwd=clone)
    assert {path: (clone / path).read_bytes() for path in wanted} == wanted
    assert tool("git", "annex", "get", ".", cwd=clone) == ""
    assert all(record["success"] for record in records(tool("git", "annex", "fsck", "--json", cwd=clone)))
    counts = json.loads(run_opendata("verify", "clone", "--json", check=False).stdout)["counts"]
    assert {status: count for status, count in counts.items() if count} == {"unverifiable": len(wanted)}
    (clone / "note.txt").write_text("mine\n")
    tool("datalad", "save", "-m", "a note", cwd=clone)
    assert tool("git", "status", "--porcelain", cwd=clone) == ""
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".clone")) == []


def test_with_digests_all_is_checked(published, bucket, run_opendata, git_identity, tool, tmp_path):
    """A hashed snapshot's clone has digests: `--get` and `verify` check every byte, and nothing is warned of."""
    snapshot = scan(f"s3://{published.bucket}", endpoint_url=published.server.endpoint_url)
    with ChecksumCache.open(tmp_path / "checksums") as cache:
        hash_snapshot(snapshot, cache=cache).snapshot.write(tmp_path / "today.parquet")
    said = run_opendata("clone", "today.parquet", "--get", "--include", f"{CORTEX}/*.swc", "--json")
    document = json.loads(said.stdout)
    assert (document["branch"], document["version"]) == (".", None)
    assert document["datasets"] == [{"branch": ".", "path": ".", "commit": document["commit"]}]
    assert document["got"]["files"] == document["selected"] > 0
    assert "no digest" not in said.stderr
    clone = tmp_path / "today"
    assert (clone / CORTEX / "steady.swc").read_bytes() == b"never changes\n"
    assert all(record["success"] for record in records(tool("git", "annex", "fsck", "--json", cwd=clone)))
    assert json.loads(run_opendata("verify", "today", "--json").stdout)["counts"]["ok"] > 0
