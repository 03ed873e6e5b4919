"""The verbs for Python: what a person types in a notebook, on real files behind a real web server."""

import json
import subprocess
import sys

import pytest

import opendata_pkg
from opendata_pkg import Lock, OpenDataError, cite, clone, diff, fetch, find, get, open_dataset, pin, pooch, sync, unpin
from opendata_pkg import verify as verify_files
from opendata_pkg.differences import Kind
from opendata_pkg.verification import Status
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
        "import sys, opendata_pkg, opendata_pkg.fetching, opendata_pkg.registry\n"
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
