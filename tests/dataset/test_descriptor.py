"""What a dataset says of itself, read by those it is for: Frictionless, citation tools, git and DataLad."""

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.citation import of_tree, to_cff
from opendata_pkg.dataset import descriptor
from opendata_pkg.dataset.readme import dataset_readme
from opendata_pkg.strict_yaml import load_yaml
from opendata_pkg.written import ContentDigest, Totals
from tests.core_support import BASE, catalogue_of, dataset, entry_of, git, publish, repository_of, snapshot_of

RICH = """\
description: >-
  One paragraph: with "quotes", 'ticks', # no comment and é.
licenses: [{name: CC-BY-4.0, title: "CC BY 4.0", path: "https://creativecommons.org/licenses/by/4.0/"}]
contributors:
  - {title: "Blue: Brain", roles: [creator]}
  - {title: Ada Lovelace, givenName: Ada, familyName: Lovelace, roles: [creator], email: ada@example.org}
  - {title: A Host, roles: [hosting]}
sources: [{title: A source, path: "https://example.org/"}]
branches:
  Rat: {title: "Rats: \\"all\\" # of 'them'", branches: {"Deep/Quoted 'x' \\"y\\" #1;": {name: deep}}}
"""
TOTALS = Totals(
    files=2, size_bytes=7, unknown_sizes=1, grades={"fixed": 1, "verifiable": 1, "versioned": 0, "mutable": 0}
)
DIGEST = ContentDigest(sha256="a" * 64, incomplete=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A released store of three nested datasets, the second without files of its own."""
    path = tmp_path_factory.mktemp("store")
    deep = "Rat/Deep/Quoted 'x' \"y\" #1;"
    entries = [entry_of(f'{deep}/a,"b" é.swc', version="v1"), entry_of("x/y"), entry_of("z", known="md5")]
    publish(path, "1.0.0", snapshot_of(*entries), catalogue_of(RICH))
    return path


def artefacts(store, branch=""):
    """The folder of a branch's artefacts."""
    return store / dataset(store, branch).artefacts


def frictionless(folder):
    """Whether Frictionless finds the data package of a folder valid, files and digests included; else its words."""
    words = [sys.executable, "-m", "frictionless", "validate", "datapackage.json", "--json"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    tables = {task["place"]: task["stats"]["rows"] for task in report["tasks"] if task["type"] == "table"}
    return report["valid"], tables, report


def test_frictionless_accepts_a_release(store):
    """The descriptor in the release's folder: sizes, hashes, table schema and every row are checked."""
    valid, tables, report = frictionless(artefacts(store))
    assert valid, report
    assert list(tables.values()) == [2]


def test_frictionless_accepts_a_clone(store, tmp_path):
    """The descriptor in the tree, where its paths are others; it has no version, the one in the release has."""
    git(tmp_path, "clone", "--quiet", repository_of(store), "clone")
    valid, _, report = frictionless(tmp_path / "clone")
    assert valid, report
    in_tree = json.loads((tmp_path / "clone" / "datapackage.json").read_bytes())
    released = json.loads((artefacts(store) / "datapackage.json").read_bytes())
    assert {"version", "created"} == released.keys() - in_tree.keys()
    assert (released["version"], released["created"]) == ("1.0.0", "2024-01-01T00:00:00Z")
    assert released["id"] == f"urn:uuid:{dataset(store).dataset_id}"


def test_a_descriptor_says_where_what_and_how_much(store):
    """Branch, address, totals, grades and content digest, as the release's index has them."""
    document = json.loads((artefacts(store) / "datapackage.json").read_bytes())
    entry = dataset(store)
    assert document["od:branch"] == "."
    assert document["od:storage"] == {"baseUrl": BASE, "prefix": ""}
    assert document["od:totals"] == {
        "files": 2,
        "bytes": 2,
        "unknownSizes": 0,
        "grades": dict(entry.written.totals.grades),
    }
    assert document["od:contentDigest"] == f"sha256:{entry.written.digest.sha256}"
    assert document["contributors"][1] == {
        "title": "Ada Lovelace",
        "roles": ["creator"],
        "givenName": "Ada",
        "familyName": "Lovelace",
        "email": "ada@example.org",
    }


def test_inventory_and_registry_lie_beside_it(store):
    """The same bytes as in the tree, and a registry line per file with a digest."""
    folder = artefacts(store)
    (shard,) = (folder / "files").iterdir()
    inside = git(repository_of(store), "cat-file", "blob", f"main:_opendata/files/{shard.name}")
    assert shard.read_bytes() == inside
    assert [row["key"] for row in csv.DictReader(shard.read_text(encoding="utf-8").splitlines())] == ["x/y", "z"]
    assert len((folder / "registry.txt").read_text(encoding="utf-8").splitlines()) == 2


def test_a_dataset_without_files_has_no_inventory(store):
    """Only what it is, and where its subdatasets are."""
    entry = dataset(store, "Rat")
    document = json.loads((artefacts(store, "Rat") / "datapackage.json").read_bytes())
    assert [resource["name"] for resource in document["resources"]] == ["readme"]
    readme = (artefacts(store, "Rat") / "README.md").read_text(encoding="utf-8")
    assert "No files of its own." in readme
    assert "- `Deep/Quoted 'x' \"y\" #1;`" in readme
    assert entry.subtree_files == 1
    assert frictionless(artefacts(store, "Rat"))[0]


def check_cff(path):
    """Fail the test unless a CITATION.cff follows the official schema."""
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_citations_follow_their_standard(store):
    """The citation of a version names who, what, which version and the digest of its content."""
    path = artefacts(store) / "CITATION.cff"
    check_cff(path)
    value = load_yaml(path.read_bytes(), "CITATION.cff").value
    assert value["title"] == "An example"
    assert value["authors"] == [{"name": "Blue: Brain"}, {"family-names": "Lovelace", "given-names": "Ada"}]
    assert (value["version"], value["date-released"]) == ("1.0.0", "2024-01-01")
    assert value["license"] == ["CC-BY-4.0"]
    digest = dataset(store).written.digest.sha256
    assert value["identifiers"][1]["value"] == f"sha256:{digest}"


def test_the_citation_in_the_tree_has_no_version(store, tmp_path):
    """A release alone must not change a dataset; what is in the tree is valid too."""
    path = tmp_path / "CITATION.cff"
    path.write_bytes(git(repository_of(store), "cat-file", "blob", "main:CITATION.cff"))
    check_cff(path)
    assert {"version", "date-released"}.isdisjoint(load_yaml(path.read_bytes(), "CITATION.cff").value)


def test_a_citation_says_what_it_cannot_vouch_for(tmp_path):
    """Files without a digest are counted in it; with nobody to name, nobody is invented."""
    path = tmp_path / "CITATION.cff"
    path.write_text(to_cff(of_tree(catalogue_of().root, digest=DIGEST)), encoding="utf-8")
    check_cff(path)
    value = load_yaml(path.read_bytes(), "CITATION.cff").value
    assert "1 files have no digest" in value["identifiers"][1]["description"]
    assert value["authors"] == [{"name": "Anonymous"}]


TITLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30)


@given(TITLE)
def test_titles_are_never_misread(title):
    """Whatever a title looks like to YAML (`yes`, `1.0`, `- x`, `a: b`), the citation gives it back as text."""
    branch = replace(catalogue_of().root, title=title)
    text = to_cff(of_tree(branch, digest=DIGEST, version="1.10.0", date="2024-01-01"))
    value = load_yaml(text.encode(), "CITATION.cff").value
    assert (value["title"], value["version"], value["date-released"]) == (title, "1.10.0", "2024-01-01")


def test_git_and_datalad_read_their_files(store):
    """Submodules at their mounts with relative URLs and DataLad ids; the dataset's own id."""
    deep = dataset(store, "Rat/Deep/Quoted 'x' \"y\" #1;")
    repository = repository_of(store, "rat")
    listed = git(repository, "config", "--blob", "main:.gitmodules", "--list", "-z").decode().split("\0")[:-1]
    assert dict(line.split("\n", 1) for line in listed) == {
        "submodule.deep.path": "Deep/Quoted 'x' \"y\" #1;",
        "submodule.deep.url": "../deep.git",
        "submodule.deep.datalad-id": deep.dataset_id,
        "submodule.deep.datalad-url": "../deep.git",
    }
    said = git(repository, "config", "--blob", "main:.datalad/config", "datalad.dataset.id").decode().strip()
    assert said == dataset(store, "Rat").dataset_id
    link = git(repository, "ls-tree", "main", "Deep/Quoted 'x' \"y\" #1;").decode().split()
    assert link[:3] == ["160000", "commit", deep.written.commits.main]


NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\\"), min_size=1, max_size=12
)


@settings(max_examples=25)
@given(st.lists(NAME, min_size=1, max_size=4, unique=True))
def test_git_reads_every_mount(tmp_path_factory, names):
    """Blanks, quotes, `#`, `;`: git reads the path of each submodule as it was meant."""
    child = catalogue_of().branches["Mouse"]
    mounts = [(f"d/{name}", replace(child, name=f"n{index}")) for index, name in enumerate(names)]
    path = tmp_path_factory.mktemp("modules") / "gitmodules"
    path.write_text(descriptor.gitmodules(mounts), encoding="utf-8", newline="")
    found = git(path.parent, "config", "-f", path, "-z", "--get-regexp", r"\.path$").decode().split("\0")[:-1]
    assert [line.split("\n", 1)[1] for line in found] == [mount for mount, _ in mounts]


def test_text_stays_in_git(store, tmp_path):
    """What is ours is no annexed file, and git-annex would add it to git again, not to the annex."""
    git(tmp_path, "clone", "--quiet", repository_of(store), "clone")
    clone = tmp_path / "clone"
    for path in (
        "datapackage.json",
        "README.md",
        "CITATION.cff",
        ".datalad/config",
        "_opendata/files.tableschema.json",
    ):
        assert not (clone / path).is_symlink()
        assert "annex.largefiles: nothing" in git(clone, "check-attr", "annex.largefiles", "--", path).decode()
    assert (clone / "z").is_symlink()
    assert "annex.backend: SHA256E" in git(clone, "check-attr", "annex.backend", "--", "z").decode()


def test_shards_are_described_by_their_bytes():
    """Size and digest of a shard are those of the file."""
    info = descriptor.shard_info("0.csv", b"path\n")
    assert (info.size_bytes, info.sha256) == (5, hashlib.sha256(b"path\n").hexdigest())


def test_a_descriptor_of_a_branch_with_its_own_readme():
    """Where the bucket has a README.md itself, the descriptor does not call it ours; empty lists are left out."""
    shards = [descriptor.shard_info("0.csv", b"path\n")]
    branch = catalogue_of().root
    document = descriptor.descriptor(branch, totals=TOTALS, digest=DIGEST, base_url=BASE, shards=shards, readme=False)
    assert [resource["name"] for resource in document["resources"]] == ["files-0"]
    assert {"licenses", "contributors", "sources", "description"}.isdisjoint(document)


def test_a_readme_names_licence_and_unknown_sizes():
    """What a person must know before using the data."""
    catalogue = catalogue_of(RICH)
    rat = catalogue.branches["Rat"]
    text = dataset_readme(catalogue.root, totals=TOTALS, digest=DIGEST, children=[("Rat", rat)])
    assert "2 files, 7 bytes, 1 of unknown size." in text
    assert "CC BY 4.0" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert f"- `Rat`: {rat.title}" in text
