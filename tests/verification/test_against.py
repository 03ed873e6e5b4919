"""Copies that somebody has, against a dataset, a bucket or a snapshot; and the command itself."""

import json
import shutil
from pathlib import Path

import pytest

from opendata_pkg.digests.findings import Status
from opendata_pkg.plan.selection import Rules
from opendata_pkg.verification.verifying import verify
from tests.core_support import entry_of, opendata, publish, snapshot_of
from tests.lock_support import BASE, lock_of, locked

KEYS = ("Rat/a.swc", "Rat/Cortex/b%c.swc", "Rat/Cortex/notes", "Rat/Cortex/notes/inner.txt", "Mouse/d", "top")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Where one stands: nothing is there but what the test makes."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def store(tmp_path):
    """A store whose files hold their own keys; one has no digest."""
    publish(
        tmp_path / "store", "1.0.0", snapshot_of(*KEYS, entry_of("Mouse/none", "?", known=None)), allow_undigested="**"
    )
    return str(tmp_path / "store")


def fill(folder, names):
    """Files by name → the key whose content they have."""
    for name, key in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(key)
    return folder


def told(result):
    """The findings as (status, path, where it was found)."""
    return [(finding.status.value, finding.path, finding.found_at) for finding in result.findings]


def test_copies_below_the_branch(store, tmp_path):
    """Paths are relative to the branch that was named; objects whose path is not their key go by either."""
    names = {
        "a.swc": KEYS[0],
        "Cortex/b%c.swc": KEYS[1],
        "Cortex/notes%file": KEYS[2],
        "Cortex/notes/inner.txt": KEYS[3],
    }
    result = verify(fill(tmp_path / "copy", names), against="Rat", store=store)
    assert result.ok
    assert result.counts == {Status.OK: 3, Status.RENAMED: 1}
    assert told(result) == [("renamed", "Cortex/b%25c.swc", "Cortex/b%c.swc")]
    assert result.against == "Rat"


def test_copies_of_the_whole_tree_and_of_a_folder(store, tmp_path):
    """Whichever part of the tree somebody has copied: most files decide, and none is called renamed for it."""
    whole = fill(tmp_path / "whole", {"Rat/a.swc": KEYS[0], "Rat/Cortex/b%25c.swc": KEYS[1]})
    result = verify(whole, against="Rat", store=store, rules=Rules(include=("*.swc",)))
    assert (told(result), result.counts) == ([], {Status.OK: 2})
    folder = fill(tmp_path / "folder", {"inner.txt": KEYS[3], "notes%file": "not it"})
    result = verify(folder, against="Rat:Cortex/notes/inner.txt", store=store)
    assert told(result) == [("extra", "notes%file", None)]
    assert result.counts[Status.OK] == 1


def test_copies_under_names_of_their_own(store, tmp_path):
    """What is not in its place is found by its digest, wherever it is; what is not there at all is missing."""
    copy = fill(tmp_path / "copy", {"mine/1": KEYS[0], "mine/2": KEYS[3], "mine/3": "something else"})
    result = verify(copy, against="Rat", store=store)
    assert told(result) == [
        ("missing", "Cortex/b%25c.swc", None),
        ("missing", "Cortex/notes%file", None),
        ("renamed", "Cortex/notes/inner.txt", "mine/2"),
        ("renamed", "a.swc", "mine/1"),
        ("extra", "mine/3", None),
    ]
    assert not result.ok


def test_files_without_a_digest_are_unverifiable(store, tmp_path):
    """Their sizes are compared, and it is said that no more could be."""
    copy = fill(tmp_path / "copy", {"none": "!", "d": "Mouse/d"})
    result = verify(copy, against="Mouse", store=store)
    assert told(result) == [("unverifiable", "none", None)]
    assert result.ok


def test_a_snapshot_and_rules(tmp_path):
    """A snapshot's file in place of a store; sizes and globs choose what is to be there."""
    snapshot_of("p/q/a.swc", "p/q/b.txt").write(tmp_path / "s.parquet")
    copy = fill(tmp_path / "copy", {"a.swc": "p/q/a.swc"})
    against = str(tmp_path / "s.parquet")
    assert told(verify(copy, against=against)) == [("missing", "b.txt", None)]
    result = verify(copy, against=against, rules=Rules(include=("*.swc",)))
    assert (result.ok, result.counts) == (True, {Status.OK: 1})


def test_keys_that_would_lead_out_of_the_folder(tmp_path):
    """A key of dots, or one that begins with a slash, is a name in the folder or none."""
    snapshot_of("../../secret", "/etc/hostname", "a/../b").write(tmp_path / "s.parquet")
    (tmp_path / "secret").write_text("../../secret")
    copy = fill(tmp_path / "x" / "copy", {"unrelated": "x"})
    result = verify(copy, against=str(tmp_path / "s.parquet"))
    assert result.counts == {Status.MISSING: 3, Status.EXTRA: 1}


@pytest.mark.s3
def test_straight_from_a_bucket(s3_server, tmp_path):
    """No store: the bucket as it is now; copies as `aws s3 sync` makes them, relative to the prefix."""
    s3_server.make_bucket("verify-copies")
    client = s3_server.client()
    for key in KEYS:
        client.put_object(Bucket="verify-copies", Key=key, Body=key.encode())
    copy = fill(tmp_path / "copy", {"b%c.swc": KEYS[1], "notes/inner.txt": "changed since: of another length"})
    result = verify(copy, against="s3://verify-copies/Rat/Cortex", endpoint_url=s3_server.endpoint_url)
    found = {finding.path: finding.status for finding in result.findings}
    assert found["notes/inner.txt"] is Status.CHANGED
    assert found["notes%file"] is Status.MISSING


def test_the_command_in_words(store, tmp_path):
    """One line a finding, then a sentence of totals; the store may be named in the environment; nothing on stderr."""
    copy = fill(tmp_path / "copy", {"d": "Mouse/x", "none": "?", "new\nline": ""})
    status, out, err = opendata("verify", copy, "--against", "Mouse", "--store", store)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        ["changed", "d"],
        ["extra", "new%0Aline"],
        ["unverifiable", "none"],
    ]
    assert lines[-1] == (
        f"checked 2 files of {copy} against Mouse, 0 bytes as recorded: 1 without a digest, 1 extra, 1 changed"
    )


def test_the_command_as_json(store, tmp_path, monkeypatch):
    """One document, exact names; selection options; `OPENDATA_STORE` names the store of --against."""
    monkeypatch.setenv("OPENDATA_STORE", store)
    copy = fill(tmp_path / "copy", {"a.swc": KEYS[0]})
    words = (
        "verify",
        copy,
        "--against",
        "Rat@1.0.0",
        "--include",
        "*.swc",
        "--exclude",
        "Cortex/",
        "--json",
        "-j",
        "1",
    )
    status, out, _ = opendata(*words)
    assert status == 0
    document = json.loads(out)
    assert document["counts"]["ok"] == document["checked"] == 1
    assert document["bytes"] == len(KEYS[0])
    assert (document["target"], document["against"]) == (str(copy), "Rat@1.0.0")


def test_the_environments_store_is_not_what_is_verified(store, tmp_path, monkeypatch):
    """With a lock here, the lock counts, whatever OPENDATA_STORE says."""
    monkeypatch.setenv("OPENDATA_STORE", store)
    path = tmp_path / "here" / "opendata.lock"
    path.write_text(lock_of(locked("a", content=b"x", urls=(f"{BASE}a",))).dump(), encoding="utf-8")
    fill(tmp_path / "here" / "data", {"a": "x"})
    status, out, _ = opendata("verify")
    assert (status, out) == (0, "checked 1 file of data against opendata.lock, 1 byte as recorded: 1 as recorded\n")
    shutil.rmtree("data")
    status, out, err = opendata("verify")
    assert (status, out) == (4, "")
    assert "there is no folder data" in err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--against", "Rat", "--lock", "x"), 2, "expected one of --lock"),
        (("--include", "*.swc"), 2, "choose files of --against"),
        (("--rebuild",), 2, "name it with --store"),
        ((), 4, "nothing says what should be in the files here"),
        (("--store", "nowhere"), 4, "no store at nowhere"),
        (("--lock", "nowhere.lock"), 4, "no lock at nowhere.lock"),
        (("nowhere", "--against", "Rat"), 4, "there is no folder nowhere"),
        ((".", "--against", "Rta"), 4, "Rta"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_a_status(words, status, sentence, store, monkeypatch):
    """As docs/reference/exit-status.md has them."""
    if "--against" in words:
        monkeypatch.setenv("OPENDATA_STORE", store)
    found, out, err = opendata("verify", *words)
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert sentence in err
    assert list(Path.cwd().iterdir()) == []
