"""Random chains of releases: what git shows of each is what a plain model, which shares no code, says it must be."""

import csv
import io
import json
import random
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opendata_pkg.building import crew
from opendata_pkg.building.build import build, snapshot_for
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.dataset import inventory
from opendata_pkg.snapshot import storage
from tests.core_support import every_ref, git, git_text, published, snapshot_of
from tests.histories import History
from tests.plain_model import Model


def catalogue_of(given):
    """The catalogue as a file."""
    branches = {
        one.path: {"name": one.name, "uuid": one.uuid, "title": one.title, "formerly": list(one.formerly)}
        for one in given.branches
        if one.path
    }
    root = given.branches[0]
    document = {
        "format": 1,
        "id": "example",
        "epoch": f"{datetime.fromtimestamp(given.epoch, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "name": root.name,
        "uuid": root.uuid,
        "title": root.title,
        "ignore": [{"prefix": prefix, "reason": "scratch"} for prefix in given.ignore],
        "branches": branches,
    }
    return Catalogue.parse(json.dumps(document).encode(), "catalogue.yaml")


def built(store, given, **options):
    """Build from these inputs, read as commands read them."""
    snapshot = snapshot_of(*given.objects.values(), base_url=given.base)
    file = store.with_name("snapshot.parquet")
    snapshot.write(file)
    snapshot = snapshot_for(store, file)
    return build(snapshot, catalogue_of(given), store, allow_undigested="**", **options)


def tree_of(repository, commit):
    """Every path of a commit → (mode, content; the commit of a subdataset)."""
    listing = git(repository, "ls-tree", "-r", "-z", "--full-tree", commit).decode()
    entries = [(*meta.split(" "), path) for meta, path in (line.split("\t", 1) for line in listing.split("\0") if line)]
    ids = "".join(f"{raw}\n" for _, kind, raw, _ in entries if kind == "blob")
    data, start, blobs = git(repository, "cat-file", "--batch", data=ids.encode()), 0, []
    while start < len(data):
        end = data.index(b"\n", start)
        size = int(data[start:end].split()[2])
        blobs.append(data[end + 1 : end + 1 + size])
        start = end + size + 2
    found = iter(blobs)
    return {path: (mode, raw if kind == "commit" else next(found)) for mode, kind, raw, path in entries}


def check_release(store, version, wanted, left, model, before):
    """Compare a release with what the model says; returns the release's datasets, by id."""
    index = json.loads((store / "releases" / version / "index.json").read_bytes())
    found = index["datasets"]
    assert {entry["name"]: path for path, entry in found.items()} == {
        name: one.path or "." for name, one in wanted.items()
    }
    assert sum(index["left_out"].values()) == left
    entries = {entry["name"]: entry for entry in found.values()}
    for name, one in wanted.items():
        check_dataset(store, entries[name], one, entries, before.get(entries[name]["id"]))
        model.settle(entries[name]["id"], entries[name]["time"])
    return {entry["id"]: entry for entry in entries.values()}


def check_dataset(store, entry, wanted, entries, before):
    """Compare one dataset."""
    repository = store / "git" / f"{entry['name']}.git"
    tree = tree_of(repository, entry["commit"])
    assert {path: data.decode() for path, (mode, data) in tree.items() if mode == "120000"} == wanted.links
    mounts = {path: raw for path, (mode, raw) in tree.items() if mode == "160000"}
    assert mounts == {path: entries[name]["commit"] for path, name in wanted.mounts.items()}
    logs = {path: data.decode() for path, (_, data) in tree_of(repository, entry["annex_commit"]).items()}
    assert logs == wanted.logs
    shards = [data.decode() for path, (_, data) in sorted(tree.items()) if path.startswith("_opendata/files/")]
    rows = [row for shard in shards for row in csv.DictReader(io.StringIO(shard, newline=""))]
    assert sorted(rows, key=lambda row: row["path"].encode()) == wanted.rows
    artefacts = Path(store, entry["artefacts"])
    assert sorted(path.read_bytes() for path in artefacts.glob("files/*.csv")) == sorted(s.encode() for s in shards)
    assert (f"sha256:{wanted.digest[0]}", *wanted.digest[1:]) == tuple(
        entry[name] for name in ("content_digest", "undigested", "files", "bytes")
    )
    assert (f"sha256:{wanted.subtree[0]}", *wanted.subtree[1:]) == tuple(
        entry[f"subtree_{name}"] for name in ("digest", "undigested", "files", "bytes")
    )
    assert {grade: count for grade, count in entry["grades"].items() if count} == wanted.grades
    for name in ("commit", "annex_commit"):
        show = git_text(repository, "show", "-s", "--format=%T %P %ct %at", entry[name]).split(" ")
        if before is not None and entry[name] == before[name]:
            continue
        parent = "" if before is None else before[name]
        assert show[1:] == [parent, str(wanted.time), str(wanted.time)]
        assert before is None or git_text(repository, "show", "-s", "--format=%T", before[name]) != show[0]
    is_new = before is None or (entry["commit"], entry["annex_commit"]) != (before["commit"], before["annex_commit"])
    assert entry["time"] == (wanted.time if is_new else before["time"])


def write_history(seed, store, judge, jobs):
    """Build and release a history, with what people do in between; `judge` is called after each release."""
    dice = random.Random(~seed)
    history = History(seed)
    for number, given in enumerate(history.releases(), start=1):
        if dice.random() < 0.3:
            other = replace(
                given,
                objects={key: entry for key, entry in given.objects.items() if dice.random() < 0.8} or given.objects,
            )
            built(store, other, dry_run=dice.random() < 0.3)
        for _ in range(dice.choice([1, 1, 1, 2])):
            built(store, given, jobs=jobs)
        version = f"{number}.0.0"
        release(version, store)
        judge(version, given)


def run(seed, folder, monkeypatch, *, jobs=1):
    """One history, judged by the model, by git, and by a store that looks at everything in each release."""
    if jobs == 1:
        # So that even few files stand in several shards, and their rows in several groups.
        monkeypatch.setattr(inventory, "_MEAN_ROWS", 3)
    monkeypatch.setattr(storage, "_LEAST_ROWS", 1)
    monkeypatch.setattr(storage, "_MORE_ROWS", 3)
    monkeypatch.setattr(crew, "_MANY_FILES", 0)
    model, before, chain = Model(), {}, []

    def judge(version, given):
        nonlocal before
        wanted, left = model.release(given)
        before = check_release(folder / "store", version, wanted, left, model, before)
        chain.append(given)

    write_history(seed, folder / "store", judge, jobs)
    for repository in (folder / "store" / "git").iterdir():
        assert git_text(repository, "fsck", "--strict", "--full", "--no-dangling") == ""
    with monkeypatch.context() as patch:
        patch.setattr(crew._Drafts, "_little", lambda *_: None)
        patch.setattr(crew.Before, "has_same_names", lambda *_: False)
        patch.setattr(crew, "_known_subtree", lambda *_: None)
        for number, given in enumerate(chain, start=1):
            built(folder / "whole", given, jobs=1)
            release(f"{number}.0.0", folder / "whole")
    assert every_ref(folder / "whole") == every_ref(folder / "store")
    ours, theirs = (texts(folder / name) for name in ("store", "whole"))
    assert ours == theirs
    return model


def texts(store):
    """What is promised to be the same; not the inputs of builds that were never released."""
    return {
        name: data
        for name, data in published(store).items()
        if not name.startswith(("snapshots/", "catalogues/"))
        and not name.endswith(("objects/info/packs", "opendata-superseded"))
    }


# Those that tell most, of the first: each finds a defect that the others pass over, put in by hand.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 6, 11, 14, 15])
def test_any_history_is_what_the_model_says(tmp_path, monkeypatch, seed):
    """Every link, log line, inventory row, digest, gitlink, time and parent, in every release."""
    run(seed, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_histories(tmp_path, monkeypatch, seed):
    """The same of more of them."""
    run(seed, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 202))
def test_histories_by_several_processes(tmp_path, monkeypatch, seed):
    """Every dataset is written by two processes, and is what one process makes of it."""
    run(seed, tmp_path, monkeypatch, jobs=2)


def test_git_annex_is_offered_what_the_model_says(tmp_path, monkeypatch):
    """In clones of the last release, stock git-annex names those URLs of every key that there ever was, and no others."""
    model = run(3, tmp_path, monkeypatch)
    assert sum(map(len, model.webs.values())) > 20
    for branch in model.released.values():
        clone = tmp_path / branch.name
        git(tmp_path, "clone", "--quiet", tmp_path / "store" / "git" / f"{branch.name}.git", clone)
        git(clone, "config", "user.name", "A reader")
        git(clone, "config", "user.email", "reader@example.org")
        git(clone, "annex", "init", "--quiet", "--no-autoenable")
        # Its status tells that of some keys there is no copy.
        told = subprocess.run(
            ["git", "annex", "whereis", "--all", "--json"], cwd=clone, capture_output=True, check=False
        )
        found = {
            line["key"]: sorted(url for place in line["whereis"] for url in place["urls"])
            for line in map(json.loads, told.stdout.splitlines())
        }
        assert found == {
            key: sorted(url for url, (_, offered) in urls.items() if offered)
            for key, urls in model.webs[branch.uuid].items()
        }
