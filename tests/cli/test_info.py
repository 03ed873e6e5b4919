"""`opendata info`, and `opendata tree` with a store: what a person sees and what a script reads."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.core_support import catalogue_of, publish, snapshot_of

TREE = """\
licenses: [{name: CC-BY-4.0, path: "https://creativecommons.org/licenses/by/4.0/"}]
branches:
  Rat:
    title: Rats
    description: Recordings of rats.
    kind: electrophysiology
    species: [{id: "NCBITaxon:10116", label: Rattus norvegicus}]
    formerly: [Rats]
    branches: {Cortex: {}, Thalamus: {}}
"""


@pytest.fixture
def folder(tmp_path):
    """A store with two releases, and its catalogue as a file."""
    catalogue = catalogue_of(TREE)
    (tmp_path / "c.yaml").write_bytes(catalogue.source_bytes)
    publish(tmp_path / "store", "1.0.0", snapshot_of("Rat/a.abf", "Rat/Cortex/b"), catalogue)
    publish(tmp_path / "store", "1.1.0", snapshot_of("Rat/a.abf", "Rat/Cortex/b", "x"), catalogue)
    return tmp_path


def test_info_of_a_catalogue(run_opendata, folder):
    """Panels as text where no terminal looks: what it is, its terms, links written out."""
    shown = run_opendata("info", "Rats", "--catalogue", "c.yaml").stdout
    assert "─ Rats ─" in shown
    lines = [line.strip("│ ") for line in shown.splitlines()]
    assert "Recordings of rats." in lines
    assert "formerly  Rats" in lines
    assert "branches  Cortex, Thalamus" in lines
    assert "species   Rattus norvegicus <http://purl.obolibrary.org/obo/NCBITaxon_10116>" in lines
    assert "licence   CC-BY-4.0 <https://creativecommons.org/licenses/by/4.0/>" in lines
    assert max(map(len, shown.splitlines())) == 100


def test_info_of_a_release(run_opendata, folder):
    """Files, bytes, grades and commit, and all versions with their dates."""
    shown = run_opendata("info", "Rat", "--store", "store").stdout
    lines = [line.strip("│ ") for line in shown.splitlines()]
    assert "own files       1 file, 9 B" in lines
    assert "with all below  2 files, 21 B" in lines
    assert "grades          1 verifiable" in lines
    assert "1.1.0    2024-01-01      2  21 B" in lines
    assert "1.0.0    2024-01-01      2  21 B  new commit" in lines


def test_info_as_json(run_opendata, folder):
    """The same for scripts: the branch as its descriptor has it, the release, every version."""
    document = json.loads(run_opendata("info", "Rat@1.0.0", "--store", "store", "--json").stdout)
    assert (document["branch"], document["branches"]) == ("Rat", ["Rat/Cortex", "Rat/Thalamus"])
    assert document["descriptor"]["od:kind"] == "electrophysiology"
    release = document["release"]
    assert (release["version"], release["files"], release["subtree_files"]) == ("1.0.0", 1, 2)
    assert [(entry["version"], entry["changed"]) for entry in release["versions"]] == [
        ("1.0.0", True),
        ("1.1.0", False),
    ]
    assert "release" not in json.loads(run_opendata("info", "Rat", "--catalogue", "c.yaml", "--json").stdout)


def test_info_of_a_file(run_opendata, folder):
    """One row of the inventory, wherever below the branch the file is."""
    row = json.loads(run_opendata("info", "Rat:Cortex/b", "--store", "store", "--json").stdout)
    assert (row["branch"], row["key"], row["bytes"], row["version"]) == ("Rat/Cortex", "Rat/Cortex/b", 12, "1.1.0")
    assert "grade: verifiable\n" in run_opendata("info", ":Rat/a.abf", "--store", "store").stdout


def test_info_of_a_folder_and_of_a_snapshot(run_opendata, folder):
    """How much is in it, in words of people; a snapshot needs no store, and one that is named makes no difference."""
    shown = run_opendata("info", "Rat:Cortex", "--store", "store").stdout
    assert "\nrules: path Cortex\n" in shown
    (snapshot, *_) = sorted((folder / "store" / "snapshots").glob("*.parquet"))
    alone = run_opendata("info", snapshot, env={"OPENDATA_STORE": ""}).stdout
    assert re.search(r"^files: [1-9]$", alone, re.MULTILINE)
    assert "rules" not in alone
    assert run_opendata("info", snapshot, "--store", "store").stdout == alone


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            ("info", "Rat/Thalamus", "--store", "store"),
            4,
            ("branch Rat/Thalamus has no objects in version 1.1.0; "
            "the nearest branches that have some are Rat, Rat/Cortex"),
        ),
        (
            ("info", "Rat@1.0.0", "--catalogue", "c.yaml"),
            2,
            "version 1.0.0 is of a store: name it with --store, or leave the version out",
        ),
        (
            ("info", "Rat:a.abf", "--catalogue", "c.yaml"),
            2,
            "the catalogue alone knows no files such as a.abf: name a store with --store",
        ),
        (("info", "Rat@", "--store", "store"), 3, ("expected [BRANCH][@VERSION][:PATH], such as Model_Data@2026.1.0, "
         "got 'Rat@'")),
        (("tree", "Rat", "--store", "nowhere"), 4, ("no store at nowhere: check the path; a steward makes one with "
         "opendata build")),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(run_opendata, folder, words, status, sentence):
    """With what to type instead."""
    done = run_opendata(*words, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"error: {sentence}\n")


def test_the_tree_of_a_store_has_figures(run_opendata, folder):
    """Files and bytes at and below each branch in the release; branches without objects say so."""
    assert run_opendata("tree", "--store", "store").stdout == (
        "example@1.1.0  An example  3 files, 22 B\n"
        "└── Rat  Rats  2 files, 21 B\n"
        "    ├── Cortex  Cortex  1 file, 12 B\n"
        "    └── Thalamus  Thalamus  no objects\n"
    )
    assert run_opendata("tree", "@1.0.0", "--depth", "0", "--store", "store").stdout == (
        "example@1.0.0  An example  2 files, 21 B  … 3 below\n"
    )
    document = json.loads(run_opendata("tree", "Rat@1.0.0", "--store", "store", "--json").stdout)
    assert (document["version"], document["figures"]["files"], document["figures"]["grades"]["verifiable"]) == (
        "1.0.0",
        1,
        1,
    )
    assert [child["figures"] is None for child in document["branches"]] == [False, True]


def test_a_terminal_gets_links(folder):
    """Labels lead to their URLs, and the panel fits the terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opendata_pkg", "info", "Rat", "--catalogue", "c.yaml"]
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm-256color"}
    subprocess.run(command, stdout=theirs, env=environment, check=True, cwd=folder)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "\x1b]8;" in shown
    assert "https://creativecommons.org/licenses/by/4.0/" in shown
    assert "<https://" not in shown
