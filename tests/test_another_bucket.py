"""Another bucket needs another catalogue and nothing else: the page that says so works as it stands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.scan.scan import scan
from opendata_pkg.store.store import Store
from opendata_pkg.validation.validate import validate

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "another-bucket.md").read_text(encoding="utf-8")
SECOND = ROOT / "tests" / "data" / "second-catalogue.yaml"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The folder in which all commands of the page ran, in order, in one shell; and what they printed."""
    folder = tmp_path_factory.mktemp("page")
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    program = f"opendata() {{ '{sys.executable}' -m opendata_pkg \"$@\"; }}"
    script = f"set -eu\n{program}\n{commands}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_the_page_works_as_it_stands(told):
    """Scan, begin, describe, drift, build, release, look, validate: each command says what the text says."""
    _, printed = told
    assert "at $.licenses: expected a list, got null" in printed
    assert "as expected: somebody has to state the licence" in printed
    assert "water/south/" in printed
    assert "  water/south:  # 1 object, 4 bytes" in printed
    assert "reef-survey@2024.6.1" in printed
    assert printed.count(": no faults\n") == 3


def test_what_was_published_is_the_other_catalogues(told):
    """Its own ids, branches, kinds, media types and terms; what it ignores is left out with its reason."""
    folder, _ = told
    store = Store.open(folder / "store")
    state = store.release("2024.6.1")
    assert list(state.datasets) == ["", "photos", "water/north"]
    assert dict(state.left_out) == {"Half-made files of the camera pipeline.": 1}
    released = store.path / "releases" / "2024.6.1"
    water = json.loads((released / "water.north" / "datapackage.json").read_text())
    assert (water["od:kind"], water["licenses"][0]["name"]) == ("water-sample", "CC0-1.0")
    assert water["od:formats"] == [{"format": "ctd", "mediatype": "application/vnd.example.ctd"}]
    photos = json.loads((released / "photos" / "datapackage.json").read_text())
    assert (photos["od:kind"], photos["licenses"][0]["name"]) == ("imaging", "ODbL-1.0")


def test_the_page_shows_the_catalogue_of_the_tests(told):
    """One second catalogue, in one wording."""
    assert (told[0] / "catalogue.yaml").read_text() == SECOND.read_text()


def test_a_folder_becomes_a_store_of_it_too(tmp_path):
    """The same by the library, from files instead of a listing."""
    for key in ("photos/a.jpg", "water/north/s.ctd", "scratch/x", "README.md"):
        (tmp_path / "reef" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reef" / key).write_text(key)
    snapshot = scan(str(tmp_path / "reef"), base_url="https://data.example.org/reef/")
    built = build(snapshot, Catalogue.load(SECOND), tmp_path / "store")
    assert [(entry.branch, entry.totals.files) for entry in built.datasets] == [
        ("", 1),
        ("photos", 1),
        ("water/north", 1),
    ]
    assert release("1.0.0", tmp_path / "store").files == 3
    assert validate([tmp_path / "store"]).faults == ()
