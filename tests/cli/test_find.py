"""`opendata find` and `opendata versions`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.core_support import dataset, digest_of, entry_of, opendata, publish, snapshot_of

ENTRIES = (entry_of("Rat/Cortex/a b.swc", "12", version="v1"), entry_of("Rat/c.txt", "1234"), entry_of("Mouse/d", "1"))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with two releases, named by the environment."""
    publish(tmp_path / "store", "1.0.0", snapshot_of(ENTRIES[1]))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*ENTRIES))
    monkeypatch.setenv("OPENDATA_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_files_are_listed_with_what_is_known(store):
    """Size, grade, digest, path, a line each; the totals are no part of the result."""
    status, text, said = opendata("find", "Rat")
    assert status == 0
    assert text == (
        f"      2 B  fixed       sha256:{digest_of('12')[:12]}  Rat/Cortex/a b.swc\n"
        f"      4 B  verifiable  sha256:{digest_of('1234')[:12]}  Rat/c.txt\n"
    )
    assert said == "2 files, 6 B\n"
    assert opendata("find", "Rat", "--quiet")[2] == ""


def test_the_home_folder_where_no_shell_has_put_it(store, home, monkeypatch):
    """Behind `=`, in variables, and in arguments that came quoted."""
    (home / "store").symlink_to(store)
    assert opendata("find", "Rat", "--store=~/store")[0] == 0
    monkeypatch.setenv("OPENDATA_STORE", "~/store")
    assert opendata("find", "Rat")[0] == 0
    assert opendata("pin", "Rat", "--as", "rats", "--lock=~/x.lock", "--store=~/store")[0] == 0
    assert (home / "x.lock").is_file()
    assert opendata("verify", "--store=~/store")[0] == 0
    monkeypatch.setenv("OPENDATA_CATALOGUE", "~/none.yaml")
    assert f"no catalogue at {home}/none.yaml" in opendata("tree")[2] + opendata("info")[2]


def test_a_narrow_terminal_has_the_digest_in_one_line(store, monkeypatch):
    """As much of it as there is room for; the path, which comes last, may go on in the next line."""
    here, there = pty.openpty()
    command = [sys.executable, "-m", "opendata_pkg", "find", "Rat:c.txt"]
    subprocess.run(command, stdout=there, stderr=subprocess.PIPE, check=True, env={**os.environ, "COLUMNS": "40"})
    os.close(there)
    line = os.read(here, 1000).decode()
    os.close(here)
    assert line == f"      4 B  verifiable  sha256:{digest_of('1234')[:10]}  Rat/c.txt\r\n"


def test_rules_grades_order_and_limit(store):
    """Globs, sizes, a grade; the largest first."""
    assert opendata("find", ".", "--include", "*.swc", "--format", "paths")[1] == "Rat/Cortex/a b.swc\n"
    assert opendata("find", ".", "--larger", "1B", "--smaller", "3", "--format", "paths")[1] == "Rat/Cortex/a b.swc\n"
    assert opendata("find", ".", "--grade", "fixed", "--format", "paths")[1] == "Rat/Cortex/a b.swc\n"
    _, text, said = opendata("find", ".", "--sort", "size", "--limit", "1", "--format", "paths")
    assert (text, said) == ("Rat/c.txt\n", "3 files, 7 B; the first 1 are shown\n")
    assert opendata("find", ".", "--include", "*.h5")[0] == 4


def test_numbers_beyond_all_sizes(store):
    """More than 64 bits hold is more than any file or count has, not a defect."""
    huge = str(10**30)
    assert opendata("find", ".", "--smaller", huge, "--limit", huge, "--sort", "size", "--format", "paths")[0] == 0
    status, _, said = opendata("find", ".", "--larger", f"{huge}GB")
    assert (status, "no file of .@1.1.0 matches larger" in said) == (4, True)


def test_urls_can_be_handed_to_other_tools(store):
    """Encoded, with their versions."""
    assert opendata("find", "Rat/Cortex", "--format", "urls")[1] == (
        "http://127.0.0.1:9/bucket/Rat/Cortex/a%20b.swc?versionId=v1\n"
    )


def test_scripts_read_json(store):
    """One document with the origin, or one file a line."""
    document = json.loads(opendata("find", "Rat@1.1.0", "--json")[1])
    lines = [json.loads(line) for line in opendata("find", "Rat@1.1.0", "--jsonl")[1].splitlines()]
    assert document["found"] == lines
    assert (document["version"], document["files"], document["bytes"]) == ("1.1.0", 2, 6)
    assert lines[0]["sha256"] == digest_of("12")
    assert lines[0]["url"].endswith("a%20b.swc?versionId=v1")


def test_versions_of_a_dataset(store):
    """Newest first for people, oldest first for scripts; as `info` has them."""
    status, text, _ = opendata("versions", "Rat")
    commits = [dataset(store, "Rat", version).written.commits.main for version in ("1.0.0", "1.1.0")]
    assert status == 0
    assert [line.split() for line in text.splitlines()] == [
        ["version", "date", "files", "size", "commit"],
        ["1.1.0", "2024-01-01", "2", "6", "B", commits[1][:12], "new", "commit"],
        ["1.0.0", "2024-01-01", "1", "4", "B", commits[0][:12], "new", "commit"],
    ]
    document = json.loads(opendata("versions", "Rat", "--json")[1])
    assert [version["commit"] for version in document["versions"]] == commits
    assert document["versions"] == json.loads(opendata("info", "Rat", "--json")[1])["release"]["versions"]
    assert [version["version"] for version in json.loads(opendata("versions", "Mouse", "--json")[1])["versions"]] == [
        "1.1.0"
    ]
    assert len(json.loads(opendata("versions", "--json")[1])["versions"]) == 2


def test_versions_of_what_is_not_there(store, monkeypatch):
    """Exit status 4; what is no word of a store is told so, whether a store is named or not."""
    assert opendata("versions", "Rabbit")[0] == 4
    monkeypatch.delenv("OPENDATA_STORE")
    status, _, said = opendata("versions", "s3://bucket")
    assert (status, "a store's URL goes after --store" in said) == (3, True)
