"""`describe`: every branch has a descriptor and a README that follow from the catalogue and that stock tools accept."""

import csv
import hashlib
import json
import re
import shutil
from urllib.parse import unquote

import pytest
from frictionless import Package

from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.documents import profile_validator, shipped
from opendata_pkg.validation.describe import (
    BrokenEvidenceError,
    KnownFile,
    NotMadeHereError,
    compare,
    mend,
    package_document,
    package_files,
    read_evidence,
)
from opendata_pkg.vocabulary import DATA_PACKAGE_URL, PROFILES_URL
from tests.core_support import catalogue_of, entry_of, git, publish, repository_of, snapshot_of

TREE = """\
kind: collection
kinds: {satellite: Images of brains from space.}
branches:
  Rat:
    title: Rats | brown
    kind: morphology
    cell_classes: [{label: neuron}]
    description: Rats in words.
    species: [{id: NCBITaxon:10116, label: Rattus norvegicus}]
    brain_regions: [{id: "UBERON:0000955", label: brain}]
    formats: [swc]
    keywords: [rat]
    related: [{relationType: IsDocumentedBy, id: https://doi.org/10.1093/cercor/bhy339, title: A paper}]
    licenses: [{name: CC0-1.0, path: https://example.org/cc0, source: https://example.org/terms}]
    contributors: [{title: A. Nother, path: https://orcid.org/0, roles: [creator]}]
    sources: [{title: A lab, path: https://example.org/lab, version: "2"}]
    branches:
      a b/Deep:
        title: Deep rats
        kind: ion-channel
        evidence: {kind: command, source: a script}
        ion_channels: [{family: Nav, genes: [SCN*A]}]
  Moon: {kind: satellite}
  Atlas:
    kind: atlas
    species: [{id: NCBITaxon:10090, label: Mus musculus}]
    brain_regions: [{id: "UBERON:0000955", label: brain}, {id: "MBA:997", label: brain}]
    atlas: {version: 1.1.0, resolution_um: 25}
ignore:
  - {prefix: tmp/, reason: scratch}
"""
KNOWN = (
    KnownFile(key="Rat/b.swc", size_bytes=None, evidence="command", source="a, script"),
    KnownFile(key="Rat/a b/x.swc", size_bytes=0, evidence="listing", source="a list"),
    KnownFile(key="tmp/Rat/x", size_bytes=1, evidence="listing", source="a list"),
)


@pytest.fixture
def catalogue():
    """Five branches with all that can be said of them."""
    return catalogue_of(TREE)


def faults_of(document):
    """What the official profile and the descriptor's own find wrong with it."""
    return [
        (error.json_path, error.message)
        for url in (DATA_PACKAGE_URL, document["$schema"])
        for error in profile_validator(url).iter_errors(document)
    ]


def frictionless_faults_of(path):
    """What `frictionless validate` finds wrong with a descriptor and its files."""
    report = Package.from_descriptor(str(path)).validate()
    return report.flatten(["title", "note"])


# What is checked in


def test_the_checked_in_descriptions_are_up_to_date(run_opendata):
    """`describe --check` finds what `describe --write` would write."""
    done = run_opendata("describe", "--check", "--json")
    assert json.loads(done.stdout) == {
        "folder": str(shipped("packages")),
        "files": 2 * len(shipped_catalogue().branches) + 2 * len(list(shipped("packages").rglob("files.csv"))),
        "written": False,
        "missing": [],
        "changed": [],
        "stale": [],
    }


def test_each_checked_in_descriptor_is_valid():
    """All of them pass the official profile, the profile of their kind, and frictionless."""
    paths = sorted(shipped("packages").rglob("datapackage.json"))
    assert len(paths) == len(shipped_catalogue().branches)
    for path in paths:
        document = json.loads(path.read_bytes())
        assert document["$schema"] == f"{PROFILES_URL}{document['od:kind']}.json"
        assert (path, faults_of(document)) == (path, [])
        assert (path, frictionless_faults_of(path)) == (path, [])


def test_links_between_checked_in_readmes_lead_somewhere():
    """Up and down the tree, and to the list of files."""
    for page in shipped("packages").rglob("README.md"):
        for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / unquote(link)).is_file(), (page, link)


def test_known_files_are_real_keys():
    """The lists of files add up to the keys that the tests know, ignored ones aside; no list is empty."""
    known = read_evidence(shipped("packages") / "evidence.csv")
    listed = set()
    for table in shipped("packages").rglob("files.csv"):
        document = json.loads((table.parent / "datapackage.json").read_bytes())
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        assert all(row["source"] for row in rows)
        listed |= {f"{document['od:branch']}/{row['path']}" for row in rows}
    assert listed == {file.key for file in known}
    assert len(known) == 397


# What is made


def test_a_descriptor_says_what_the_catalogue_says(catalogue):
    """Every field, in the documented order, with our profile of its kind."""
    document = package_document(catalogue, KNOWN, catalogue.branches["Rat"])
    table = b'path,bytes,evidence,source\na b/x.swc,0,listing,a list\nb.swc,,command,"a, script"\n'
    assert document == {
        "$schema": f"{PROFILES_URL}morphology.json",
        "name": "rat",
        "id": f"urn:uuid:{catalogue.branches['Rat'].dataset_id}",
        "title": "Rats | brown",
        "description": "Rats in words.",
        "keywords": ["rat"],
        "licenses": [{"name": "CC0-1.0", "path": "https://example.org/cc0", "od:source": "https://example.org/terms"}],
        "contributors": [{"title": "A. Nother", "roles": ["creator"], "path": "https://orcid.org/0"}],
        "sources": [{"title": "A lab", "path": "https://example.org/lab", "version": "2"}],
        "od:kind": "morphology",
        "od:branch": "Rat",
        "od:species": [{"id": "NCBITaxon:10116", "label": "Rattus norvegicus"}],
        "od:brainRegions": [{"id": "UBERON:0000955", "label": "brain"}],
        "od:cellClasses": [{"label": "neuron"}],
        "od:formats": [{"format": "swc", "mediatype": "application/swc"}],
        "od:related": [
            {"relationType": "IsDocumentedBy", "id": "https://doi.org/10.1093/cercor/bhy339", "title": "A paper"}
        ],
        "resources": [
            {
                "name": "files",
                "type": "table",
                "path": "files.csv",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "bytes": len(table),
                "hash": f"sha256:{hashlib.sha256(table).hexdigest()}",
                "schema": "files.tableschema.json",
            },
            {"name": "readme", "path": "README.md", "format": "md", "mediatype": "text/markdown"},
        ],
    }
    page = (shipped("schemas").parent / "docs" / "reference" / "profiles.md").read_text(encoding="utf-8")
    rows = page.split("## Properties")[1].split("## The ids")[0]
    order = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (`.+?) \|", rows, re.MULTILINE)))
    assert list(document) == [name for name in order if name in document]


def test_kinds_have_their_own_fields(catalogue):
    """Channels with genes, an atlas with its version; a kind of the catalogue's own follows the general profile."""
    deep = package_document(catalogue, (), catalogue.branches["Rat/a b/Deep"])
    assert deep["od:ionChannels"] == [{"family": "Nav", "genes": ["SCN*A"]}]
    assert deep["od:evidence"] == {"kind": "command", "source": "a script"}
    atlas = package_document(catalogue, (), catalogue.branches["Atlas"])
    assert atlas["od:atlas"] == {"version": "1.1.0", "resolutionMicrometres": 25}
    moon = package_document(catalogue, (), catalogue.branches["Moon"])
    assert (moon["$schema"], moon["od:kind"]) == (f"{PROFILES_URL}branch.json", "satellite")
    assert [faults_of(document) for document in (deep, atlas, moon)] == [[], [], []]


def test_a_readme_is_good_to_read(catalogue):
    """Title, paragraph, facts with links, where it stands in the tree, files, how to get it, credit."""
    files = package_files(catalogue, KNOWN)
    assert (
        files["Rat/README.md"].decode()
        == f"""\
# Rats | brown

Rats in words.

| | |
|---|---|
| Kind | morphology |
| Species | Rattus norvegicus ([NCBITaxon:10116](http://purl.obolibrary.org/obo/NCBITaxon_10116)) |
| Brain regions | brain ([UBERON:0000955](http://purl.obolibrary.org/obo/UBERON_0000955)) |
| Cell classes | neuron |
| Formats | `swc` (application/swc) |
| Keywords | rat |
| Branch | `Rat` |
| Dataset | `rat`, id `{catalogue.branches["Rat"].dataset_id}` |

Part of [An example](../README.md).

## Branches below

- [Deep rats](a%20b/Deep/README.md)

## Files

[files.csv](files.csv) names 2 files that are known to be in the bucket, and where that is known from. It is no
listing: there may be more, and what is there now only the bucket can tell.

## Get it

In a store, this is the dataset `rat`: `datalad clone STORE/git/rat.git`.

## Licence

- [CC0-1.0](https://example.org/cc0) (as said at <https://example.org/terms>)

## Made by

- [A. Nother](https://orcid.org/0) (creator)

## Sources

- [A lab](https://example.org/lab), 2

## Related

- IsDocumentedBy [A paper](https://doi.org/10.1093/cercor/bhy339)
"""
    )
    deep = files["Rat/a b/Deep/README.md"].decode()
    assert "Part of [Rats | brown](../../README.md)." in deep
    assert "| Ion channels | Nav (`SCN*A`) |" in deep
    assert "| Known from | a command or program that reads it: a script |" in deep
    assert "brain ([UBERON:0000955](http://purl.obolibrary.org/obo/UBERON_0000955), MBA:997)" in (
        files["Atlas/README.md"].decode()
    )


def test_files_are_listed_only_where_some_are_known(catalogue):
    """No table of a header alone, and nothing of what is ignored."""
    files = package_files(catalogue, KNOWN)
    assert [path for path in files if path.endswith(".csv")] == ["Rat/files.csv"]
    assert package_files(catalogue, KNOWN) == files


# Writing and checking


def test_what_is_written_is_up_to_date(catalogue, tmp_path):
    """Write, then check; change, remove and outdate, then check again and write again."""
    files = package_files(catalogue, KNOWN)
    first = compare(tmp_path, files)
    assert (set(first.missing), first.changed, first.stale) == (set(files), (), ())
    mend(tmp_path, files, first)
    assert not compare(tmp_path, files)
    assert frictionless_faults_of(tmp_path / "Rat" / "datapackage.json") == []
    (tmp_path / "Rat" / "README.md").write_text("By hand.\n")
    (tmp_path / "Moon" / "README.md").unlink()
    found = compare(tmp_path, files)
    assert (found.missing, found.changed, found.stale) == (("Moon/README.md",), ("Rat/README.md",), ())
    fewer = package_files(catalogue_of("kind: collection\n"), ())
    found = compare(tmp_path, fewer)
    assert "Rat/a b/Deep/datapackage.json" in found.stale
    mend(tmp_path, fewer, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Moon", "README.md", "datapackage.json"][1:]


def test_other_peoples_files_are_left_alone(catalogue, tmp_path):
    """A README that was not made here is neither written over nor taken away."""
    readme = tmp_path / "README.md"
    readme.write_text("My own.\n")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(readme, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "datapackage.json").write_text('{"resources": []}')
    files = package_files(catalogue, ())
    found = compare(tmp_path, files)
    assert found.stale == ()
    with pytest.raises(NotMadeHereError, match=r"README\.md to be written from the catalogue.*move it away"):
        mend(tmp_path, files, found)
    assert readme.read_text() == "My own.\n"
    assert not (tmp_path / "datapackage.json").exists()


def test_the_command_writes_and_checks_a_catalogue_of_ones_own(run_opendata, tmp_path):
    """`--check` ends with status 1 until `--write` has written; a branch can be described by itself."""
    file = tmp_path / "tree" / "catalogue.yaml"
    file.parent.mkdir()
    file.write_text("format: 1\nid: example\nepoch: 2024-01-01T00:00:00Z\nbranches: {A: {branches: {B: }}, C: }\n")
    (file.parent / "evidence.csv").write_text("key,bytes,evidence,source\nA/x.swc,5,listing,a list\n")
    checked = run_opendata("describe", "--check", "--catalogue", file, check=False)
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == "10 files, missing 10, out of date 0, stale 0"
    assert "missing: A/files.csv" in checked.stdout
    assert checked.stdout.endswith("write them again: opendata describe --write\n")
    assert run_opendata("describe", "A", "--write", "--catalogue", file).stdout == (
        "6 files, added 6, changed 0, removed 0\n"
    )
    assert not (file.parent / "C").exists()
    run_opendata("describe", "--write", "--catalogue", file)
    assert run_opendata("describe", "--check", "--catalogue", file).returncode == 0
    printed = run_opendata("describe", "A/B", "--catalogue", file)
    assert printed.stdout == (file.parent / "A" / "B" / "datapackage.json").read_text()
    refused = run_opendata("describe", "--write", "--check", check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: expected --write or --check, got both: --write leaves nothing to check\n",
    )


def test_a_spreadsheet_may_have_written_the_known_keys(tmp_path):
    """A mark in front and carriage returns change nothing."""
    path = tmp_path / "evidence.csv"
    path.write_bytes(b'\xef\xbb\xbfkey,bytes,evidence,source\r\n"a,b",1,listing,c\r\n')
    assert read_evidence(path) == (KnownFile(key="a,b", size_bytes=1, evidence="listing", source="c"),)


@pytest.mark.parametrize("data", [b'"a"b,1,listing,c\n', b"\xff,1,listing,c\n", b'"a,1,listing,c\n'])
def test_what_is_no_csv_is_told_so(tmp_path, data):
    """Bad quoting and other encodings are bad input."""
    path = tmp_path / "evidence.csv"
    path.write_bytes(b"key,bytes,evidence,source\n" + data)
    with pytest.raises(BrokenEvidenceError, match=r"line \d: expected CSV in UTF-8, quoted as RFC 4180 has it: "):
        read_evidence(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("key,source\n", "line 1: expected the columns key,bytes,evidence,source, got key,source"),
        ("", "line 1: expected the columns key,bytes,evidence,source, got "),
        ("key,bytes,evidence,source\na,1,listing\n", "line 2: expected 4 values, got 3"),
        (
            "key,bytes,evidence,source\na,~1 kB,listing,b\n",
            "line 2: expected a whole number of bytes or nothing, got '~1 kB'",
        ),
        (
            "key,bytes,evidence,source\na,1,,b\n",
            "line 2: expected a key, its evidence and the source of that, got none of one",
        ),
        (
            "key,bytes,evidence,source\na,1,listing,b\na,,command,c\n",
            "line 3: expected each key once, got a again",
        ),
    ],
)
def test_a_broken_list_of_known_keys_is_told_with_its_line(tmp_path, text, sentence):
    """File, line, what was expected, what was got."""
    path = tmp_path / "evidence.csv"
    path.write_text(text)
    with pytest.raises(BrokenEvidenceError) as caught:
        read_evidence(path)
    assert str(caught.value) == f"{path}, {sentence}"


# What is built


def test_descriptors_of_a_built_store_are_valid(catalogue, tmp_path):
    """In the tree of each dataset and in the release's folder: official profile, ours, frictionless."""
    entries = [
        entry_of("Rat/a.swc"),
        entry_of("Atlas/b.nrrd", known=None),
        entry_of("Moon/c"),
        entry_of("Rat/a b/Deep/d"),
    ]
    publish(tmp_path, "2024.1.0", snapshot_of(*entries), catalogue, allow_undigested="**")
    released = sorted((tmp_path / "releases" / "2024.1.0").rglob("datapackage.json"))
    assert len(released) == 5
    for path in released:
        document = json.loads(path.read_bytes())
        in_tree = json.loads(git(repository_of(tmp_path, document["name"]), "show", "main:datapackage.json"))
        assert (faults_of(document), faults_of(in_tree)) == ([], [])
        assert frictionless_faults_of(path) == []
        assert {"version", "created"} & set(in_tree) == set()
        assert document["version"] == "2024.1.0"
        checkout = tmp_path / "checkouts" / document["name"]
        git(tmp_path, "clone", "-q", "--no-recurse-submodules", repository_of(tmp_path, document["name"]), checkout)
        assert frictionless_faults_of(checkout / "datapackage.json") == []
    rat = next(json.loads(path.read_bytes()) for path in released if path.parent.name == "rat")
    assert rat["$schema"] == f"{PROFILES_URL}morphology.json"
    assert rat["od:totals"]["files"] == 1


def test_the_readme_in_a_dataset_says_what_it_is(catalogue, tmp_path):
    """The facts of the branch, its own files, and its subdatasets by their titles."""
    publish(tmp_path, "1.0.0", snapshot_of(entry_of("Rat/a.swc"), entry_of("Rat/a b/Deep/d")), catalogue)
    readme = git(repository_of(tmp_path, "rat"), "show", "main:README.md").decode()
    assert readme.startswith("# Rats | brown\n\nRats in words.\n\n| | |\n")
    assert "1 files, 1 bytes. `_opendata/files/` lists each with its digest." in readme
    assert "- `a b/Deep`: Deep rats" in readme
    assert "- [A lab](https://example.org/lab), 2" in readme


def test_a_catalogue_without_vocabulary_is_described_too():
    """Who states nothing gets a valid descriptor of the general profile."""
    plain = Catalogue.parse(b"format: 1\nid: x\nepoch: 2024-01-01T00:00:00Z\n", "c.yaml")
    document = package_document(plain, (), plain.root)
    assert document["$schema"] == f"{PROFILES_URL}branch.json"
    assert faults_of(document) == []
