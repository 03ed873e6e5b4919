"""`validate`: what each document is, and every fault of it in words that say what to change."""

import csv
import hashlib
import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.documents import dump_json, shipped
from opendata_pkg.model import NotFoundError
from opendata_pkg.validation.describe import compare, mend, package_files
from opendata_pkg.validation.validate import validate
from tests.core_support import entry_of, publish, snapshot_of

CATALOGUE = "format: 1\nid: example\nepoch: 2024-01-01T00:00:00Z\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A store with one release."""
    store = tmp_path_factory.mktemp("released") / "store"
    publish(store, "1.0.0", snapshot_of(*(f"Rat/Cortex/{name}.swc" for name in "abc"), entry_of("Rat/x", version="v")))
    return store


@pytest.fixture
def store(released, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(released, tmp_path / "store")


@pytest.fixture
def cortex(store):
    """The released descriptor of one of its datasets."""
    return store / "releases" / "1.0.0" / "rat.cortex" / "datapackage.json"


def said(*paths, **options):
    """The faults of some documents, as a person reads them, without the folder."""
    folder = str(paths[0].parent) + "/"
    return [str(fault).replace(folder, "") for fault in validate(paths, **options).faults]


def edit(file, change):
    """Change a JSON document in place."""
    document = json.loads(file.read_text())
    change(document)
    file.write_text(dump_json(document))


def faults_of_catalogue(tmp_path, text, head=CATALOGUE):
    """What is said of a catalogue of a few lines."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(head + text, encoding="utf-8")
    return said(file)


def test_what_we_publish_is_valid(store):
    """Everything in a store, by our checks and by frictionless; each document is taken for what it is."""
    report = validate([store])
    assert report.faults == ()
    assert report.checked == {
        "store index": 1,
        "release index": 1,
        "descriptor": 3,
        "table schema": 2,
        "catalogue": 1,
        "snapshot header": 1,
    }


def test_what_we_ship_is_valid():
    """`packages/`, which is also what is checked if nothing is named; tables up to the default are shown."""
    report = validate([shipped("packages")])
    assert [str(fault) for fault in report.faults] == []
    assert report.not_shown == ()


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "titel: T\nbranches:\n  A: {titel: X}\n  B: {title: 3}\n",
            [
                'catalogue.yaml, line 4, at $.titel: unknown field "titel"',
                'catalogue.yaml, line 6, at $.branches.A.titel: unknown field "titel"',
                "catalogue.yaml, line 7, at $.branches.B.title: expected a text, got 3",
            ],
        ),
        (
            "branches:\n  A@1:\n  ..:\n  B: {name: n}\n  C: {name: n}\n  D: {formerly: [B]}\n  d: {name: e}\n",
            [
                "catalogue.yaml, line 5: 'A@1' cannot be a branch: expected no `@`, `:` or backslash in it",
                "catalogue.yaml, line 6: '..' cannot be a branch",
                "catalogue.yaml, line 8: expected each branch to have a name of its own, got n for both B and C",
                "catalogue.yaml, line 9: 'D' cannot formerly have been 'B': that is a branch now",
                "catalogue.yaml, line 10: 'D' and 'd' are one folder to file systems",
            ],
        ),
        (
            "branches:\n  A/B:\n  A:\n    branches:\n      B:\n",
            ["catalogue.yaml, line 8: expected the branch 'A/B' once, got it again; it first stands on line 5"],
        ),
        (
            "licenses: CC0-1.0\n",
            [
                ('catalogue.yaml, line 4, at $.licenses: expected a list, got "CC0-1.0"; '
                "a list takes the place of the inherited one, [] clears it")
            ],
        ),
        (
            "kind: morfology\nbranches:\n  A: {formats: [swx]}\n",
            ["catalogue.yaml, line 4: expected one of ", "catalogue.yaml, line 6: expected one of "],
        ),
        (
            "species: [{id: rat, label: rat}]\n",
            ["catalogue.yaml, line 4, at $.species[0].id: expected a text of the form ^NCBITaxon:"],
        ),
        (
            "branches: &all\n  A: *all\n",
            [
                ("catalogue.yaml, line 4: anchors and aliases are refused, got &all: "
                "write the value out where it belongs")
            ],
        ),
        ("branches:\n  A:\n  A:\n", ["catalogue.yaml, line 6: expected each key once, got 'A' again; it first stands"]),
        ("branches: [\n", ["catalogue.yaml, line 5: expected YAML: "]),
    ],
    ids=["fields", "branches", "duplicate", "override", "kind", "ontology", "anchors", "key", "yaml"],
)  # fmt: skip
def test_all_faults_of_a_catalogue_are_told_with_their_lines(tmp_path, text, faults):
    """A cycle by anchors, a duplicate branch or name, an unknown kind, a wrong override, `..` and `@`: each, at once."""
    found = faults_of_catalogue(tmp_path, text)
    assert len(found) == len(faults)
    assert all(fault.startswith(start) for fault, start in zip(found, faults, strict=True)), found


def test_did_you_mean(tmp_path, cortex):
    """A misspelled field is told with the one that was meant, in catalogues and descriptors."""
    assert faults_of_catalogue(tmp_path, "titel: T\n")[0].endswith("; did you mean title?")
    edit(cortex, lambda document: document.update({"od:specie": []}))
    [fault] = said(cortex)
    assert fault.startswith('datapackage.json, at $["od:specie"]: unknown field "od:specie"')
    assert fault.endswith("; did you mean od:species?")


def test_an_unknown_profile_is_told_and_the_rest_checked_against_the_one_meant(cortex):
    """`$schema` decides; a slip in it hides nothing else."""
    url = json.loads(cortex.read_text())["$schema"]
    edit(cortex, lambda document: document.update({"$schema": f"{url}x", "title": ""}))
    first, second = said(cortex)
    assert first.startswith("datapackage.json, at $.$schema: expected the URL of a profile, such as http")
    assert first.endswith(f"; did you mean {url}?")
    assert second == 'datapackage.json, at $.title: expected at least 1 letter, got ""'
    edit(cortex, lambda document: [document.pop("$schema"), document.update({"title": "T"})])
    assert said(cortex)[0].endswith("; got none")


def test_a_file_that_is_not_as_the_descriptor_says_is_told(cortex):
    """Other bytes, another length, a file that is missing: each with the resource's place."""
    readme = cortex.with_name("README.md")
    readme.write_text("x")
    edit(cortex, lambda document: document["resources"][1].update({"bytes": 2, "hash": f"sha256:{'0' * 64}"}))
    assert said(cortex) == [
        (
            "datapackage.json, at $.resources[1].bytes: expected README.md to have 2 bytes, got 1; "
            "restore the file, or write the descriptor again"
        ),
        (
            f"datapackage.json, at $.resources[1].hash: expected README.md to have the sha256 {'0' * 64}, "
            f"got {hashlib.sha256(b'x').hexdigest()}; restore the file, or write the descriptor again"
        ),
    ]
    edit(cortex, lambda document: document["resources"][1].update({"path": "README.txt"}))
    assert said(cortex)[0] == (
        "datapackage.json, at $.resources[1].path: expected the file README.txt, which is missing; "
        "did you mean README.md? restore the file, or write the descriptor again"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: data + b"x", "got "),
        (lambda data: b"\xef\xbb\xbf" + data, "byte order mark (BOM)"),
        (lambda data: data.replace(b"\n", b"\r\n"), "CR LF (Windows line ends) on 4 of them"),
        (lambda data: data.replace(b"a.swc", b'"a"swc', 1), "cannot be read as CSV"),
        (lambda data: data.replace(b"verifiable", b"verifyable"), "did you mean verifiable?"),
        (lambda data: data.replace(b"a.swc", b"d.swc", 1), 'expected rows in byte order, got "b.swc" after "d.swc"'),
        (lambda data: data.replace(b"b.swc", b"a.swc", 1), 'expected each value once, got "a.swc" again'),
        (lambda data: data.replace(b"path,key", b"path,kee"), "did you mean key?"),
    ],
    ids=["bytes", "bom", "crlf", "quotes", "grade", "order", "twice", "header"],
)
def test_an_inventory_is_checked_row_by_row(cortex, change, fault):
    """A shard edited by hand is told for its hash, and for what is wrong in it."""
    [shard] = (cortex.parent / "files").iterdir()
    shard.write_bytes(change(shard.read_bytes()))
    faults = said(cortex)
    assert any(fault in line for line in faults), faults
    assert any("$.resources[0].hash: expected files/" in line for line in faults)
    alone = said(shard)
    assert any(fault in line for line in alone), alone


def test_a_generated_descriptor_that_was_edited_is_told_with_the_line_of_the_catalogue(tmp_path):
    """What is written from the catalogue is changed in the catalogue: in the branch, or where it inherits from."""
    file = tmp_path / "catalogue.yaml"
    text = "licenses: [{name: CC0-1.0}]\nbranches:\n  A:\n    title: Cells\n    branches: {B: }\n"
    file.write_text(CATALOGUE + text, encoding="utf-8")
    files = package_files(Catalogue.load(file), ())
    mend(tmp_path, files, compare(tmp_path, files))
    assert said(file, *tmp_path.rglob("datapackage.json")) == []
    below = tmp_path / "A" / "B" / "datapackage.json"
    edit(below, lambda document: document.update({"licenses": [{"name": "MIT"}], "keywords": ["x"]}))
    edit(below.parents[1] / "datapackage.json", lambda document: document.update({"title": "Sells", "resources": []}))
    assert said(file, below) == [
        (
            'A/B/datapackage.json, at $.licenses: edited by hand, or out of date: expected [{"name": "CC0-1.0"}], '
            'got [{"name": "MIT"}]; change `licenses` in catalogue.yaml, line 4, instead, then: '
            "opendata describe --write"
        ),
        (
            'A/B/datapackage.json, at $.keywords: edited by hand, or out of date: expected null, got ["x"]; '
            "change `keywords` in catalogue.yaml, line 8, instead, then: opendata describe --write"
        ),
    ]
    faults = said(file, below.parents[1] / "datapackage.json")
    assert faults[-2] == (
        'A/datapackage.json, at $.title: edited by hand, or out of date: expected "Cells", got "Sells"; '
        "change `title` in catalogue.yaml, line 7, instead, then: opendata describe --write"
    )
    assert faults[-1].endswith("; nobody writes it: opendata describe --write")
    file.write_text(CATALOGUE, encoding="utf-8")
    assert said(file, below)[0] == (
        "A/B/datapackage.json: expected a folder of a branch of catalogue.yaml, got A/B, which it does not declare; "
        "declare it there, or take the file away: opendata describe --write"
    )


def test_totals_are_what_the_inventory_adds_up_to(cortex):
    """Files, bytes and grades of a descriptor follow from its inventory."""
    edit(cortex, lambda document: document["od:totals"].update({"files": 7, "bytes": 1, "grades": {"fixed": 3}}))
    found = [fault for fault in said(cortex) if "inventory adds up" in fault]
    assert found[0] == 'datapackage.json, at $["od:totals"].files: expected 3, as the inventory adds up to, got 7'
    assert [line.partition(":")[0].partition("at ")[2] for line in found] == ['$["od'] * 3
    assert found[2].endswith("expected 0, as the inventory adds up to, got 3")


def test_an_inventory_of_its_own_is_checked_as_one(tmp_path):
    """A CSV that no descriptor lists is taken for an inventory."""
    file = tmp_path / "files.csv"
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "key", "bytes", "sha256", "md5", "etag", "version_id", "last_modified", "grade"])
        rows.writerow(["../x", "k", "1", "", "", "", "", "", "mutable"])
    [fault] = said(file)
    assert fault.startswith("files.csv, line 2, column path: expected the form (?!/)")


def test_what_frictionless_says_is_told(cortex, tmp_path):
    """It judges what our checks have passed; tables above the limit are left out, and named."""
    assert validate([cortex], conformance_rows=2).not_shown == (str(cortex),)
    file = tmp_path / "datapackage.json"
    table = {"name": "t", "type": "table", "path": "t.csv", "format": "csv", "dialect": {"delimiter": ";"}}
    table["schema"] = {"fields": [{"name": "a", "type": "integer"}]}
    profile = "https://datapackage.org/profiles/2.0/datapackage.json"
    file.write_text(dump_json({"$schema": profile, "name": "n", "resources": [table]}))
    (tmp_path / "t.csv").write_text("a\nx\n")
    [fault] = said(file)
    assert fault.startswith("datapackage.json, at $.resources[0]: frictionless says: Type error")


def test_a_store_whose_index_does_not_bind_its_release_is_told(store):
    """The release's index was edited, the catalogue too, and the snapshot's rows are of another header."""
    index = store / "releases" / "1.0.0" / "index.json"
    index.write_text(index.read_text() + " ")
    [catalogue] = (store / "catalogues").iterdir()
    catalogue.write_text(catalogue.read_text() + "\n# edited\n")
    [snapshot] = (store / "snapshots").glob("*.parquet")
    edit(snapshot.with_suffix(".json"), lambda document: document.update({"id": "0" * 64}))
    found = [str(fault) for fault in validate([store, snapshot]).faults]
    assert len(found) == 3
    assert "expected the file whose sha256 is its name" in found[0]
    assert f"at $.releases[0].sha256: expected {index} to have the sha256 " in found[1]
    assert "the two files do not belong together or one was altered" in found[2]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.json", "{", "a.json, line 1: expected JSON: Expecting property name enclosed in double quotes, column 2"),
        ("a.json", '{"a": 1, "a": 2}', 'a.json: expected each key once, got "a" again'),
        ("a.json", "[]", "a.json: expected a document that can be checked (a catalogue, a descriptor"),
        ("opendata.lock", '{"files": []}', "opendata.lock, at $: "),
        ("files.tableschema.json", "{}", "files.tableschema.json: expected a Table Schema with a list of `fields`"),
        ("datapackage.json", "[]", "datapackage.json, at $.$schema: "),
        (
            "index.json",
            '{"format": 9, "catalogue": "x", "releases": []}',
            "index.json, at $.format: ",
        ),
        (
            "index.json",
            '{"format": 1, "catalogue": "x", "releases": [{"version": "1"}]}',
            "index.json, at $.releases[0]: expected the field",
        ),
    ],
)
def test_bad_json_is_told_for_what_it_is(tmp_path, name, text, fault):
    """Cut short, ambiguous, of no known kind, of a newer format, or not as its schema has it."""
    file = tmp_path / name
    file.write_text(text)
    found = said(file)
    assert any(line.startswith(fault) for line in found) or (name == "datapackage.json" and found), found


def test_other_files_are_nobodys_business(store, tmp_path):
    """In a folder only our own documents are looked at: data may be JSON, CSV or YAML, too."""
    for name in ("data.json", "index.json", "table.csv", "settings.yaml", "x.git/datapackage.json"):
        (tmp_path / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "more" / name).write_text("{")
    (tmp_path / "more" / "datapackage.json").symlink_to("nowhere")
    with pytest.raises(NotFoundError, match=r"no document in .*: expected datapackage.json, catalogue.yaml"):
        validate([tmp_path / "more"])
    with pytest.raises(NotFoundError, match=r"no file or folder .*: name a document"):
        validate([tmp_path / "nowhere"])


def test_the_command_prints_faults_and_ends_with_1(run_opendata, cortex):
    """As text or JSON; status 1 says that something was found, 0 that nothing was."""
    edit(cortex, lambda document: document.update({"title": ""}))
    done = run_opendata("validate", cortex, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (f'{cortex}, at $.title: expected at least 1 letter, got ""\nchecked 1 descriptor: 1 fault\n')
    done = run_opendata("validate", cortex, "--json", check=False)
    assert (done.returncode, json.loads(done.stdout)) == (
        1,
        {
            "checked": {"descriptor": 1},
            "faults": [{"file": str(cortex), "message": 'expected at least 1 letter, got ""', "path": "$.title"}],
            "tables_not_shown_to_frictionless": [],
        },
    )
    edit(cortex, lambda document: document.update({"title": "T"}))
    done = run_opendata("validate", cortex, "--conformance-rows", "1")
    assert done.stdout == (
        "not shown to frictionless: tables of 1 descriptor with more than 1 row; our own checks read them whole\n"
        "checked 1 descriptor: no faults\n"
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "files/x.csv", "README.md", "sha256:00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "path",
                    "hash",
                    "bytes",
                    "schema",
                    "fields",
                    "name",
                    "type",
                    "constraints",
                    "enum",
                    "minimum",
                    "pattern",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["$schema", "resources", "od:totals", "od:branch", "licenses", "format"]), ANYTHING, ANYTHING)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_document_breaks_the_check(tmp_path, field, value, schema):
    """Whatever stands where in a descriptor or a Table Schema, the answer is faults and never a traceback."""
    (tmp_path / "files").mkdir(exist_ok=True)
    (tmp_path / "files" / "x.csv").write_text("a\n1\n")
    table = {"name": "t", "path": "files/x.csv", "format": "csv", "schema": schema}
    document = {"$schema": "https://datapackage.org/profiles/2.0/datapackage.json", "resources": [table]}
    file = tmp_path / "datapackage.json"
    file.write_text(json.dumps(document | {field: value}))
    assert validate([file]).checked == {"descriptor": 1}


def test_json_without_end_is_told(tmp_path):
    """Levels made to exhaust the reader are a fault like others."""
    file = tmp_path / "datapackage.json"
    file.write_text("[" * 200_000)
    assert said(file) == ["datapackage.json: expected JSON, got more levels inside each other than can be read"]


def test_what_was_checked_is_counted_in_words(run_opendata, tmp_path):
    """One descriptor, two descriptors; two inventories."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("path,size\n")
        (tmp_path / f"{name}.json").write_text("{")
    said = run_opendata("validate", "a.csv", "b.csv", "a.json", "b.json", check=False).stdout
    assert said.splitlines()[-1].startswith("checked 2 broken JSON, 2 inventories: ")
