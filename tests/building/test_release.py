"""`opendata release`: a draft becomes a version that never changes, at once or not at all; and what the next one changes."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opendata_pkg import annex
from opendata_pkg.building.build import UnfinishedReleaseError, build, catalogue_for
from opendata_pkg.building.release import GradeError, PartialDraftError, release
from opendata_pkg.git.foreign import ForeignCommitError
from opendata_pkg.git.upkeep import MAX_PACKS
from opendata_pkg.model import Grade
from opendata_pkg.progress import Reporter
from opendata_pkg.store.store import NoDraftError, Store, VersionError
from tests.core_support import (
    BASE,
    TREE,
    annexed_paths,
    bound_packs,
    catalogue_of,
    dataset,
    entry_of,
    every_ref,
    git,
    git_text,
    opendata,
    packs_on_disk,
    paths_in,
    publish,
    published,
    repository_of,
    snapshot_of,
    temporary_files,
    web_log,
    write_inputs,
)

KEYS = ("Rat/a", "Rat/Cortex/b", "Mouse/c", "d")


@pytest.fixture
def store(tmp_path):
    """A store with one release of four datasets."""
    publish(tmp_path / "store", "2026.1.0", snapshot_of(*KEYS))
    return tmp_path / "store"


def commits(store):
    """Branch → (main, git-annex) in the last release."""
    entries = Store.open(store).latest().datasets
    return {path: (entry.written.commits.main, entry.written.commits.annex) for path, entry in entries.items()}


def refs(store, name):
    """The refs of one dataset's repository."""
    lines = git_text(repository_of(store, name), "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split(" ") for line in lines)


# What is published


def test_what_a_person_and_a_script_read(tmp_path):
    """The version, how much, the root commit that pins it all, and what it was made from."""
    snapshot = snapshot_of(*KEYS, finished=datetime(2026, 1, 2, tzinfo=UTC))
    path, catalogue = write_inputs(tmp_path / "inputs", snapshot)
    store = tmp_path / "store"
    assert opendata("build", path, "--store", store, "--catalogue", catalogue, "--quiet")[0] == 0
    status, out, err = opendata("release", "2026.1.0", "--store", store)
    root = dataset(store).written.commits.main
    assert (status, err) == (0, "")
    assert out == (
        f"released 2026.1.0: 4 files, 25 B in 4 datasets, 4 of them changed\nroot commit {root}\n"
        f"from the snapshot {snapshot.id[:12]} of s3://bucket as listed at 2026-01-02T00:00:00Z\n"
    )
    snapshot = snapshot_of(*KEYS, "Mouse/new")
    write_inputs(tmp_path / "inputs", snapshot)
    assert opendata("build", path, "--store", store, "--quiet")[0] == 0
    document = json.loads(opendata("release", "2026.1.1", "--store", store, "--json")[1])
    assert document == {
        "version": "2026.1.1",
        "commit": dataset(store).written.commits.main,
        "snapshot": snapshot.id,
        "origin": "s3://bucket",
        "changed": ["example", "mouse"],
        "datasets": 4,
        "files": 5,
        "size_bytes": 34,
    }


def test_refs_and_tags(store):
    """`main` and `git-annex` of each dataset, an annotated tag, and no draft ref any more; sound to git."""
    for path, (main, annexed) in commits(store).items():
        found = refs(store, dataset(store, path).name)
        assert set(found) == {"refs/heads/main", "refs/heads/git-annex", "refs/tags/2026.1.0"}
        assert (found["refs/heads/main"], found["refs/heads/git-annex"]) == (main, annexed)
        repository = repository_of(store, dataset(store, path).name)
        assert git_text(repository, "cat-file", "-t", "2026.1.0") == "tag"
        assert git_text(repository, "rev-parse", "2026.1.0^{commit}") == main
        assert git_text(repository, "fsck", "--strict", "--full") == ""


def test_the_index_names_the_release(store):
    """Bound by digest, dated by the root's commit; no clock is asked."""
    (entry,) = json.loads((store / "index.json").read_bytes())["releases"]
    assert entry["version"] == "2026.1.0"
    assert entry["date"] == "2024-01-01T00:00:00Z"
    assert entry["commit"] == commits(store)[""][0]
    assert (store / "snapshots" / f"{entry['snapshot']}.parquet").is_file()
    assert (store / "catalogues" / f"{entry['catalogue']}.yaml").is_file()
    assert not (store / "draft").exists()


def test_a_parent_pins_its_children(store):
    """The root's tree names the commit of each child, whose tree names the next."""
    for parent, mount, child in (("", "Rat", "Rat"), ("", "Mouse", "Mouse"), ("Rat", "Cortex", "Rat/Cortex")):
        line = git_text(repository_of(store, dataset(store, parent).name), "ls-tree", "main", mount)
        assert line.split()[:3] == ["160000", "commit", commits(store)[child][0]]


# What the next release changes


def test_one_commit_for_each_changed_dataset(store):
    """The changed one and those that pin it; all others keep their ids, and have no tag of the new version."""
    before = commits(store)
    _, released = publish(store, "2026.1.1", snapshot_of(*KEYS[:-1], entry_of("d", "d"), "Rat/Cortex/new"))
    after = commits(store)
    assert set(released.changed) == {"example", "rat", "rat.cortex"}
    assert after["Mouse"] == before["Mouse"]
    assert set(refs(store, "mouse")) == {"refs/heads/main", "refs/heads/git-annex", "refs/tags/2026.1.0"}
    for path in ("", "Rat", "Rat/Cortex"):
        repository = repository_of(store, dataset(store, path).name)
        assert git_text(repository, "rev-list", "--count", "main") == "2"
        assert git_text(repository, "rev-parse", "main^") == before[path][0]
    # Rat's own files are as they were: its logs are too.
    assert after["Rat"][1] == before["Rat"][1]
    assert after["Rat/Cortex"][1] != before["Rat/Cortex"][1]
    assert git_text(repository_of(store, "rat"), "diff", "--name-only", "main^", "main") == "Cortex"


def test_artefacts_of_what_did_not_change_stay_where_they_are(store):
    """A release's folder holds only what changed; the index says where the rest is."""
    publish(store, "2026.1.1", snapshot_of(*KEYS, "Mouse/new"))
    assert {path.name for path in (store / "releases" / "2026.1.1").iterdir() if path.is_dir()} == {"example", "mouse"}
    assert dataset(store, "Rat").artefacts == "releases/2026.1.0/rat/"
    assert not dataset(store, "Rat").changed
    registry = (store / dataset(store, "Mouse").artefacts / "registry.txt").read_text()
    assert [line.split(" ")[0] for line in registry.splitlines()] == ["c", "new"]


def test_a_released_version_never_changes(store):
    """Not a byte of what readers of the old version look at, beside the refs that move on."""
    before = {name: data for name, data in published(store).items() if name.startswith(("releases/", "snap", "cat"))}
    old = Store.open(store).release("2026.1.0")
    publish(store, "2026.1.1", snapshot_of("Rat/a", entry_of("d", "other")))
    assert published(store).items() >= before.items()
    assert Store.open(store).release("2026.1.0") == old
    assert git_text(repository_of(store), "rev-parse", "2026.1.0^{commit}") == old.datasets[""].written.commits.main


def test_a_removed_file_stays_in_history(store):
    """Gone from the tree, there in the old version, its URL on offer only while it serves the bytes."""
    publish(store, "2026.1.1", snapshot_of("Rat/a", "Rat/Cortex/b", "Mouse/c"))
    repository = repository_of(store)
    assert annexed_paths(repository) == set()
    assert annexed_paths(repository, "2026.1.0") == {"d"}
    (stem,) = [path.removesuffix(".log.web") for path in paths_in(repository, "git-annex") if path.endswith(".log.web")]
    (line,) = web_log(store, "example", stem)
    assert line.split(" ")[1:] == ["0", f"{BASE}d"]
    assert git_text(repository, "cat-file", "blob", f"git-annex:{stem}.log").split()[1] == "0"


def test_an_old_version_keeps_its_versioned_url(tmp_path):
    """An overwritten object's old bytes are still had at their versionId: stock tools are offered it."""
    store = tmp_path / "store"
    publish(store, "1.0.0", snapshot_of(entry_of("a", "old", version="v1")))
    publish(store, "1.1.0", snapshot_of(entry_of("a", "new", version="v2", day=1)))
    logs = [path for path in paths_in(repository_of(store), "git-annex") if path.endswith(".log.web")]
    lines = sorted(line.split(" ")[1:] for path in logs for line in web_log(store, "example", path[: -len(".log.web")]))
    assert lines == [["1", f"{BASE}a?versionId=v1"], ["1", f"{BASE}a?versionId=v2"]]


def test_nothing_new_is_a_new_tag(store):
    """The same snapshot again: the same root commit under another version; nobody else is touched."""
    before, untouched = commits(store), every_ref(store)
    _, released = publish(store, "2026.1.1", snapshot_of(*KEYS))
    assert released.changed == ()
    assert commits(store) == before
    assert set(every_ref(store)) - set(untouched) == {
        f"example.git refs/tags/2026.1.1 {refs(store, 'example')['refs/tags/2026.1.1']}"
    }
    assert git_text(repository_of(store), "rev-parse", "2026.1.1^{commit}") == before[""][0]


def test_a_colder_tier_changes_nothing(store):
    """Storage class is no part of what is published."""
    before = commits(store)
    publish(store, "2026.1.1", snapshot_of(*(entry_of(key, key, storage_class="GLACIER") for key in KEYS)))
    assert commits(store) == before


def test_a_better_digest_is_regraded(tmp_path):
    """Counted as such, with a new commit and the old content digest kept out of it; the old key stays offered."""
    store = tmp_path / "store"
    publish(store, "1.0.0", snapshot_of(entry_of("a", known="md5"), "b"))
    built, _ = publish(store, "1.1.0", snapshot_of(entry_of("a", known="both"), "b"))
    (entry,) = built.datasets
    assert (entry.changes.regraded, entry.changes.changed, entry.changes.added, entry.changed) == (1, 0, 0, True)
    logs = [path for path in paths_in(repository_of(store), "git-annex") if path.endswith(".log.web")]
    offered = [line.split(" ")[1:] for path in logs for line in web_log(store, "example", path[: -len(".log.web")])]
    # SHA256E and MD5E of `a`, which are the same bytes at the same URL, and `b`.
    assert sorted(offered) == [["1", f"{BASE}a"], ["1", f"{BASE}a"], ["1", f"{BASE}b"]]


def test_what_nothing_dates_is_not_vouched_for(tmp_path):
    """Without an ETag or a date, another kind of digest of as many bytes may be that of others: the URL is withdrawn."""
    store, old = tmp_path / "store", entry_of("a", "old", known="md5", last_modified=None)
    publish(store, "1.0.0", snapshot_of(old))
    publish(store, "2.0.0", snapshot_of(entry_of("a", "new", last_modified=None)))
    stem = annex.log_stem(annex.key_of(old, f"{BASE}a"))
    assert [line.split(" ", 1)[1] for line in web_log(store, "example", stem)] == [f"0 {BASE}a"]


def test_an_address_within_the_last_one_names_other_objects(tmp_path):
    """Keys below it begin anew: an object is no witness for one that had its key at the address before."""
    store, old = tmp_path / "store", entry_of("a/k", "old", day=1)
    steady = entry_of("k", "steady", etag="e")
    publish(store, "1.0.0", snapshot_of(old, steady))
    publish(store, "2.0.0", snapshot_of(steady, base_url=f"{BASE}a/"))
    stem = annex.log_stem(annex.key_of(old, f"{BASE}a/k"))
    assert [line.split(" ", 1)[1] for line in web_log(store, "example", stem)] == [f"0 {BASE}a/k"]


def test_times_always_grow(tmp_path):
    """Also when the newest object goes: a log line that is older than its predecessor would lose git-annex's merge."""
    store = tmp_path / "store"
    states = [
        [entry_of("a", day=9), entry_of("b", "b")],
        [entry_of("b", "b")],
        [entry_of("b", "b"), entry_of("a", day=5)],
        [entry_of("a", day=5)],
        [entry_of("a", "y", day=400), entry_of("b", "b")],
    ]
    stamps = []
    for number, state in enumerate(states):
        publish(store, f"1.{number}.0", snapshot_of(*state))
        stamps.append(dataset(store).written.commits.time)
        assert (
            git_text(repository_of(store), "log", "-1", "--format=%at %ct", "git-annex") == f"{stamps[-1]} {stamps[-1]}"
        )
    assert stamps == sorted(set(stamps))
    assert stamps[1] == stamps[0] + 1
    key = annex.key_of(entry_of("b", "b"), "")
    (line,) = web_log(store, "example", annex.log_stem(key))
    assert line == f"{stamps[4]}s 1 {BASE}b"


def test_without_dates_there_is_the_epoch(tmp_path):
    """Objects of unknown date: the catalogue's epoch, and a second more each time."""
    store = tmp_path / "store"
    publish(store, "1.0.0", snapshot_of(entry_of("a", last_modified=None)))
    assert dataset(store).written.commits.time == 1704067200
    publish(store, "1.1.0", snapshot_of(entry_of("a", "y", last_modified=None)))
    assert dataset(store).written.commits.time == 1704067201


def test_a_moved_object_is_offered_where_it_was(tmp_path):
    """A new branch takes an object over: its old dataset offers the URL for old versions as long as it is right."""
    store = tmp_path / "store"
    one, two = "branches: {Rat: {}}\n", "branches: {Rat: {}, Rat/Sub: {}}\n"
    stem = annex.log_stem(annex.key_of(entry_of("Rat/Sub/x", "bytes"), ""))
    states = ((one, "bytes", "1"), (two, "bytes", "1"), (two, "other", "0"))
    for number, (catalogue, content, status) in enumerate(states):
        publish(
            store, f"1.{number}.0", snapshot_of("Rat/keep", entry_of("Rat/Sub/x", content)), catalogue_of(catalogue)
        )
        assert [line.split(" ")[1:] for line in web_log(store, "rat", stem)] == [[status, f"{BASE}Rat/Sub/x"]]
    assert [dataset(store, "Rat", f"1.{number}.0").written.borrowed for number in range(3)] == [0, 1, 0]
    assert git_text(repository_of(store, "rat"), "ls-tree", "--name-only", "1.0.0", "Sub/") == "Sub/x"
    assert git_text(repository_of(store, "rat"), "ls-tree", "1.2.0", "Sub").split()[0] == "160000"


def test_logs_alone_may_change(tmp_path):
    """A URL withdrawn though no file changed: `git-annex` advances, `main`, artefacts and parents stay as they are."""
    store = tmp_path / "store"
    ignoring = catalogue_of("branches: {Rat: {}, Mouse: {}}\nignore: [{prefix: Rat/x, reason: wrong}]\n")
    publish(
        store, "1.0.0", snapshot_of("Rat/keep", "Rat/x", "Mouse/c"), catalogue_of("branches: {Rat: {}, Mouse: {}}\n")
    )
    # From here on the object is in no dataset, but its URL still serves what version 1.0.0 had.
    publish(store, "1.1.0", snapshot_of("Rat/keep", "Rat/x", "Mouse/c"), ignoring)
    stem = annex.log_stem(annex.key_of(entry_of("Rat/x", "Rat/x"), ""))
    assert [line.split(" ")[1] for line in web_log(store, "rat", stem)] == ["1"]
    before = commits(store)
    _, released = publish(store, "1.2.0", snapshot_of("Rat/keep", entry_of("Rat/x", "other"), "Mouse/c"), ignoring)
    after = commits(store)
    assert [line.split(" ")[1] for line in web_log(store, "rat", stem)] == ["0"]
    assert released.changed == ()
    assert {path for path in after if after[path] != before[path]} == {"Rat"}
    assert after["Rat"][0] == before["Rat"][0]
    assert git_text(repository_of(store, "rat"), "rev-parse", "git-annex^") == before["Rat"][1]
    assert dataset(store, "Rat").artefacts == "releases/1.1.0/rat/"
    assert "refs/tags/1.2.0" in refs(store, "rat")
    # And what did not change in its logs is not written again.
    publish(store, "1.3.0", snapshot_of("Rat/keep", entry_of("Rat/x", "third"), "Mouse/c"), ignoring)
    assert commits(store) == after


# Bad input: the sentence and the exit status


def refused(status, says, *words):
    """Fail the test unless the command ends with that status and says that on stderr."""
    found, out, err = opendata(*words)
    assert (found, out) == (status, ""), err
    for text in says if isinstance(says, tuple) else (says,):
        assert text in err


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("2026.1.0", "version 2026.1.0 is released already and never changes: choose one above 2026.1.0"),
        ("2025.12.9", "expected a version above 2026.1.0, got 2025.12.9"),
        ("0.0.1", "expected a version above 2026.1.0, got 0.0.1"),
        ("2026.1", "expected a version of three numbers, such as 2026.1.0, got '2026.1'"),
        ("2026.01.1", "expected a version of three numbers, such as 2026.1.0, got '2026.01.1'"),
        ("2026.1.1-rc1", "expected a version of three numbers, such as 2026.1.0, got '2026.1.1-rc1'"),
        ("../../etc", "expected a version of three numbers, such as 2026.1.0, got '../../etc'"),
    ],
)
def test_versions_that_cannot_be(store, version, says):
    """Released already, lower, or not three numbers; the draft stays for a better one."""
    build(snapshot_of(*KEYS, "new"), catalogue_of(), store)
    before = published(store)
    refused(3, says, "release", version, "--store", store)
    assert published(store) == before
    assert opendata("release", "2026.2.0", "--store", store)[0] == 0


def test_no_draft(store):
    """Nothing built since the last release: what to run."""
    refused(4, ("nothing to release in", "opendata build SNAPSHOT --store"), "release", "2026.1.1", "--store", store)


def test_a_partial_draft(store):
    """A draft made with `--only` is never released; a whole one then is."""
    build(snapshot_of(*KEYS, "Rat/new"), catalogue_of(), store, only=["Rat"])
    before = published(store)
    says = ("holds only the branches given to build --only", "without --only")
    refused(3, says, "release", "2026.1.1", "--store", store)
    with pytest.raises(PartialDraftError):
        release("2026.1.1", store)
    assert published(store) == before
    assert publish(store, "2026.1.1", snapshot_of(*KEYS, "Rat/new"))[1].changed == ("example", "rat")


@pytest.mark.parametrize(
    ("required", "says"),
    [
        ("fixed", "2 verifiable, 1 versioned, 1 mutable"),
        ("verifiable", "1 versioned, 1 mutable"),
        ("versioned", "1 mutable"),
    ],
)
def test_a_grade_may_be_required(tmp_path, required, says):
    """How many files are worse, and what to do; without the requirement they are published."""
    store = tmp_path / "store"
    entries = [
        entry_of("Rat/a", version="v1"),
        *("b", entry_of("Mouse/c", known="md5", version="null")),
        *(entry_of("e", known=None, version="v1"), entry_of("f", known=None)),
    ]
    build(snapshot_of(*entries), catalogue_of(), store, allow_undigested="**")
    words = ("release", "1.0.0", "--store", store)
    refused(
        3,
        (f"expected every file to be at least {required}, but {says}:", "opendata hash"),
        *words,
        "--require-grade",
        required,
    )
    with pytest.raises(GradeError):
        release("1.0.0", store, require_grade=Grade(required))
    assert opendata(*words, "--require-grade", "mutable")[0] == 0


def test_an_unknown_grade(store):
    """Wrong usage, and the four that there are."""
    refused(2, ("fixed", "mutable"), "release", "2026.1.1", "--store", store, "--require-grade", "golden")


@pytest.mark.usefixtures("git_identity")
@pytest.mark.parametrize("branch", ["main", "git-annex"])
def test_somebody_pushed_after_the_build(store, branch):
    """A release overwrites nobody's commits: it says where they are, before any ref of any dataset has moved."""
    build(snapshot_of(*KEYS, "Rat/new", "Mouse/new"), catalogue_of(), store)
    repository = repository_of(store, "rat")
    theirs = git_text(repository, "commit-tree", "-m", "mine", "-p", branch, f"{branch}^{{tree}}")
    git(repository, "update-ref", f"refs/heads/{branch}", theirs)
    before = every_ref(store)
    with pytest.raises(ForeignCommitError, match=rf"expected refs/heads/{branch} of .*rat\.git at .* got {theirs}"):
        release("2026.1.1", store)
    refused(3, "somebody has written to the store", "release", "2026.1.1", "--store", store)
    assert every_ref(store) == before
    # Once their work is elsewhere, the release goes on, under any version.
    git(repository, "update-ref", f"refs/heads/{branch}", f"{theirs}^")
    assert opendata("release", "2026.1.2", "--store", store)[0] == 0


# Packs


def test_packs_are_bound(tmp_path):
    """After each of some releases the list has all packs that are offered, and no others; until they are many, too."""
    keys = ["Rat/a", "Mouse/b", "top"]
    for number in range(MAX_PACKS + 2):
        keys.append(f"Rat/{number}")
        publish(tmp_path, f"1.{number}.0", snapshot_of(*keys))
        assert bound_packs(tmp_path) == packs_on_disk(tmp_path)
    assert len(bound_packs(tmp_path)["rat"]) < MAX_PACKS


def test_a_release_of_the_same_has_the_same_packs(store):
    """Nothing is listed anew, nor read: the index names the list of the release before."""
    before = json.loads((store / "index.json").read_bytes())["releases"][-1]["packs"]
    for path in (repository_of(store, "rat") / "objects" / "pack").glob("*.pack"):
        path.unlink()
    publish(store, "2026.1.1", snapshot_of(*KEYS))
    assert json.loads((store / "index.json").read_bytes())["releases"][-1]["packs"] == before
    assert not (store / "releases" / "2026.1.1" / "packs.json").exists()


def test_packs_of_a_draft_that_was_replaced(store):
    """What a build wrote is bound as it was written, although the draft was made again before it was released."""
    for _ in range(2):
        build(snapshot_of(*KEYS, "Rat/new"), catalogue_of(), store)
    written = json.loads((store / "draft" / "packs.json").read_bytes())["repositories"]["rat"]
    release("2026.1.1", store)
    assert written.items() <= bound_packs(store)["rat"].items()
    assert bound_packs(store) == packs_on_disk(store)


def test_packs_after_git_gc(store):
    """Whatever a steward's own git made of the packs is bound by the next release, also where nothing else changed."""
    for repository in (store / "git").iterdir():
        git(repository, "gc", "--quiet", "--prune=now")
    assert bound_packs(store) != packs_on_disk(store)
    publish(store, "2026.1.1", snapshot_of(*KEYS))
    assert bound_packs(store) == packs_on_disk(store)


@pytest.mark.parametrize("harm", ["gone", "altered", "never there"])
def test_packs_without_a_list(harm, store):
    """A store whose list is lost, or that was made before there was one, has one again after the next release."""
    if harm == "never there":
        index = json.loads((store / "index.json").read_bytes())
        del index["releases"][-1]["packs"]
        (store / "index.json").write_text(json.dumps(index))
    (path,) = (store / "releases").glob("*/packs.json")
    if harm == "altered":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    publish(store, "2026.1.1", snapshot_of(*KEYS, "Rat/new"))
    assert bound_packs(store) == packs_on_disk(store)


def test_packs_that_are_not_all(store):
    """A repository that is not whole in its packs is not listed, and the release is made all the same."""
    repository = repository_of(store, "mouse")
    for pack in list((repository / "objects" / "pack").glob("*.pack")):
        data = pack.read_bytes()
        for path in (pack.with_suffix(".idx"), pack):
            path.unlink()
        git(repository, "unpack-objects", "-q", data=data)
    publish(store, "2026.1.1", snapshot_of(*KEYS, "Mouse/new"))
    assert bound_packs(store).keys() == packs_on_disk(store).keys() - {"mouse"}


# Interruptions


class _StopError(Exception):
    """Stands for whatever may happen."""


class _Stops(Reporter):
    """Stops the work when so many units are done."""

    def __init__(self, after):
        self.after = after

    def advance(self, count=1):
        """Units were done."""
        self.after -= count
        if self.after < 0:
            raise _StopError


def test_a_release_that_stops_between_datasets(store):
    """Readers see the old release; no other version and no build comes between; the same command goes on."""
    for after in range(4):
        copy = store.parent / f"copy-{after}"
        shutil.copytree(store, copy)
        build(snapshot_of(*KEYS, "Rat/Cortex/new", "Mouse/new"), catalogue_of(), copy)
        with pytest.raises(_StopError):
            release("2026.1.1", copy, reporter=_Stops(after))
        assert Store.open(copy).versions() == ["2026.1.0"]
        with pytest.raises(UnfinishedReleaseError, match=r"the release of 2026\.1\.1 in .* was interrupted: finish it"):
            build(snapshot_of(*KEYS), catalogue_of(), copy)
        with pytest.raises(
            VersionError, match=r"the release of 2026\.1\.1 was interrupted: finish it first with opendata"
        ):
            release("2026.1.2", copy)
        release("2026.1.1", copy)
        assert Store.open(copy).versions() == ["2026.1.0", "2026.1.1"]
    copies = [store.parent / f"copy-{after}" for after in range(4)]
    assert all(every_ref(copy) == every_ref(copies[0]) for copy in copies)
    assert all(published(copy) == published(copies[0]) for copy in copies)


def stopped_copies(stop, what, store, argument, copies, every=1):
    """Copies of a store on which the work was stopped some steps later each."""
    copies.mkdir()
    words = [sys.executable, "-m", "tests.killing", stop, what, store, argument, copies, str(every)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert names.pop() == "done"
    return [copies / name for name in names]


def released_commits_are_there(store):
    """Fail the test unless every commit of the last release is whole, and a branch of its repository leads to it."""
    for entry in Store.open(store).latest().datasets.values():
        found = git_text(repository_of(store, entry.name), "rev-list", "--objects", "main", "git-annex").split()
        assert {entry.written.commits.main, entry.written.commits.annex} <= set(found)


SMALL = ("Rat/a", "Mouse/c", "d")


def test_a_release_killed_at_any_step(tmp_path):
    """SIGKILL before each change of the disk: readers see the old release or the new one; then the same command ends well.

    "Well": with the very store that an undisturbed release gives.
    """
    store = tmp_path / "store"
    publish(store, "2026.1.0", snapshot_of(*SMALL))
    build(snapshot_of(*SMALL, "Rat/new"), catalogue_of(), store)
    old = published(store)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(store, undisturbed)
    release("2026.1.1", undisturbed)
    wanted = published(undisturbed), every_ref(undisturbed)
    copies = stopped_copies("SIGKILL", "release", store, "2026.1.1", tmp_path / "copies")
    assert len(copies) > 30
    finished = 0
    for copy in copies:
        versions = Store.open(copy).versions()
        assert versions in (["2026.1.0"], ["2026.1.0", "2026.1.1"]), copy
        released_commits_are_there(copy)
        seen = published(copy)
        assert all(seen[name] == data for name, data in old.items() if name.startswith("releases/"))
        if versions == ["2026.1.0"]:
            assert seen["index.json"] == old["index.json"]
        elif not Store.open(copy).has_draft():
            # Killed when only a folder was left to remove: it is released, and says so.
            with pytest.raises(VersionError, match="is released already"):
                release("2026.1.1", copy)
            finished += 1
            build(snapshot_of(*SMALL), catalogue_of(), copy)
            continue
        release("2026.1.1", copy)
        assert (published(copy), every_ref(copy)) == wanted, copy
        assert bound_packs(copy) == packs_on_disk(copy)
        assert not (copy / "draft").exists()
        assert temporary_files(copy) == []
    assert finished <= 2


def test_a_build_killed_at_any_step(tmp_path):
    """SIGKILL during a build: the old release as it was, no draft, and the next build and release work."""
    store = tmp_path / "store"
    publish(store, "2026.1.0", snapshot_of(*SMALL))
    path, _ = write_inputs(tmp_path / "inputs", snapshot_of(*SMALL, "Rat/new"))
    old = published(store)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(store, undisturbed)
    publish(undisturbed, "2026.1.1", snapshot_of(*SMALL, "Rat/new"))
    wanted = published(undisturbed), every_ref(undisturbed)
    copies = stopped_copies("SIGKILL", "build", store, path, tmp_path / "copies", every=9)
    assert len(copies) > 5
    for copy in copies:
        assert Store.open(copy).versions() == ["2026.1.0"]
        assert published(copy).items() >= old.items()
        with pytest.raises(NoDraftError):
            release("2026.1.1", copy)
        publish(copy, "2026.1.1", snapshot_of(*SMALL, "Rat/new"))
        assert (published(copy), every_ref(copy)) == wanted, copy
        assert bound_packs(copy) == packs_on_disk(copy)
        assert temporary_files(copy) == []


def test_what_a_killed_build_left_where_nothing_is_built(store):
    """Half-written packs and refs of a dataset that the next build does not touch go away with that build, too."""
    mouse = repository_of(store, "mouse")
    for name in ("objects/pack/tmp_pack_1", "objects/info/.packs.1.part", "info/.refs.1.part", ".HEAD.1.part"):
        (mouse / name).write_bytes(b"P")
    git(mouse, "update-ref", "refs/opendata/draft/main", "main~0")
    (store / "draft" / "mouse").mkdir(parents=True)
    publish(store, "2026.1.1", snapshot_of(*KEYS, "Rat/new"))
    assert temporary_files(store) == []
    assert every_ref(store) == every_ref(store, drafts=False)


@pytest.mark.parametrize("packed", [False, True])
def test_a_draft_that_was_replaced_leaves_no_refs(store, packed):
    """Also in datasets that the new one does not change, or are new in the old one; packed by a steward or not."""
    before = every_ref(store)
    build(snapshot_of(*KEYS, "Mouse/new", "Rat/Deep/Layer/new"), catalogue_of(), store)
    assert len(every_ref(store)) > len(before)
    if packed:
        for repository in (store / "git").iterdir():
            git(repository, "pack-refs", "--all")
    build(snapshot_of(*KEYS), catalogue_of(), store)
    assert every_ref(store) == before


def test_a_dataset_that_came_out_as_it_was_keeps_no_draft(store):
    """What the catalogue says of it is other, and none of that is written: no ref of it is left after the release."""
    other = catalogue_of(TREE.replace("title: Mice", "title: Mice, formerly: [Mus]"))
    build(snapshot_of(*KEYS), other, store)
    assert any(line.startswith("mouse.git refs/opendata/") for line in every_ref(store))
    assert not Store.open(store).draft().datasets["Mouse"].changed
    release("2026.1.1", store)
    assert every_ref(store) == every_ref(store, drafts=False)


def test_a_first_build_killed_at_any_step(tmp_path):
    """Where there was no store yet: what is left is one, or as good as nothing; the same command goes on."""
    path, _ = write_inputs(tmp_path / "inputs", snapshot_of("d"))
    empty = tmp_path / "empty"
    empty.mkdir()
    copies = stopped_copies("SIGKILL", "build", empty, path, tmp_path / "copies", every=4)
    assert len(copies) > 5
    for copy in copies:
        assert catalogue_for(copy, None).id == ("example" if Store(copy).has_draft() else "openbluebrain")
        assert publish(copy, "1.0.0", snapshot_of("d"))[1].files == 1


def test_a_build_interrupted_at_any_step(store, tmp_path):
    """Ctrl-C: no half-written file is left, no draft, and the old release is as it was."""
    path, _ = write_inputs(tmp_path / "inputs", snapshot_of(*KEYS, "Rat/new"))
    old = published(store)
    for copy in stopped_copies("SIGINT", "build", store, path, tmp_path / "copies", every=7):
        assert temporary_files(copy) == []
        assert published(copy).items() >= old.items()
        assert not Store.open(copy).has_draft()


def test_nothing_temporary_is_left(store):
    """After releases that were not disturbed, a store holds nothing but what readers need."""
    publish(store, "2026.1.1", snapshot_of(*KEYS, "new"))
    assert temporary_files(store) == []
