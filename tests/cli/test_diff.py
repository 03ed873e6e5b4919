"""`opendata diff`: what a person sees, what a script reads, and the exit status."""

from __future__ import annotations

import json

import pytest

from tests.core_support import entry_of, opendata, publish, snapshot_of

BEFORE = (entry_of("Mouse/c", "cc"), entry_of("Rat/a", "a"), entry_of("Rat/b", known="md5"), entry_of("Rat/d e", "d"))
AFTER = (entry_of("Mouse/x", "cc"), entry_of("Rat/a", "aa"), entry_of("Rat/b", known="both"), entry_of("Rat/f", "fff"))


@pytest.fixture
def words(tmp_path):
    """Two snapshots."""
    snapshot_of(*BEFORE).write(tmp_path / "a.parquet")
    snapshot_of(*AFTER).write(tmp_path / "b.parquet")
    return tmp_path / "a.parquet", tmp_path / "b.parquet"


def test_a_small_diff_is_every_change_and_the_totals(words):
    """In the order of the paths, with what is other."""
    status, text, said = opendata("diff", *words)
    assert (status, said) == (0, "")
    assert text == (
        "moved     Mouse/c → Mouse/x  (2 B)\n"
        "changed   Rat/a  (1 B → 2 B)\n"
        "regraded  Rat/b  (1 B)\n"
        "removed   Rat/d e  (1 B)\n"
        "added     Rat/f  (3 B)\n"
        "\n"
        "1 added (3 B), 1 removed (1 B), 1 changed (2 B), 1 moved (2 B), 1 regraded (1 B); 0 the same: "
        f"{words[0]} → {words[1]}\n"
    )


def test_a_large_diff_stays_readable(tmp_path):
    """Figures by folder first, then a few examples, and where the rest is."""
    keys = [f"Rat/{folder:02}/{sub}/{number}" for folder in range(10) for sub in range(5) for number in range(8)]
    snapshot_of("Rat/same").write(tmp_path / "a.parquet")
    snapshot_of("Rat/same", *keys).write(tmp_path / "b.parquet")
    status, text, _ = opendata("diff", tmp_path / "a.parquet", tmp_path / "b.parquet")
    lines = text.splitlines()
    assert status == 0
    assert len(lines) < 60
    assert [word for line in lines[:3] for word in line.split()] == [
        "folder", "added", "new", "gone", "Rat/00/", "40", "400", "B", "Rat/01/", "40", "400", "B",
    ]  # fmt: skip
    assert "and 385 more: all with --jsonl, or --json" in lines
    assert lines[-1].startswith("400 added (4.0 kB); 1 the same")


def test_figures_only(words):
    """By dataset if there are several, and by folder; no files."""
    text = opendata("diff", *words, "--stat")[1]
    assert "Mouse/  " in text
    assert "Rat/a" not in text
    document = json.loads(opendata("diff", *words, "--stat", "--json")[1])
    assert [one["where"] for one in document["folders"]] == ["Mouse/", "Rat/"]
    assert [one["where"] for one in document["datasets"]] == ["."]
    assert "changes" not in document


def test_datasets_of_a_store(tmp_path):
    """Figures by dataset, where releases know them."""
    publish(tmp_path / "store", "1.0.0", snapshot_of(*BEFORE))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*AFTER))
    text = opendata("diff", ".@1.0.0", ".@1.1.0", "--stat", "--store", tmp_path / "store")[1]
    assert [line.split()[0] for line in text.splitlines()[:3]] == ["dataset", "Mouse", "Rat"]


def test_scripts_read_json(words):
    """One document, or one change a line; the same changes."""
    document = json.loads(opendata("diff", *words, "--json")[1])
    lines = [json.loads(line) for line in opendata("diff", *words, "--jsonl")[1].splitlines()]
    assert document["changes"] == lines
    assert [line["change"] for line in lines] == ["moved", "changed", "regraded", "removed", "added"]
    assert lines[0]["moved_from"] == "Mouse/c"
    assert document["totals"]["changed"] == {"files": 1, "bytes": 2}
    assert document["before"]["word"] == str(words[0])
    assert document["same"] == 0


def test_exit_status(words):
    """1 if asked for and anything differs, 0 otherwise; 3 and 4 for what cannot be compared."""
    assert opendata("diff", *words, "--exit-code")[0] == 1
    assert opendata("diff", words[0], words[0], "--exit-code")[:2] == (
        0,
        f"no differences; 4 the same: {words[0]} → {words[0]}\n",
    )
    assert opendata("diff", words[0], "nowhere.parquet")[0] == 4
    assert opendata("diff", words[0], words[1], "--include", "!")[0] == 2
