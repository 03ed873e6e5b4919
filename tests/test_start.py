"""What commands do not import: nobody waits for a library that the command does not use."""

import os
import subprocess
import sys

import pytest

from opendata_pkg.workers import Workers
from tests.core_support import catalogue_of, publish, snapshot_of
from tests.serving import serve

KEYS = ("Rat/a.swc", "Rat/Cortex/b.swc")
WEB = {"boto3", "botocore", "urllib3", "requests", "pooch"}
DOCUMENTS = {"jsonschema", "referencing", "frictionless"}
ARROW = {"numpy", "pyarrow"}
# What only publishing needs.
WRITING = {
    f"opendata_pkg.{name}"
    for name in (
        "dataset.dataset",
        "citation",
        "dataset.readme",
        "dataset.registry",
        "dataset.inventory",
        "dataset.logs",
        "store.store",
    )
}
REPORT = """\
import sys
from opendata_pkg.cli.main import main
try:
    main()
except SystemExit as end:
    status = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store, a snapshot and a lock; where their files were served, and cached, nothing listens now."""
    folder = tmp_path_factory.mktemp("start")
    with serve() as server:
        server.files = {f"bucket/{key}": key.encode() for key in KEYS}
        snapshot = snapshot_of(*KEYS, base_url=f"{server.url}/bucket/")
        snapshot.write(folder / "s.parquet")
        publish(folder / "store", "1.0.0", snapshot, catalogue_of())
        for words in (
            ["fetch", "s.parquet"],
            ["fetch", ".", "--store", "store"],
            ["pin", ".", "--store", "store"],
            ["sync"],
            ["clone", "Rat", "got", "--store", "store", "--get"],
        ):
            run(folder, *words)
    return folder


def run(folder, *words):
    """The names of the modules that a command had imported when it ended well."""
    command = [sys.executable, "-c", REPORT, *words]
    environment = {**os.environ, "OPENDATA_CACHE": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        (["--version"], WEB | DOCUMENTS | ARROW | {"rich", "yaml", "pydantic", "opendata_pkg.cli.fetch"}),
        (["--help"], WEB | DOCUMENTS | ARROW | {"rich", "yaml", "http.client"}),
        (
            ["fetch", "s.parquet"],
            WEB | DOCUMENTS | WRITING | {"http.client", "numpy", "pathspec", "sqlite3", "yaml", "rich"},
        ),
        (
            ["fetch", ".", "--store", "store"],
            WEB | DOCUMENTS | WRITING | {"numpy", "pathspec", "pyarrow.parquet", "rich"},
        ),
        (["find", "Rat", "--store", "store", "--include", "*.swc"], WEB | DOCUMENTS | WRITING | {"numpy", "sqlite3"}),
        (["find", "s.parquet", "--json"], WEB | DOCUMENTS | WRITING | {"numpy", "yaml", "rich"}),
        (["clone", "Rat", "rat", "--store", "store"], WEB | DOCUMENTS | WRITING | {"numpy", "pyarrow.parquet"}),
        (["get", "got"], WEB | DOCUMENTS | WRITING | ARROW | {"http.client", "ssl", "sqlite3", "yaml"}),
        (["sync"], WEB | DOCUMENTS | ARROW | {"http.client", "ssl", "sqlite3", "yaml", "opendata_pkg.cache.cache"}),
        (["versions", "--store", "store"], WEB | DOCUMENTS | WRITING | ARROW | {"rich"}),
        (["tree", "--store", "store"], WEB | DOCUMENTS | WRITING | ARROW),
        (["info", "Rat", "--store", "store"], WEB | DOCUMENTS | WRITING | ARROW),
        (["info", "Rat:a.swc", "--store", "store"], WEB | DOCUMENTS | WRITING | {"numpy"}),
        (["registry", ".", "--store", "store"], WEB | DOCUMENTS | {"numpy"}),
        (["cite", ".", "--store", "store"], WEB | DOCUMENTS | {"numpy"}),
        (["hash", "s.parquet", "--dry-run"], {"numpy"}),
        (["validate", "s.parquet"], {"numpy"}),
        (["verify", "--store", "store"], WEB | DOCUMENTS | {"numpy"}),
        (["verify", "--lock", "opendata.lock"], WEB | DOCUMENTS | ARROW | {"http.client", "ssl", "sqlite3", "yaml"}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_uses(place, words, unused):
    """Each of these readers' commands ends well without having imported what it does not use."""
    assert run(place, *words) & unused == set()


def test_publishing_what_did_not_change_imports_no_arrow(tmp_path):
    """Of a snapshot that was released last, neither build nor release looks at a row."""
    snapshot = snapshot_of(*KEYS)
    snapshot.write(tmp_path / "s.parquet")
    publish(tmp_path / "store", "1.0.0", snapshot, catalogue_of())
    unused = (
        WEB
        | DOCUMENTS
        | ARROW
        | {"opendata_pkg.building.drafting", "opendata_pkg.dataset.dataset", "opendata_pkg.citation", "rich"}
    )
    assert run(tmp_path, "build", "s.parquet", "--store", "store") & unused == set()
    assert run(tmp_path, "release", "2.0.0", "--store", "store") & unused == set()


def test_building_imports_no_numpy(tmp_path):
    """Nor do the processes that write: nothing of theirs has a use for it."""
    snapshot_of(*KEYS).write(tmp_path / "s.parquet")
    assert run(tmp_path, "build", "s.parquet", "--store", "store", "--allow-undigested") & {"numpy"} == set()
    with Workers(1) as workers:
        workers.call("modules", eval, "sorted(__import__('sys').modules)")
        _, modules = workers.wait()
    assert {"numpy", "pyarrow"} & set(modules) == {"pyarrow"}


def test_a_release_imports_no_arrow(tmp_path):
    """Whatever is new in the draft: a release reads no row."""
    snapshot_of(*KEYS).write(tmp_path / "s.parquet")
    run(tmp_path, "build", "s.parquet", "--store", "store")
    assert run(tmp_path, "release", "1.0.0", "--store", "store") & (WEB | DOCUMENTS | ARROW | {"rich"}) == set()
