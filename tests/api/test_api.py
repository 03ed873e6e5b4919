"""The verbs for Python: what a person types in a notebook, on real files behind a real web server."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import opendata_pkg
from opendata_pkg import Lock, OpenDataError, cite, clone, diff, fetch, find, get, open_dataset, pin, pooch, sync, unpin
from opendata_pkg import verify as verify_files
from opendata_pkg.comparison.differences import Kind
from opendata_pkg.digests.findings import Status
from tests.core_support import entry_of, publish, snapshot_of

CONTENTS = {"Rat/Cortex/a b.swc": "a neuron", "Rat/Cortex/c.h5": "a circuit", "Mouse/d.swc": "another neuron"}


@pytest.fixture
def store(tmp_path, static_server, monkeypatch):
    """A store with two versions, whose files a web server hands out; the current folder is empty."""
    for key, text in CONTENTS.items():
        path = tmp_path / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    base = static_server(tmp_path / "bucket") + "/"
    entries = [entry_of(key, text) for key, text in CONTENTS.items()]
    publish(tmp_path / "store", "1.0.0", snapshot_of(*entries[1:], base_url=base))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*entries, base_url=base))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "store"


def test_every_verb_is_exported_and_nothing_is_imported_for_it():
    """`import opendata_pkg` takes no time; each name is found when it is asked for, wherever its module is."""
    script = (
        "import sys, opendata_pkg, opendata_pkg.readers.fetching, opendata_pkg.dataset.registry\n"
        "loaded = set(sys.modules)\n"
        "assert all(callable(getattr(opendata_pkg, name)) for name in opendata_pkg.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    light = "import sys, opendata_pkg; print(sorted({'pyarrow', 'boto3', 'pooch', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", light], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'fetsch'"):
        _ = opendata_pkg.fetsch


def test_look_and_find(store):
    """A dataset shows itself as a table; found files are an Arrow table."""
    dataset = open_dataset("Rat", store=store)
    assert "Rat@1.1.0" in dataset._repr_html_()
    found = find("Rat", include=["*.swc"], store=store)
    assert found.table["path"].to_pylist() == ["Rat/Cortex/a b.swc"]
    with pytest.raises(OpenDataError, match=r"no file of Rat@1\.1\.0 matches include \*\.nrrd"):
        find("Rat", include=["*.nrrd"], store=store)


def test_one_glob_may_stand_without_a_list(store):
    """`include="*.swc"` means that glob, not each of its letters, of which `*` is all files."""
    for verb, files in (
        (find, lambda found: found.table["path"].to_pylist()),
        (fetch, lambda result: list(result.paths)),
        (pooch, lambda made: list(made.registry)),
        (pin, lambda _: list(Lock("opendata.lock"))),
    ):
        assert files(verb("Rat", include="*.swc", store=store)) == ["Rat/Cortex/a b.swc"]
    assert find("Rat", exclude="*.swc", store=store).table["path"].to_pylist() == ["Rat/Cortex/c.h5"]
    assert diff("Rat@1.0.0", "Rat@1.1.0", include="*.h5", store=store).totals[Kind.ADDED].files == 0
    assert ".swc" in cite("Rat", include="*.swc", store=store)


@pytest.mark.usefixtures("quick_retries")
def test_the_environment_counts_as_on_the_command_line(store, monkeypatch):
    """`OPENDATA_STORE` names the store, and a store that is named comes first; `OPENDATA_OFFLINE` keeps to the cache."""
    with pytest.raises(OpenDataError, match="OPENDATA_STORE"):
        find("Rat")
    monkeypatch.setenv("OPENDATA_STORE", str(store))
    assert len(find("Rat")) == 2
    assert len(fetch("Rat").paths) == 2
    assert verify_files(fetch("Rat", to="copies").paths["Rat/Cortex/c.h5"].parent, against="Rat:Cortex").ok
    with pytest.raises(OpenDataError, match="nothing says what should be in"):
        verify_files()
    with pytest.raises(OpenDataError, match="no store at nowhere"):
        find("Rat", store="nowhere")
    monkeypatch.setenv("OPENDATA_OFFLINE", "1")
    with pytest.raises(OpenDataError, match="offline"):
        find("Rat", store="http://127.0.0.1:1/")
    with pytest.raises(OpenDataError, match="Connection refused"):
        find("Rat", store="http://127.0.0.1:1/", offline=False)


def test_sizes_may_be_texts(store):
    """As on the command line; what is no size is told, with the name of the word."""
    for verb in (find, fetch, pooch, pin):
        verb("Rat", larger="8B", smaller="1.5kB", store=store)
    assert find("Rat", larger="8B", store=store).table["path"].to_pylist() == ["Rat/Cortex/c.h5"]
    assert list(fetch("Rat", smaller="0.009 kB", store=store).paths) == ["Rat/Cortex/a b.swc"]
    assert list(Lock("opendata.lock")) == ["Rat/Cortex/c.h5"]
    with pytest.raises(OpenDataError, match=r"smaller: expected a size such as 1000, 20kB or 1\.5MiB, got 'much'"):
        find("Rat", smaller="much", store=store)


def test_the_home_folder_in_every_place(store, home, monkeypatch):
    """`~/` is the home folder in texts, paths and variables, as no shell has replaced it there."""
    (home / "store").symlink_to(store)
    snapshot_of(entry_of("Rat/a", "a")).write(home / "s.parquet")
    monkeypatch.setenv("OPENDATA_STORE", "~/store")
    pin("Rat", lock="~/x.lock", name="rats", store=Path("~/store"))
    assert list(Lock("~/x.lock", data="~/data")) == ["Rat/Cortex/a b.swc", "Rat/Cortex/c.h5"]
    assert len(find("~/s.parquet")) == 1
    assert len(diff("~/x.lock", "Rat")) == 0
    assert fetch("Rat", to="~/to").paths["Rat/Cortex/c.h5"] == home / "to" / "Cortex" / "c.h5"
    assert sync("~/x.lock", to="~/filled").folder == home / "filled"
    assert sync("~/x.lock", from_="~/filled", to="~/again").files == 2
    assert verify_files("~/filled", lock="~/x.lock").ok
    assert verify_files(store="~/store").ok
    assert clone("Rat", "~/rats").folder == home / "rats"
    unpin("rats", lock="~/x.lock")
    monkeypatch.delenv("OPENDATA_STORE")
    with pytest.raises(OpenDataError, match=f"no catalogue at {home}/none.yaml"):
        find("Rat", catalogue="~/none.yaml")
    assert list(Path().iterdir()) == []


def test_words_may_be_texts_and_unknown_ones_are_told(store):
    """Grades, orders and formats by their names, files by their paths as texts; what is none of them is refused."""
    assert len(find("Rat", grade="verifiable", sort="size", store=store)) == 2
    with pytest.raises(OpenDataError, match="expected grade to be one of fixed, verifiable, versioned, mutable, got"):
        find("Rat", grade="good", store=store)
    with pytest.raises(OpenDataError, match="expected sort to be one of path, size, got 'sizes'"):
        find("Rat", sort="sizes", store=store)
    with pytest.raises(OpenDataError, match="expected form to be one of text, bibtex"):
        cite("Rat", form="bib", store=store)
    with pytest.raises(OpenDataError, match=r"no\.yaml"):
        find("Rat", catalogue="no.yaml")


def test_what_is_printed_is_short(store, tmp_path):
    """A text of one line, however many files there are: also where nobody draws tables."""
    assert repr(open_dataset("Rat:Cortex", store=store)) == f"<StoreTarget Rat@1.1.0:Cortex of {store}>"
    assert repr(find("Rat", store=store)) == f"<Selection Rat@1.1.0 of {store}: 2 files, 17 bytes>"
    assert repr(fetch("Rat", store=store, to=tmp_path / "to")) == "<FetchResult: 2 files, 2 of them downloaded>"
    (tmp_path / "to" / "Cortex").rename(tmp_path / "to" / "other")
    said = f"<Verification: checked 2 files of {tmp_path / 'to'} against Rat, 17 bytes"
    assert repr(verify_files(tmp_path / "to", against="Rat", store=store)).startswith(said)
    assert repr(diff("Rat@1.0.0", "Rat", store=store)) == "<Diff Rat@1.0.0 → Rat: 1 added>"
    assert repr(diff("Rat", "Rat@1.1.0", store=store)) == "<Diff Rat → Rat@1.1.0: no differences>"


def test_what_is_opened_goes_to_other_processes(store, static_server):
    """Pickled before or after it was used, a dataset selects the same files there: in a folder, or on the web."""
    for where in (store, static_server(store)):
        dataset = open_dataset("Rat", store=where)
        for _ in range(2):
            again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
            assert again.select() == dataset.select()


def test_fetch_and_pooch_share_their_files(store):
    """What the one has brought, the other finds."""
    got = fetch("Rat", include=["*.swc"], store=store)
    path = got.paths["Rat/Cortex/a b.swc"]
    assert path.read_text() == "a neuron"
    files = pooch("Rat", store=store)
    assert files.fetch("Rat/Cortex/a b.swc") == str(path)
    assert sorted(files.registry) == ["Rat/Cortex/a b.swc", "Rat/Cortex/c.h5"]


def test_pin_sync_verify_cite_unpin(store):
    """An author's afternoon."""
    pin("Rat", include=["*.swc"], store=store, name="neurons")
    assert sync().files == 1
    lock = Lock("opendata.lock")
    assert [lock[path].read_text() for path in lock] == ["a neuron"]
    assert verify_files().ok
    assert "Rats" in cite()
    assert cite(lock=lock, form="bibtex").startswith("@misc{")
    assert json.loads(cite("Rat@1.0.0", store=store, form="csl"))[0]["version"] == "1.0.0"
    pin("Rat", store=store, name="neurons", update=True)
    assert len(Lock("opendata.lock")) == 2
    assert unpin("neurons")
    assert len(Lock("opendata.lock")) == 0


def test_what_is_wrong_is_in_the_result(store):
    """A file that was altered is named, in text and in notebooks."""
    pin("Rat", store=store)
    sync()
    path = Lock("opendata.lock")["Rat/Cortex/c.h5"]
    path.chmod(0o644)
    path.write_text("A circuit")
    found = verify_files()
    assert not found.ok
    assert [finding.path for finding in found.named(Status.CHANGED)] == ["Rat/Cortex/c.h5"]
    assert "Rat/Cortex/c.h5" in found._repr_html_()


def test_diff_of_two_versions(store):
    """What came, as a table too."""
    found = diff("Rat@1.0.0", "Rat@1.1.0", store=store)
    assert found.totals[Kind.ADDED].files == 1
    assert "Rat@1.0.0" in found._repr_html_()


def test_clone_and_get(store):
    """A part with contents, and the rest afterwards."""
    made = clone("Rat", "rats", recursive=True, include=["*.swc"], contents=True, store=store)
    here = {path.name: path.exists() for path in (made.folder / "Cortex").iterdir() if path.is_symlink()}
    assert here == {"a b.swc": True, "c.h5": False}
    assert get("rats").files == 1
    assert (made.folder / "Cortex" / "c.h5").read_text() == "a circuit"
    assert verify_files("rats").ok
