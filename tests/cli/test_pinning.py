"""`opendata pin`, `unpin` and `sync` as people and scripts use them: words, exit statuses, what is asked."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.core_support import entry_of, opendata, publish, snapshot_of

KEYS = ("Rat/a.swc", "Rat/b.asc", "Mouse/c.swc")


@pytest.fixture
def store(tmp_path, static_server, monkeypatch):
    """A store with two releases of a bucket; tests stand in an empty folder."""
    bucket = tmp_path / "bucket"
    for key in KEYS:
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_text(key)
    url = f"{static_server(bucket)}/"
    publish(tmp_path / "store", "2024.1.0", snapshot_of(*KEYS, base_url=url))
    publish(tmp_path / "store", "2024.2.0", snapshot_of(*KEYS[1:], entry_of("Rat/new.swc", day=3), base_url=url))
    monkeypatch.setenv("OPENDATA_STORE", str(tmp_path / "store"))
    (tmp_path / "paper").mkdir()
    monkeypatch.chdir(tmp_path / "paper")
    return tmp_path / "store"


def test_the_readme_way(store):
    """Pin, sync, sync again, unpin, sync: what each prints, and where the files are."""
    status, out, err = opendata("pin", "Rat@2024.1.0", "--include", "*.swc")
    assert (status, out.splitlines()[0]) == (0, "pinned 1 file, 9 B of Rat@2024.1.0 as Rat in opendata.lock")
    assert out.splitlines()[-1] == "next: opendata sync"
    assert "warning: 1 of 1 file can be overwritten in the bucket" in err
    assert opendata("sync")[:2] == (0, "1 file in data: 1 downloaded (9 B)\n")
    assert opendata("sync")[:2] == (0, "1 file in data: 1 there already\n")
    status, out, _ = opendata("unpin", "Rat")
    assert (status, out) == (0, "took Rat with 1 file out of opendata.lock; left: 0 files\n")
    assert opendata("sync")[:2] == (0, "0 files in data: 1 removed\n")


def test_json(store):
    """With --json, stdout is one document."""
    pinned = json.loads(opendata("pin", "Rat@2024.1.0", "--as", "rats", "--json")[1])
    assert (pinned["selection"], pinned["files"], pinned["grades"]) == ("rats", 2, {"fixed": 0, "verifiable": 2})
    synced = json.loads(opendata("sync", "--to", "elsewhere", "--json")[1])
    assert (synced["folder"], synced["downloaded"], synced["failed"]) == ("elsewhere", 2, [])
    assert json.loads(opendata("unpin", "rats", "--json")[1])["left"] == 0


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("pin", "Rat@2024.2.0"), 3, "pinned at version 2024.1.0, and version 2024.2.0 was asked for"),
        (("pin", "Rat@2024.2.0", "--update"), 2, "say --yes, or run this in a terminal"),
        (("pin", "Rat@2024.2.0", "--as", "a/b"), 2, "expected a name of letters"),
        (("pin", "Rat@2024.1.0", "--as", "x", "--include", "*.swk"), 4, "no file of Rat@2024.1.0 matches"),
        (("pin", "Rot"), 4, "no branch 'Rot'"),
        (("unpin", "Mouse"), 4, "no selection 'Mouse' in opendata.lock: it has Rat"),
        (("sync", "--lock", "other.lock"), 4, "no lock at other.lock: make one with: opendata pin"),
        (("sync", "--from", "nowhere"), 4, "no folder nowhere"),
        (("sync", "--to", "fresh", "--offline"), 5, "2 of 2 files could not be brought:"),
    ],
)
def test_refusals(store, words, status, sentence):
    """Each refusal has its exit status and says what to type instead; the lock stays as it is."""
    opendata("pin", "Rat@2024.1.0")
    before = (store.parent / "paper" / "opendata.lock").read_bytes()
    done = opendata(*words)
    assert (done[0], sentence in done[2]) == (status, True), done
    assert (store.parent / "paper" / "opendata.lock").read_bytes() == before


def test_a_broken_lock(store):
    """A lock edited by hand ends with status 3, its file and its line."""
    opendata("pin", "Rat@2024.1.0")
    lock = store.parent / "paper" / "opendata.lock"
    lock.write_text(lock.read_text().replace('"path": "Rat/b.asc"', '"path": "../b.asc"'))
    status, _, err = opendata("sync")
    line = next(number for number, text in enumerate(lock.read_text().splitlines(), 1) if "../b.asc" in text)
    assert (status, f"error: opendata.lock, line {line}: at $.files[1].path" in err) == (3, True), err


def test_a_file_in_the_way(store):
    """What somebody put there is named with status 3, and left."""
    opendata("pin", "Rat@2024.1.0")
    place = store.parent / "paper" / "data" / "Rat" / "b.asc"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    status, out, err = opendata("sync")
    assert (status, out) == (3, "1 file in data: 1 downloaded (9 B)\n")
    assert "'Rat/b.asc' is another file than the lock names: it was left alone; move it away" in err
    assert place.read_text() == "mine"


def test_update_with_yes(store):
    """--update --yes shows the change on stderr and replaces the selection."""
    opendata("pin", "Rat@2024.1.0")
    status, out, err = opendata("pin", "Rat", "--update", "--yes")
    assert (status, out.splitlines()[0]) == (0, "pinned 2 files, 10 B of Rat@2024.2.0 as Rat in opendata.lock")
    assert "selection Rat: 1 added, 1 removed; 1 the same" in err
    assert "removed  Rat/a.swc" in err


@pytest.mark.parametrize(("answer", "version"), [("y\n", "2024.2.0"), ("\n", "2024.1.0")])
def test_update_asks(store, answer, version):
    """In a terminal an update asks, and takes no answer for no."""
    opendata("pin", "Rat@2024.1.0")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opendata_pkg", "pin", "Rat", "--update"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, answer.encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, err
    assert "Update Rat? [y/N]" in err
    assert ("nothing was changed" in out) == (version == "2024.1.0")
    lock = json.loads((store.parent / "paper" / "opendata.lock").read_bytes())
    assert lock["selections"]["Rat"]["version"] == version
