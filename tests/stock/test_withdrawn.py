"""A bucket that keeps no versions: URLs that serve other bytes, or none, are withdrawn from clones made before."""

from __future__ import annotations

import json
import shutil
import time
from itertools import pairwise
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.s3

REPOSITORY = "git/openbluebrain.git"
STEADY, REPLACED, REMOVED, TWIN = "steady.swc", "replaced.swc", "removed.swc", "twin of removed.swc"
OLD = {STEADY: b"never changes\n", REPLACED: b"the old bytes\n", REMOVED: b"goes, and comes back\n"}
NEW = b"the new bytes\n"
VERSIONS = ("2026.1.0", "2026.1.1", "2026.1.2", "2026.1.3")
# What git-annex must offer after each of them: for the content of each file of the first version, the objects it is in.
OFFERED = (
    {STEADY: [STEADY], REPLACED: [REPLACED], REMOVED: [REMOVED]},
    {STEADY: [STEADY], REPLACED: [REPLACED], REMOVED: []},
    {STEADY: [STEADY], REPLACED: [], REMOVED: []},
    {STEADY: [STEADY], REPLACED: [], REMOVED: [REMOVED, TWIN]},
)


@pytest.fixture(scope="module")
def stores(make_bucket, tmp_path_factory):
    """The store as it was after each of four releases.

    In the first all objects are there; then the newest one, and only that, is deleted; then one is overwritten by as
    many bytes; then the deleted one comes back, and its bytes at another key too.
    """
    folder = tmp_path_factory.mktemp("unversioned")
    made = make_bucket(folder, "stock-unversioned", versioned=False)
    made.put({STEADY: OLD[STEADY], REPLACED: OLD[REPLACED]})
    # Last-modified times are in whole seconds: one object is to be the newest.
    time.sleep(1.1)
    steps = (
        lambda: made.put({REMOVED: OLD[REMOVED]}),
        lambda: made.delete(REMOVED),
        lambda: made.put({REPLACED: NEW}),
        lambda: made.put({REMOVED: OLD[REMOVED], TWIN: OLD[REMOVED]}),
    )
    found = []
    for version, step in zip(VERSIONS, steps, strict=True):
        step()
        made.publish(version)
        found.append(shutil.copytree(made.store, folder / version))
    return found


@pytest.fixture
def clone(stores, tool, git_identity, tmp_path):
    """A git-annex clone of the first release, without contents."""
    tool("git", "clone", "--quiet", stores[0] / REPOSITORY, "clone", cwd=tmp_path)
    tool("git", "annex", "init", cwd=tmp_path / "clone")
    tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def keys(clone, tool):
    """The git-annex keys of the first release's files, by path."""
    return {name: tool("git", "annex", "lookupkey", name, cwd=clone).strip() for name in OLD}


def pull(tool, clone, store):
    """Bring a clone up to the store as it is now."""
    tool("git", "remote", "set-url", "origin", store / REPOSITORY, cwd=clone)
    tool("git", "pull", "--quiet", "--ff-only", cwd=clone)
    tool("git", "annex", "merge", cwd=clone)


def offers(tool, clone, keys):
    """The objects at whose URLs `git annex whereis --all` says that each file's old content is."""
    # Its exit status says whether all keys are somewhere.
    said = tool("sh", "-c", "git annex whereis --all --json || true", cwd=clone)
    records = {record["key"]: record for record in map(json.loads, said.splitlines())}
    found = {}
    for name, key in keys.items():
        places = records[key]["whereis"]
        urls = [url for place in places for url in place["urls"]]
        assert len(places) == bool(urls)
        found[name] = sorted(unquote(url.rpartition("/")[2]) for url in urls)
    return found


def test_each_update(stores, clone, keys, tool):
    """A clone that is updated release by release offers what still serves the old bytes, and nothing else."""
    for version, store, expected in zip(VERSIONS, stores, OFFERED, strict=True):
        pull(tool, clone, store)
        assert offers(tool, clone, keys) == expected, version


@pytest.mark.parametrize("last", [1, 2, 3])
def test_late_update(last, stores, clone, keys, tool):
    """A clone that skipped releases offers the same as one that followed them all."""
    pull(tool, clone, stores[last])
    assert offers(tool, clone, keys) == OFFERED[last]


def test_own_records_survive(stores, clone, keys, tool):
    """What a clone itself recorded, that it has a content, is still known after the URL was withdrawn."""
    (clone.parent / "saved").write_bytes(OLD[REPLACED])
    tool("git", "annex", "reinject", clone.parent / "saved", REPLACED, cwd=clone)
    pull(tool, clone, stores[2])
    record = json.loads(tool("git", "annex", "whereis", "--json", f"--key={keys[REPLACED]}", cwd=clone))
    assert [place["here"] for place in record["whereis"]] == [True]
    assert tool("git", "annex", "fsck", "--quiet", f"--key={keys[REPLACED]}", cwd=clone) == ""


def test_old_bytes_are_not_faked(stores, clone, refusal, tool):
    """Once a URL is withdrawn, a `get` of the old content ends with an error; before, wrong bytes are refused."""
    # The clone was not told yet: git-annex downloads what is there now, and its digest gives it away.
    assert "Verification of content failed" in refusal("git", "annex", "get", REPLACED, cwd=clone)
    pull(tool, clone, stores[2])
    tool("git", "checkout", "--quiet", VERSIONS[0], cwd=clone)
    said = tool("git", "annex", "get", REPLACED, cwd=clone, status=1)
    assert "not available" in said
    assert "from web" not in said
    assert not (clone / REPLACED).exists()


def test_new_bytes(stores, clone, tool):
    """At the newest version every file comes, the deleted one that came back too."""
    pull(tool, clone, stores[3])
    tool("git", "annex", "get", ".", cwd=clone)
    expected = {STEADY: OLD[STEADY], REPLACED: NEW, REMOVED: OLD[REMOVED], TWIN: OLD[REMOVED]}
    assert {name: (clone / name).read_bytes() for name in expected} == expected


def log_lines(tool, store, stem):
    """URL or place → (time, status) in a key's two logs, in a store's git-annex branch."""
    found = {}
    for suffix in (".log", ".log.web"):
        text = tool("git", "cat-file", "blob", f"git-annex:{stem}{suffix}", cwd=store / REPOSITORY)
        for line in text.splitlines():
            since, status, what = line.split(" ", 2)
            found[what] = (int(since.removesuffix("s")), status)
    return found


def test_times_grow(stores, clone, keys, tool):
    """A line of the logs that changes gets a later time, or older clones would not believe it."""
    layout = "--format=${hashdirlower}${key}"
    stems = [tool("git", "annex", "examinekey", layout, key, cwd=clone).strip() for key in keys.values()]
    changed = 0
    for before, after in pairwise(stores):
        for stem in stems:
            old, new = (log_lines(tool, store, stem) for store in (before, after))
            for what, (since, status) in new.items():
                old_since, old_status = old.get(what, (0, None))
                assert (since > old_since) if status != old_status else (since == old_since)
                changed += status != old_status
    assert changed == 2 + 2 + 3


def test_histories_only_grow(stores, tool):
    """Each release's branches contain those of the release before."""
    for before, after in pairwise(stores):
        for branch in ("main", "git-annex"):
            commit = tool("git", "rev-parse", branch, cwd=before / REPOSITORY).strip()
            tool("git", "merge-base", "--is-ancestor", commit, branch, cwd=after / REPOSITORY)


@pytest.fixture(scope="module")
def graded_stores(make_bucket, tmp_path_factory):
    """The store after each of four releases: nothing known of the bytes, their MD5, their SHA-256; then overwritten."""
    folder = tmp_path_factory.mktemp("regraded")
    made = make_bucket(folder, "stock-regraded", versioned=False)
    made.put({STEADY: OLD[STEADY], REPLACED: OLD[REPLACED]})
    found = []
    for version in VERSIONS:
        if version == VERSIONS[3]:
            # As many bytes in the same second: without a digest nothing could tell them from the old ones.
            time.sleep(1.1)
            made.put({REPLACED: NEW})
        known = {VERSIONS[0]: {"hashed": False}, VERSIONS[1]: {"hashed": False, "etag_is_md5": True}}
        made.publish(version, **known.get(version, {}))
        found.append(shutil.copytree(made.store, folder / version))
    return found


@pytest.fixture
def graded_clone(graded_stores, tool, git_identity, tmp_path):
    """A clone of the first of these releases."""
    tool("git", "clone", "--quiet", graded_stores[0] / REPOSITORY, "clone", cwd=tmp_path)
    tool("git", "annex", "init", cwd=tmp_path / "clone")
    tool("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1", cwd=tmp_path / "clone")
    return tmp_path / "clone"


def key_at(tool, clone, version, name):
    """The git-annex key of a file at a version."""
    tool("git", "checkout", "--quiet", version, cwd=clone)
    return tool("git", "annex", "lookupkey", name, cwd=clone).strip()


def test_learning_digests_withdraws_nothing(graded_stores, graded_clone, tool):
    """Keys made when less was known keep their URL as long as the object is the same: every version can be got."""
    pull(tool, graded_clone, graded_stores[2])
    kinds = [key_at(tool, graded_clone, version, STEADY).partition("-")[0] for version in VERSIONS[:3]]
    assert kinds == ["URL", "MD5E", "SHA256E"]
    for version in VERSIONS[:3]:
        tool("git", "checkout", "--quiet", version, cwd=graded_clone)
        tool("git", "annex", "get", STEADY, cwd=graded_clone)
        assert (graded_clone / STEADY).read_bytes() == OLD[STEADY]
        tool("git", "annex", "fsck", "--quiet", cwd=graded_clone)


def test_overwriting_withdraws_all_keys(graded_stores, graded_clone, tool):
    """An overwritten object is offered for none of the keys its old bytes ever had, one that nobody could check least."""
    pull(tool, graded_clone, graded_stores[3])
    for name in (STEADY, REPLACED):
        keys = {version: key_at(tool, graded_clone, version, name) for version in VERSIONS}
        urls = offers(tool, graded_clone, keys)
        assert [urls[version] for version in VERSIONS[:3]] == [[STEADY] if name == STEADY else []] * 3
        assert urls[VERSIONS[3]] == [name]
