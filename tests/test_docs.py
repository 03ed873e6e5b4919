"""What the documentation shows is what the package does."""

import json
import re
import socket
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import typer

from opendata_pkg.cli.main import SECTIONS, app
from opendata_pkg.paths import Naming, relative_key

DOCS = Path(__file__).parents[1] / "docs"
ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \| .+ \|$", re.MULTILINE)


@pytest.mark.parametrize(("key", "path"), ROW.findall((DOCS / "explanation" / "paths.md").read_text()))
def test_the_paths_of_the_page_are_the_paths_we_make(key, path):
    """Every row of the table in docs/explanation/paths.md holds, both ways."""
    naming = Naming(prefix="", mounts=("Mouse",), renamed_files=frozenset({"notes"}))
    key = json.loads(f'"{key}"')
    assert naming.path_of(key) == path
    assert relative_key(path) == key


def test_the_page_has_such_a_table():
    """The test above looks at rows."""
    assert len(ROW.findall((DOCS / "explanation" / "paths.md").read_text())) > 10


def test_the_tutorial_works_as_it_stands(tmp_path):
    """Every command of docs/tutorial/publish-a-bucket.md, in order, in one shell, does what the text says."""
    page = (DOCS / "tutorial" / "publish-a-bucket.md").read_text()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)).replace("8765", port)
    script = f"set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"http://127.0.0.1:{port}/morphologies/neuron.swc" in done.stdout
    assert "1 1 0 0 0 5 -1\n" in done.stdout
    assert " another.swc " in done.stdout
    assert commits(tmp_path, "recordings") == 1
    assert commits(tmp_path, "morphologies") == commits(tmp_path, "our-lab") == 2


def test_every_option_that_the_docs_show_exists():
    """Each `opendata COMMAND --option` of README.md and docs/, run by a test or not, is one that the command has."""
    shown = []
    for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]:
        for name, words in re.findall(r"\bopendata ([a-z]+)\b((?: [^\n`|#;&]*)?)", page.read_text()):
            shown += [(page.name, name, option) for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)]
    made = {
        name: typer.main.get_command(app).get_command(None, name) for name in chain.from_iterable(SECTIONS.values())
    }
    known = {name: {"-h", "--help", *(o for p in made[name].params for o in p.opts)} for name in made}
    assert len(shown) > 100
    assert [(page, name, option) for page, name, option in shown if option not in known.get(name, {option})] == []


def commits(folder, name):
    """How many commits the dataset's main branch has."""
    command = ["git", "rev-list", "--count", "main"]
    return int(subprocess.check_output(command, cwd=folder / "store" / "git" / f"{name}.git", text=True))


def test_the_map_of_the_code_is_the_one_that_is_checked():
    """docs/explanation/code.md has every package once, in an order that the import contract of pyproject.toml allows."""
    page = (DOCS / "explanation" / "code.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| ", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    packages = {found.parent.name for found in (DOCS.parent / "opendata_pkg").glob("*/__init__.py")}
    assert sorted(named) == sorted(packages)
    contracts = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    line_of = {name: number for number, line in enumerate(contracts[0]["layers"]) for name in line.split(" | ")}
    assert [line_of[name] for name in named] == sorted(line_of[name] for name in named)
