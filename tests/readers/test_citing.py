"""`opendata cite`: a release, a dataset, a selection, a bucket's snapshot, a lock; from stores and locks as they are."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.citation import Covers, Format, of_selection, render, to_text
from opendata_pkg.cli.cite import FormatChoice
from opendata_pkg.lock.format import LockContent
from opendata_pkg.lock.lock import Lock
from opendata_pkg.plan.selection import EmptySelectionError, Rules
from opendata_pkg.readers.citing import NoReferenceError, cite, cite_lock
from opendata_pkg.readers.pinning import pin
from opendata_pkg.targets.opening import open_target
from tests.core_support import catalogue_of, dataset, entry_of, opendata, publish, snapshot_of

CATALOGUE = """\
licenses: [{name: CC-BY-4.0, path: "https://creativecommons.org/licenses/by/4.0/"}]
contributors: [{title: Reef & Co., roles: [creator, rightsHolder]}]
branches:
  Rat:
    title: Rats
    branches: {Cortex: {title: Rat cortex, licenses: [{name: ODbL-1.0}], contributors: [{title: Others}]}}
  Mouse: {title: Mice}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of two releases; Mouse is the same in both."""
    path = tmp_path_factory.mktemp("secret") / "store"
    publish(path, "1.0.0", snapshot_of("Rat/a.swc", "Mouse/c.swc", "z"), catalogue_of(CATALOGUE))
    entries = [
        entry_of("Rat/a.swc"),
        entry_of("Rat/Cortex/b.txt", "bb", day=40),
        entry_of("Mouse/c.swc"),
        entry_of("z"),
    ]
    publish(path, "1.1.0", snapshot_of(*entries), catalogue_of(CATALOGUE))
    return path


@pytest.fixture
def lock(store, tmp_path):
    """A lock of two selections of that store."""
    path = tmp_path / "opendata.lock"
    pin("Rat@1.1.0", store=store, lock=path, name="rats", rules=Rules(include=("*.swc", "*.txt"), larger=0))
    pin("Mouse@1.0.0", store=store, lock=path, name="mice")
    return path


def test_a_dataset_is_cited_with_all_below_it(store):
    """Commit and digest over the subtree, as the release has them; every licence and author below it."""
    entry = dataset(store, "Rat")
    cited = cite(open_target("Rat", store=store))
    assert (cited.commit, cited.covers, cited.version) == (entry.written.commits.main, Covers.DATASET, "1.1.0")
    assert cited.fixity.digest == f"sha256:{entry.subtree_digest.sha256}"
    assert cited.fixities[0].digest == f"sha256:{entry.written.digest.sha256}"
    assert cited.license_names == ("CC-BY-4.0", "ODbL-1.0")
    assert [agent.name for agent in cited.authors] == ["Reef & Co.", "Others"]
    assert (cited.files, cited.size_bytes) == (2, entry.subtree_bytes)
    assert cited.swhid == f"swh:1:rev:{cited.commit}"
    assert cited.key == "opendata-rat-1.1.0"


def test_a_release_is_its_root(store):
    """Without a branch, the whole release is cited, dated as the store says."""
    cited = cite(open_target(".@1.1.0", store=store))
    assert (cited.covers, cited.title, cited.date, cited.publisher) == (
        Covers.RELEASE,
        "An example",
        "2024-02-10",
        "Reef & Co.",
    )


def test_an_old_version_is_cited_as_it_was(store):
    """Its own commit, digest, licences and date."""
    cited = cite(open_target("Rat@1.0.0", store=store))
    assert (cited.version, cited.date, cited.license_names) == ("1.0.0", "2024-01-01", ("CC-BY-4.0",))
    assert cited.commit == dataset(store, "Rat", "1.0.0").written.commits.main
    assert len(cited.fixities) == 1


def test_a_dataset_without_rules_reads_no_inventory(store, tmp_path):
    """To cite a release of a million files takes no more than to cite one of ten."""
    bare = shutil.copytree(store, tmp_path / "bare")
    for shard in bare.glob("releases/*/*/files/*.csv"):
        shard.unlink()
    assert cite(open_target("Rat", store=bare)) == cite(open_target("Rat", store=store))


def test_rules_make_it_a_selection(store):
    """By its digest, with the licences of the files that are in it and no SWHID of something larger."""
    target = open_target("Rat@1.1.0", store=store)
    cited = cite(target, Rules(include=("*.txt",)))
    assert (cited.covers, cited.files, cited.license_names, cited.swhid) == (Covers.SELECTION, 1, ("ODbL-1.0",), None)
    assert cited.fixity.digest == target.select(Rules(include=("*.txt",))).digest
    assert cite(open_target("Rat@1.1.0:Cortex", store=store)).query == "path Cortex"
    with pytest.raises(EmptySelectionError):
        cite(target, Rules(include=("*.nwb",)))


def test_a_store_on_the_web_is_cited_by_its_url(store, static_server):
    """Readers are sent where the store is."""
    url = static_server(store)
    assert cite(open_target("Rat", store=url)).url == f"{url}/"
    assert cite(open_target("Rat", store=url), Rules(larger=0)).url == f"{url}/"


def test_a_snapshot_is_cited_by_bucket_and_day(tmp_path):
    """A file of a snapshot gives the same citation wherever it lies."""
    path = tmp_path / "secret.parquet"
    snapshot_of(entry_of("a", day=3), "b").write(path)
    text = to_text(cite(open_target(str(path))))
    assert text.startswith("Anonymous (2024). Files of http://127.0.0.1:9/bucket/ (2 files, 2 B; as of 2024-01-04)")
    assert "secret" not in text


def test_a_lock_is_cited_from_itself_alone(lock, store, tmp_path):
    """The same as when the store was there: each selection's text is the line that the lock keeps."""
    alone = shutil.copy(lock, tmp_path / "alone.lock")
    citations = cite_lock(Lock(alone))
    assert [to_text(cited) for cited in citations] == [entry.citation for entry in Lock(lock).selections.values()]
    assert [cited.key.rpartition("-")[0] for cited in citations] == ["opendata-mouse-1.0.0", "opendata-rat-1.1.0"]
    fresh = of_selection(open_target("Mouse@1.0.0", store=store).select())
    for form in (Format.BIBTEX, Format.TEXT):
        assert render([citations[0]], form) == render([fresh], form)


def test_every_licence_of_a_lock_is_named(lock):
    """In the paragraph as a whole, and with each selection."""
    paragraph = opendata("cite", "--lock", lock)[1].splitlines()[0]
    assert "under CC-BY-4.0 and ODbL-1.0 [2]" in paragraph
    assert ". Licences: CC-BY-4.0, ODbL-1.0. " in paragraph
    assert "`opendata sync --lock opendata.lock`" in paragraph


def test_a_selection_pinned_twice_is_cited_once(lock, store):
    """Under another name it is the same work."""
    pin("Mouse@1.0.0", store=store, lock=lock, name="again")
    assert len(cite_lock(Lock(lock))) == 2


def test_a_lock_without_references(lock):
    """It is said what is missing and what to do, and the line that there is."""
    content = Lock(lock).content
    bare = {name: replace(entry, reference=None) for name, entry in content.selections.items()}
    lock.write_text(LockContent(selections=bare, files=content.files).dump())
    with pytest.raises(
        NoReferenceError, match=r"selection mice of .* only this line: 'Reef & Co\. \(2024\).*pin it again"
    ):
        cite_lock(Lock(lock))


def test_an_empty_lock_has_nothing_to_cite(tmp_path):
    """It is said what to do first."""
    path = tmp_path / "opendata.lock"
    path.write_text(LockContent(selections={}, files=()).dump())
    status, _, said = opendata("cite", "--lock", path)
    assert status == 4
    assert "pins nothing: pin something first" in " ".join(said.split())


TEXT = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["}", "\\", "a b", "https://h/}{", "10.1/x y", "../../x", "a\nb", "%", "x,\n"]
)


@settings(max_examples=60)
@given(st.data())
def test_a_lock_edited_by_hand_breaks_no_format(tmp_path_factory, data):
    """Whatever somebody writes into a reference, what comes out is one entry a selection, in every format."""
    reference = {
        "name": data.draw(TEXT),
        "title": data.draw(TEXT),
        "authors": [{"name": data.draw(TEXT), "family": data.draw(TEXT), "given": data.draw(TEXT)}],
        "licenses": [{"name": data.draw(TEXT), "path": data.draw(TEXT)}],
        "publisher": data.draw(TEXT),
        "date": "2024-01-31",
        "url": f"http://{data.draw(TEXT)}",
        "doi": data.draw(TEXT),
        "source": data.draw(TEXT),
    }
    entry = {"branch": ".", "version": None, "rules": {}, "source": "s3://b", "snapshot": "1" * 64}
    entry |= {"digest": f"sha256:{'2' * 64}", "licenses": [], "citation": "x", "reference": reference}
    path = tmp_path_factory.mktemp("lock") / "opendata.lock"
    path.write_text(json.dumps({"format": 1, "selections": {"a": entry}, "files": []}))
    citations = cite_lock(Lock(path))
    assert render(citations, Format.BIBTEX).count("\n}\n") == 1
    assert all(line.startswith("  ") for line in render(citations, Format.BIBLATEX).splitlines()[1:-1])
    assert (
        yaml.safe_load(render(citations, Format.CFF))["authors"][0]["family-names"] == reference["authors"][0]["family"]
    )
    assert len(json.loads(render(citations, Format.CSL))) == 1
    assert render(citations, Format.TEXT).count("\n") == 1


# The command.


def test_the_formats_of_the_command_are_those_of_the_library():
    """The help knows them without loading them."""
    assert [choice.value for choice in FormatChoice] == [form.value for form in Format]


EVERY_FORMAT = """
import sys
from opendata_pkg.citation import Format, render
from opendata_pkg.readers.citing import cite, cite_lock
from opendata_pkg.lock.lock import Lock
from opendata_pkg.targets.opening import open_target

store, lock = sys.argv[1:]
for citations, name in (([cite(open_target("Rat", store=store))], None), (cite_lock(Lock(lock)), "opendata.lock")):
    for form in Format:
        sys.stdout.buffer.write(render(citations, form, lock=name).encode())
"""


def test_the_same_words_on_every_run(store, lock):
    """Whatever the hash seed, time zone and locale: a citation depends on what is cited alone, in every format."""
    environments = ({"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}, {"PYTHONHASHSEED": "2", "LC_ALL": "C", "TZ": "UTC"})
    words = [sys.executable, "-c", EVERY_FORMAT, store, lock]
    once, again = (subprocess.check_output(words, env=os.environ | environment) for environment in environments)
    assert once == again
    assert b"secret" not in once


def test_json_is_csl(store, lock):
    """A list of items, of a dataset and of a lock."""
    for words, count in ((("Rat", "--store", store), 1), (("--lock", lock), 2)):
        items = json.loads(opendata("cite", *words, "--json")[1])
        assert [item["type"] for item in items] == ["dataset"] * count
        assert items == json.loads(opendata("cite", *words, "--format", "csl")[1])


def test_selection_options(store):
    """Rules as in every command that reads."""
    words = (
        "cite",
        ".",
        "--store",
        store,
        "--include",
        "*.swc",
        "--exclude",
        "Mouse",
        "--larger",
        "0",
        "--smaller",
        "1kB",
    )
    status, text, _ = opendata(*words)
    assert status == 0
    assert "Selected by include *.swc, exclude Mouse, larger 0, smaller 1000 from dataset commit" in text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--lock", "opendata.lock", "Rat"), 2, "a lock says itself what it pins"),
        (("--lock", "opendata.lock", "--include", "x"), 2, "a lock says itself what it pins"),
        (("--lock", "nowhere.lock"), 4, "no lock at nowhere.lock"),
        (("--format", "word"), 2, "'word' is not one of"),
        (("--larger", "big"), 2, "expected a size such as 1000"),
        (("Rat@9.9.9",), 4, "no version 9.9.9"),
        (("Cat",), 4, "no branch 'Cat'"),
    ],
)
def test_what_cannot_be_cited(words, status, sentence, store):
    """Each with the exit status and what to do."""
    found, _, said = opendata("cite", *words, "--store", store)
    assert found == status
    assert sentence in " ".join(said.replace("│", " ").split())


# The page.

REEF = """\
licenses: [{name: ODbL-1.0}]
contributors: [{title: Example Institute, roles: [creator]}]
branches:
  photos: {title: Photographs}
  water/north: {title: Water of the northern reef, licenses: [{name: CC0-1.0}]}
"""
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "cite.md"


def test_the_page_works_as_it_stands(tmp_path):
    """Every command of docs/how-to/cite.md, in order, in one shell; and what it shows is what is printed."""
    page = HOW_TO.read_text(encoding="utf-8")
    keys = ("photos/2023/a.jpg", "photos/2024/b.jpg", "water/north/station-1.ctd")
    snapshot = snapshot_of(*keys, base_url="https://data.example.org/reef/")
    publish(tmp_path / "store", "2024.6.1", snapshot, catalogue_of(REEF))
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    program = f"opendata() {{ '{sys.executable}' -m opendata_pkg \"$@\"; }}"
    environment = os.environ | {"OPENDATA_STORE": str(tmp_path / "store")}
    done = subprocess.run(
        ["bash", "-c", f"set -eu\n{program}\n{commands}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (shown,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    first, *lines = done.stdout.splitlines()
    pattern = re.escape(" ".join(shown.split())).replace("…", "[0-9a-f]+")
    assert re.fullmatch(pattern, first)
    assert "Selected by include 2024/*, larger 0 from dataset commit" in lines[0]
    assert any(line.startswith("[1] Example Institute") and "CC0-1.0" in line for line in lines)
    assert (tmp_path / "paper.bib").read_text().count("@misc{") == 2
    assert (tmp_path / "data-biblatex.bib").read_text().startswith("@dataset{opendata-photos-2024.6.1,")
    assert json.loads((tmp_path / "data.json").read_text())[0]["version"] == "2024.6.1"
