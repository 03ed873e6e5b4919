"""What a release says of its datasets, judged by the tools of those who made the standards, and by pooch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pooch
import pytest

pytestmark = pytest.mark.s3

FIRST, SECOND = "2026.1.0", "2026.1.1"
CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
CORTEX_NAME = "experimental-data.reconstructed-morphologies.categorized.neurons.mouse.cortex"
CFF = ("check-jsonschema", "--builtin-schema", "vendor.citation-file-format")


@pytest.fixture(scope="module")
def trees(published, tool, tmp_path_factory):
    """The files of every dataset's tree at the newest release, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("trees")
    found = []
    for entry in published.datasets(SECOND).values():
        tool("git", "clone", "--quiet", published.repository(entry["name"]), entry["name"], cwd=folder)
        shutil.rmtree(folder / entry["name"] / ".git")
        found.append(folder / entry["name"])
    return found


def released(published, name):
    """That file of every dataset in every release that changed it."""
    return sorted((published.store / "releases").glob(f"*/*/{name}"))


def test_released_descriptors_conform(published, frictionless):
    """`frictionless` finds every released descriptor valid: sizes, digests and rows of inventories too."""
    descriptors = released(published, "datapackage.json")
    assert len(descriptors) == 8 + 7
    assert frictionless(descriptors) == []


def test_descriptors_in_trees_conform(trees, frictionless):
    """`frictionless` finds the descriptor in every dataset's tree valid."""
    assert frictionless(tree / "datapackage.json" for tree in trees) == []


def test_frictionless_would_tell(published, frictionless, tmp_path):
    """The judge is awake: it refuses an inventory of which one byte was changed."""
    copy = shutil.copytree(published.store / "releases" / FIRST / CORTEX_NAME, tmp_path / "copy")
    (shard,) = (copy / "files").iterdir()
    shard.write_bytes(shard.read_bytes().replace(b"plain.swc", b"plaim.swc", 1))
    ((_, report),) = frictionless([copy / "datapackage.json"])
    assert "hash-count" in json.dumps(report) or "hash" in json.dumps(report)


def test_command_line_of_frictionless(published, tool):
    """So does its command line, as a person runs it."""
    folder = published.store / "releases" / SECOND / CORTEX_NAME
    assert "valid" in tool("frictionless", "validate", "datapackage.json", cwd=folder).lower()


def test_citations_conform(published, trees, tool):
    """Every CITATION.cff, of the releases and in the trees, follows the Citation File Format."""
    files = [*released(published, "CITATION.cff"), *(tree / "CITATION.cff" for tree in trees)]
    assert len(files) == 8 + 7 + 8
    tool(*CFF, *files, cwd=published.store)


def test_citation_names_the_version(published):
    """The citation of a release names its version and date; that in a tree does neither, or it would change."""
    text = (published.store / "releases" / SECOND / CORTEX_NAME / "CITATION.cff").read_text()
    assert f'version: "{SECOND}"' in text
    assert "date-released:" in text


def fetched(published, version, folder):
    """What plain pooch brings of a release of the cortex dataset, path → bytes: every file of its registry."""
    files = pooch.create(path=folder, base_url="")
    files.load_registry(published.store / "releases" / version / CORTEX_NAME / "registry.txt")
    return {name: Path(files.fetch(name)).read_bytes() for name in files.registry_files}


@pytest.mark.parametrize("version", [FIRST, SECOND])
def test_plain_pooch(version, published, tmp_path):
    """Plain pooch, given a release's registry, fetches and checks every file, blanks, `#` and quotes in its name or not."""
    state = published.first if version == FIRST else published.second
    expected = {key.removeprefix(f"{CORTEX}/"): body for key, body in state.items() if key.startswith(f"{CORTEX}/")}
    for key, path in (("notes", "notes%file"), ("per%cent%41%2F.swc", "per%25cent%2541%252F.swc")):
        expected[path] = expected.pop(key)
    assert fetched(published, version, tmp_path) == expected
    assert {"sp ace  twice.swc", "hash#tag?query;semi,colon:.swc", "quo'te\"d`$HOME`.swc"} <= set(expected)
