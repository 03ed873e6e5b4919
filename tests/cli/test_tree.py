"""`opendata tree`: what a person sees and what a script reads."""

import json
import os
import pty
import subprocess
import sys

import pytest

from opendata_pkg.catalogue.branch import default_dataset_id
from opendata_pkg.catalogue.catalogue import shipped_catalogue

CATALOGUE = """\
format: 1
id: example
title: An example
epoch: 2024-01-01T00:00:00Z
branches:
  Rat: {title: "Rats [brown]"}
  Mouse:
    title: Mice
    branches:
      Cortex/Layer_1: {description: The outermost layer.}
      Thalamus:
"""


@pytest.fixture
def file(tmp_path):
    """A small catalogue."""
    path = tmp_path / "c.yaml"
    path.write_text(CATALOGUE, encoding="utf-8")
    return path


def test_the_tree_is_drawn_with_titles(run_opendata, file):
    """Folders as they are in the bucket, sorted, each with its title; plain text when no terminal looks."""
    assert run_opendata("tree", "--catalogue", file).stdout == (
        "example  An example\n"
        "├── Mouse  Mice\n"
        "│   ├── Cortex/Layer_1  Layer 1\n"
        "│   └── Thalamus  Thalamus\n"
        "└── Rat  Rats [brown]\n"
    )


def test_depth_says_what_it_hides(run_opendata, file):
    """A branch whose children are not shown tells how many there are."""
    shown = run_opendata("tree", "--depth", "1", env={"OPENDATA_CATALOGUE": str(file)}).stdout
    assert shown == "example  An example\n├── Mouse  Mice  … 2 below\n└── Rat  Rats [brown]\n"


def test_a_branch_is_shown_by_its_path(run_opendata, file):
    """From the branch down, with its whole path first."""
    shown = run_opendata("tree", "Mouse/Cortex/Layer_1", "--catalogue", file).stdout
    assert shown == "Mouse/Cortex/Layer_1  Layer 1\n"


def test_scripts_read_json(run_opendata, file):
    """The same tree, nested, with names and ids."""
    document = json.loads(run_opendata("tree", "Mouse", "--json", "--catalogue", file).stdout)
    layer, thalamus = document["branches"]
    assert (document["path"], document["branches_below"], thalamus["path"]) == ("Mouse", 2, "Mouse/Thalamus")
    assert layer == {
        "path": "Mouse/Cortex/Layer_1",
        "mount": "Cortex/Layer_1",
        "name": "mouse.cortex.layer-1",
        "uuid": default_dataset_id("example", "Mouse/Cortex/Layer_1"),
        "title": "Layer 1",
        "description": "The outermost layer.",
        "branches_below": 0,
        "branches": [],
    }


def test_the_shipped_catalogue_is_the_default(run_opendata):
    """Without options, all branches of Blue Brain Open Data, one a line."""
    lines = run_opendata("tree").stdout.splitlines()
    assert len(lines) == len(shipped_catalogue().branches)
    assert lines[0] == "openbluebrain  Blue Brain Open Data"


def test_an_unknown_branch_is_not_found(run_opendata, file):
    """Status 4 and a suggestion on stderr, nothing on stdout."""
    done = run_opendata("tree", "mouse/thalamos", "--catalogue", file, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        "error: no branch 'mouse/thalamos' in the catalogue example: did you mean Mouse/Thalamus? "
        "`opendata tree` shows them all\n"
    )


def test_a_broken_catalogue_is_bad_input(run_opendata, tmp_path):
    """Status 3 and the line to change."""
    path = tmp_path / "c.yaml"
    path.write_text("format: 1\nid: example\nepoch: 2024-01-01T00:00:00Z\nbranches:\n  A@1:\n", encoding="utf-8")
    done = run_opendata("tree", "--catalogue", path, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"error: {path}, line 5: 'A@1' cannot be a branch: expected no `@`, `:` or backslash in it\n"
    )


def test_a_narrow_terminal_gets_whole_lines(file):
    """In a terminal a line ends at its edge instead of breaking the tree."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opendata_pkg", "tree", "--catalogue", str(file)]
    environment = {**os.environ, "COLUMNS": "16", "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "├── Mouse" in shown
    assert "…" in shown
    assert len(shown.splitlines()) == 5
