"""Stores verified: against what binds their documents, and by building every release again."""

import hashlib
import json
import lzma
import os
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.digests.findings import Status
from opendata_pkg.git.objects import tag_body
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.store.store import Store
from opendata_pkg.verification.rebuild import verify_by_rebuilding
from opendata_pkg.verification.store import verify_store
from tests.core_support import (
    catalogue_of,
    dataset,
    entry_of,
    git,
    opendata,
    publish,
    repository_of,
    snapshot_of,
)

FORMAT_ONE = Path(__file__).parents[1] / "data" / "format-1" / "store.tar.xz"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Two releases of four datasets: names to be escaped, all kinds of digests, a change, a dataset that stays."""
    store = tmp_path_factory.mktemp("pristine") / "store"
    first = [
        entry_of("Rat/a", "1", version="v1"),
        entry_of("Rat/x y'z#%.swc", "2", known="md5"),
        entry_of("Rat/new\nline", "3"),
        entry_of("Rat/Cortex/none", "4", known=None),
        entry_of("Mouse/README.md", "the bucket's own"),
        entry_of("top"),
        entry_of("tmp/left out"),
    ]
    publish(store, "2024.1.0", snapshot_of(*first), allow_undigested="**")
    publish(store, "2024.2.0", snapshot_of(*first[1:], entry_of("Rat/a", "other", day=2)), allow_undigested="**")
    return store


@pytest.fixture
def store(pristine, tmp_path):
    """A copy of them to harm."""
    return Path(shutil.copytree(pristine, tmp_path / "store", symlinks=True))


def told(result):
    """The findings as (status, path) pairs."""
    return [(finding.status.value, finding.path) for finding in result.findings]


def spoil(path, old, new):
    """Replace something in a file, however it is protected."""
    data = path.read_bytes()
    assert old in data
    path.chmod(0o644)
    path.write_bytes(data.replace(old, new, 1))


def state_of(folder):
    """Everything that writing to a folder would change."""
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in [folder, *folder.rglob("*")]}


def test_a_store_as_it_was_released(store):
    """Nothing to tell, nothing written, and all kinds of things looked at."""
    before = state_of(store)
    result = verify_store(store)
    assert told(result) == []
    assert result.ok
    assert result.notes == ()
    assert result.counts[Status.OK] >= 60
    assert state_of(store) == before


def test_every_document_is_bound(store):
    """A byte more in any file that a release has, and that file is named; nothing is called extra for it."""
    files = [
        path
        for folder in ("releases", "catalogues", "snapshots")
        for path in sorted((store / folder).rglob("*"))
        if path.is_file() and path.name != "report.csv" and path.suffix != ".parquet"
    ]
    assert len(files) > 30
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data + b"\n")
        found = told(verify_store(store))
        path.write_bytes(data)
        name = path.relative_to(store).as_posix()
        # A snapshot is named by its rows; JSON with an empty line more says the same.
        if path.parent.name == "snapshots":
            assert found == []
        else:
            assert ("changed", name) in found
            assert {status for status, _ in found} == {"changed"}
    assert verify_store(store).ok


def test_what_is_missing_is_named(store):
    """A shard, a descriptor, an index, a snapshot, a catalogue, a repository."""
    shard = next(path for path in sorted(store.rglob("releases/2024.1.0/rat/files/*.csv")))
    snapshot = store / "snapshots" / f"{Store.open(store).release('2024.1.0').snapshot}.parquet"
    gone = [
        shard,
        store / "releases/2024.1.0/mouse/datapackage.json",
        store / "releases/2024.1.0/report.csv",
        snapshot,
        store / "git/mouse.git",
    ]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = told(verify_store(store))
    assert {("missing", path.relative_to(store).as_posix()) for path in gone} <= set(found)
    assert {status for status, _ in found} == {"missing"}
    told_of = {finding.path: finding.note for finding in verify_store(store).findings}
    name = snapshot.relative_to(store).as_posix()
    assert told_of[name] == f"{store} lacks {name}, which its index names: restore it from a copy"
    (store / "releases/2024.2.0/index.json").unlink()
    found = verify_store(store)
    assert ("missing", "releases/2024.2.0/index.json") in told(found)


def test_a_pipe_in_a_files_place_is_not_waited_for(store):
    """Whoever put it there."""
    path = store / "releases/2024.1.0/rat/datapackage.json"
    path.unlink()
    os.mkfifo(path)
    assert told(verify_store(store)) == [("changed", "releases/2024.1.0/rat/datapackage.json")]


def test_rows_of_a_snapshot_are_bound_by_its_id(store):
    """A snapshot of the same name with another row in it."""
    opened = Store.open(store)
    path = opened.snapshot_path(opened.release("2024.1.0").snapshot)
    snapshot_of("Rat/forged").write(path)
    result = verify_store(store)
    assert told(result) == [("changed", path.relative_to(store).as_posix())]


def test_packs_are_checked_by_their_list(store):
    """A pack or index that is other than it was released is named, and so is a list that is."""
    folder = repository_of(store, "rat") / "objects" / "pack"
    index = min(folder.glob("*.idx"))
    git(folder, "index-pack", "--index-version=1", "-o", folder / "other.idx", index.with_suffix(".pack"))
    (folder / "other.idx").replace(index)
    result = verify_store(store)
    assert told(result) == [("changed", f"git/rat.git/objects/pack/{index.name}")]
    packs = store / "releases" / "2024.2.0" / "packs.json"
    packs.write_bytes(packs.read_bytes() + b" ")
    assert told(verify_store(store)) == [("changed", "releases/2024.2.0/packs.json")]
    packs.unlink()
    assert told(verify_store(store)) == [("missing", "releases/2024.2.0/packs.json")]


def test_a_repacked_store_is_sound(store):
    """What a steward's `git gc` made of packs is no fault: it is said that clones take longer until the next release."""
    git(repository_of(store, "rat"), "gc", "--quiet", "--prune=now")
    result = verify_store(store)
    assert told(result) == []
    assert [note for note in result.notes if "packed anew since the last release: git/rat.git;" in note]


def test_git_is_the_judge_of_its_objects(store):
    """A byte of a pack flipped: git fsck's own words, with the repository; and the pack is named."""
    pack = max((repository_of(store, "rat") / "objects" / "pack").glob("*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(bytes(data))
    result = verify_store(store)
    assert ("changed", "git/rat.git") in told(result)
    assert any("git fsck: " in finding.note for finding in result.findings)
    assert [finding.path for finding in result.findings].count("git/rat.git") == 1
    assert {finding.path.split(" ")[0] for finding in result.findings} == {
        "git/rat.git",
        f"git/rat.git/objects/pack/{pack.name}",
    }


def test_refs_are_where_the_releases_left_them(store):
    """Moved, deleted, of somebody else; and what web clients are told of them."""
    repository = repository_of(store, "rat")
    first = dataset(store, "Rat", "2024.1.0").written.commits.main
    last = dataset(store, "Rat").written.commits
    git(repository, "update-ref", "refs/heads/main", first)
    git(repository, "update-ref", "-d", "refs/tags/2024.1.0")
    git(repository, "update-ref", "refs/heads/mine", last.main)
    result = verify_store(store)
    assert told(result) == [
        ("changed", "git/rat.git refs/heads/main"),
        ("extra", "git/rat.git refs/heads/mine"),
        ("missing", "git/rat.git refs/tags/2024.1.0"),
    ]
    assert (result.findings[0].expected, result.findings[0].found) == (last.main, first)
    git(repository, "update-ref", "-d", "refs/heads/mine")
    forged = git(repository, "mktag", data=tag_body(commit=last.main, name="2024.1.0", time=0)).decode().strip()
    git(repository, "update-ref", "refs/tags/2024.1.0", forged)
    assert ("changed", "git/rat.git refs/tags/2024.1.0") in told(verify_store(store))


def test_a_stewards_own_upkeep_harms_nothing(store):
    """Packed refs, collected garbage, repacked objects; but what the web is told must be refreshed with it."""
    repository = repository_of(store, "rat")
    git(repository, "gc", "--quiet", "--prune=now")
    assert verify_store(store).ok
    spoil(repository / "info" / "refs", b"refs/heads/main", b"refs/heads/mein")
    result = verify_store(store)
    assert told(result) == [("changed", "git/rat.git refs/heads/main")]
    assert "git update-server-info" in result.findings[0].note
    git(repository, "update-server-info")
    assert verify_store(store).ok


def test_what_no_release_knows_of_is_told_and_harmless(store):
    """Notes of the steward's, the snapshot of a draft, a repository beside."""
    build(snapshot_of("Rat/draft"), catalogue_of(), store)
    (store / "NOTES.txt").write_text("mine")
    (store / "releases/2024.1.0/rat/mine").write_text("mine")
    result = verify_store(store)
    assert result.ok
    paths = [finding.path for finding in result.findings]
    assert [path for path in paths if not path.startswith("snapshots/")] == ["NOTES.txt", "releases/2024.1.0/rat/mine"]
    assert len([path for path in paths if path.startswith("snapshots/")]) == 2
    assert result.notes == ("the draft of the next release was not looked at",)


def test_an_interrupted_release_is_no_fault(store, monkeypatch):
    """It is told, with what finishes it."""
    build(snapshot_of("Rat/a", "Rat/Cortex/b", "Mouse/c", "top"), catalogue_of(), store)

    def killed(*_words, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        release("2024.3.0", store)
    monkeypatch.undo()
    result = verify_store(store)
    assert result.ok
    assert "run opendata release 2024.3.0 again" in result.notes[0]
    release("2024.3.0", store)
    assert verify_store(store).ok


def test_rebuilding_gives_the_same_commits_and_texts(store, tmp_path):
    """All datasets of all releases, in a scratch folder that is gone afterwards; the store is not written to."""
    before = state_of(store)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    result = verify_by_rebuilding(store, scratch=scratch)
    assert told(result) == []
    assert result.counts[Status.OK] == verify_store(store).counts[Status.OK] + 8
    assert "a rebuild of its releases" in result.against
    assert list(scratch.iterdir()) == []
    assert state_of(store) == before


def test_a_store_of_format_one_can_be_built_again(tmp_path):
    """The committed one, made when the format was."""
    with lzma.open(FORMAT_ONE) as data, tarfile.open(fileobj=data) as archive:
        # As `filter="data"`, which the first releases of Python 3.11 do not know.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)  # noqa: S202 - our own file
    (store,) = [path.parent for path in tmp_path.rglob("index.json") if (path.parent / "git").is_dir()]
    result = verify_by_rebuilding(store)
    assert result.ok, str(result)


def test_a_forged_commit_is_found_only_by_rebuilding(store):
    """A store whose digests all fit, made with other commits than its inputs give: named by dataset and version."""
    repository = repository_of(store, "mouse")
    commits = dataset(store, "Mouse").written.commits
    body = git(repository, "cat-file", "commit", commits.main).replace(b"State of the branch", b"Forged")
    old, new = commits.main, git(repository, "hash-object", "-t", "commit", "-w", "--stdin", data=body).decode().strip()
    assert old != new
    index = json.loads((store / "index.json").read_bytes())
    for entry in index["releases"]:
        path = store / entry["index"]
        text = path.read_text(encoding="utf-8").replace(old, new)
        path.write_text(text, encoding="utf-8")
        entry["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (store / "index.json").write_text(json.dumps(index), encoding="utf-8")
    git(repository, "update-ref", "refs/heads/main", new)
    tag = git(repository, "mktag", data=tag_body(commit=new, name="2024.1.0", time=commits.time)).decode().strip()
    git(repository, "update-ref", "refs/tags/2024.1.0", tag)
    git(repository, "update-server-info")
    assert told(verify_store(store)) == []
    result = verify_by_rebuilding(store)
    assert told(result) == [("changed", "Mouse@2024.1.0"), ("changed", "Mouse@2024.2.0")]
    assert (result.findings[0].expected, result.findings[0].found) == (new, old)


def test_texts_that_nothing_binds_are_compared_in_a_rebuild(store):
    """The report of what was left out."""
    spoil(store / "releases/2024.1.0/report.csv", b"scratch", b"forgery")
    assert verify_store(store).ok
    assert told(verify_by_rebuilding(store)) == [("changed", "releases/2024.1.0/report.csv")]


def test_nothing_is_rebuilt_from_inputs_that_are_broken(store):
    """What comes out would say nothing; it is said that it was not tried."""
    opened = Store.open(store)
    opened.snapshot_path(opened.release("2024.1.0").snapshot).unlink()
    result = verify_by_rebuilding(store)
    assert [finding.status for finding in result.findings] == [Status.MISSING]
    assert "nothing was built again" in result.notes[-1]


def test_a_read_only_store_of_somebody_elses_is_verified(store):
    """Nothing is written, so nothing need be writable."""
    for path in [store, *store.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    assert verify_store(store).ok


def test_no_store_and_a_broken_index_are_errors(tmp_path, store):
    """Not findings: there is nothing to check by."""
    with pytest.raises(NotFoundError, match="no store at"):
        verify_store(tmp_path / "nothing")
    spoil(store / "index.json", b'"format"', b'"farmot"')
    with pytest.raises(InputError, match=r"index\.json"):
        verify_store(store)


def test_the_command_verifies_stores(store):
    """Status and JSON; `--rebuild` says that it did."""
    status, out, _ = opendata("verify", "--store", store, "--json")
    document = json.loads(out)
    assert (status, document["ok"], document["findings"]) == (0, True, [])
    (store / "git/mouse.git/HEAD").unlink()
    status, out, _ = opendata("verify", "--store", store, "--rebuild")
    assert status == 1
    assert "git/mouse.git" in out
    assert "against its own index, and a rebuild of its releases" in out.splitlines()[-1]
