"""Logs of an update: those that cannot change are left alone, and all are what they would be if each was looked at."""

import random

import pytest

from opendata_pkg.annex import key_of, log_stem
from opendata_pkg.building import crew
from opendata_pkg.git.packs import Packs
from tests.core_support import BASE, entry_of, every_ref, git_text, publish, repository_of, snapshot_of, web_log

STEADY = [entry_of(f"Rat/{number}", f"steady {number}", version=f"s{number}") for number in range(40)]


def release_all(store, snapshots):
    """Release a history of snapshots; the refs after it, where every URL's log can be seen."""
    for number, snapshot in enumerate(snapshots, start=1):
        publish(store, f"{number}.0.0", snapshot, allow_undigested="**")
    return every_ref(store, drafts=False)


def history(choice):
    """Snapshots in which objects of few contents, at few keys, come and go with every kind of version and digest."""
    objects, versions = {}, 0
    for _ in range(choice.randint(3, 8)):
        # Some releases know nothing but real versions, others nothing but overwritable ones.
        kinds = choice.choice([["real"], [None, "null"], ["real", "real", None, "null"]])
        for _ in range(choice.randint(1, 10)):
            key = f"{choice.choice(['Rat', 'Rat/q', 'Mouse'])}/k{choice.randint(0, 6)}{choice.choice(['', '.swc'])}"
            if key in objects and choice.random() < 0.5:
                del objects[key]
                continue
            versions += 1
            kind = choice.choice(kinds)
            objects[key] = entry_of(
                key,
                choice.choice("vvvw"),
                version=f"v{choice.randint(1, versions)}" if kind == "real" else kind,
                known=choice.choice(["sha256", "sha256", "md5", "both", None]),
                day=choice.randint(0, 3),
                etag=choice.choice([None, "e"]),
            )
        yield snapshot_of(*STEADY, *objects.values())


@pytest.mark.parametrize("seed", range(12))
def test_an_update_makes_the_logs_that_looking_at_all_makes(tmp_path, monkeypatch, seed):
    """Copies, more of them than URLs are offered, that go one by one or all at once, versioned or not, and come back."""
    snapshots = list(history(random.Random(seed)))
    refs = release_all(tmp_path / "store", snapshots)
    monkeypatch.setattr(crew._Drafts, "_little", lambda *_: None)
    assert release_all(tmp_path / "all", snapshots) == refs


def copies(versions, *, start=0):
    """Objects of one content, one for each of the versions."""
    return [entry_of(f"Rat/c{number}", "copy", version=version) for number, version in enumerate(versions, start)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["v1"], []),
        (["null"], []),
        ([None], []),
        (["v1", "null"], []),
        (["v1", "null"], ["v1"]),
        ([f"v{number}" for number in range(9)], []),
        ([f"v{number}" for number in range(9)], ["v0"]),
        ([*(f"v{number}" for number in range(9)), None], []),
        ([None] * 9, []),
        ([None] * 9, [None]),
        ([None, "v1", "v2", "v3", "v4", "v5"], [None]),
    ],
)
def test_copies_go_and_come_back(tmp_path, monkeypatch, before, after):
    """What is offered of a content of which some copies, or all, went and came back: the same as if all were looked at."""
    snapshots = [snapshot_of(*STEADY, *copies(versions)) for versions in (before, after, before, [], after)]
    refs = release_all(tmp_path / "store", snapshots)
    monkeypatch.setattr(crew._Drafts, "_little", lambda *_: None)
    assert release_all(tmp_path / "all", snapshots) == refs


def test_the_log_of_a_versioned_file_that_is_gone_stays_unread(tmp_path, monkeypatch):
    """Its versions can still be had, so nothing of its log changes: of all logs only the top folder is looked at."""
    publish(tmp_path, "1.0.0", snapshot_of(*STEADY, *copies(["v1", "v2"])))
    rat = repository_of(tmp_path, "rat")
    annex = git_text(rat, "rev-parse", "git-annex")
    logs = set(git_text(rat, "ls-tree", "-rt", "--format=%(objectname)", "git-annex").splitlines())
    read, plain = [], Packs.read
    monkeypatch.setattr(Packs, "read", lambda packs, raw_id: read.append(raw_id.hex()) or plain(packs, raw_id))
    publish(tmp_path, "2.0.0", snapshot_of(*STEADY[1:]))
    assert git_text(rat, "rev-parse", "git-annex") == annex
    assert git_text(rat, "rev-parse", "git-annex^{tree}") in read
    assert logs.isdisjoint(read)


def test_an_overwritable_file_that_is_gone_is_withdrawn(tmp_path):
    """Nobody is sent to a URL that has nothing, or other bytes by now."""
    gone = copies(["v1", None])
    publish(tmp_path, "1.0.0", snapshot_of(*STEADY, *gone))
    publish(tmp_path, "2.0.0", snapshot_of(*STEADY))
    lines = web_log(tmp_path, "rat", log_stem(key_of(gone[0], "")))
    assert [line.split(" ")[1:] for line in lines] == [["1", f"{BASE}Rat/c0?versionId=v1"], ["0", f"{BASE}Rat/c1"]]
