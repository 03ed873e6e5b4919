"""The story: it comes out well on real files, says so when it does not, and leaves no server behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from opendata_pkg.demo import story
from opendata_pkg.demo.samples import Edits, Samples
from opendata_pkg.demo.story import (
    DemoFailedError,
    MissingProgramError,
    NoProtocolsError,
    Released,
    check_programs,
    perform,
    set_stage,
)

NO_SAMPLES = Samples(first={}, edits=Edits(overwritten={}, added={}, deleted=()))


def perform_part(folder, part):
    """Perform a story of one part; returns (its outcome or error, the endpoint at which its server answered)."""
    endpoints = []

    def parts(scene):
        with urllib.request.urlopen(scene.server.endpoint_url, timeout=10):
            endpoints.append(scene.server.endpoint_url)
        return part(scene)

    try:
        outcome = perform(set_stage(folder), NO_SAMPLES, parts)
    except (DemoFailedError, KeyboardInterrupt) as error:
        outcome = error
    (endpoint,) = endpoints
    return outcome, endpoint


def is_stopped(endpoint):
    """Whether the server that answered answers no more."""
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(endpoint, timeout=5)
    return True


@pytest.mark.s3
def test_failed_check_fails_the_demo(tmp_path):
    """A failed check ends the demo with status 6 and its sentence, after the story; the server is stopped."""

    def part(scene):
        scene.stage.check("counts agree", expected=3, got=4)
        return ()

    error, endpoint = perform_part(tmp_path / "demo", part)
    assert isinstance(error, DemoFailedError)
    assert "counts agree: expected 3, got 4" in str(error)
    assert error.exit_status == 6
    assert is_stopped(endpoint)


@pytest.mark.s3
def test_interrupted_demo_stops_its_server(tmp_path):
    """Interrupted, the demo stops its server; run again, it takes its folder back."""

    def interrupted(_scene):
        raise KeyboardInterrupt

    error, endpoint = perform_part(tmp_path / "demo", interrupted)
    assert isinstance(error, KeyboardInterrupt)
    assert is_stopped(endpoint)
    release = Released(version="1.0.0", datasets=1, files=2, size_bytes=3, added=2, changed=0, removed=0)
    summary, _ = perform_part(tmp_path / "demo", lambda _scene: (release,))
    assert summary.to_dict()["releases"] == [
        {"version": "1.0.0", "datasets": 1, "files": 2, "bytes": 3, "added": 2, "changed": 0, "removed": 0}
    ]
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [".opendata-demo"]


def test_missing_tools_are_named(tmp_path):
    """Programs that are missing are named in one sentence, with how to get them."""
    (tmp_path / "git").touch(mode=0o755)
    with pytest.raises(MissingProgramError, match=r"git-annex, datalad, not found.*pip install") as caught:
        check_programs(("git", "git-annex", "datalad"), str(tmp_path))
    assert caught.value.exit_status == 4


def test_a_bare_system_is_named(tmp_path, monkeypatch):
    """Where git-annex could fetch nothing, the demo says before it begins which package is missing."""

    def lookup(name):
        raise OSError("protocol not found")

    monkeypatch.setattr(socket, "getprotobyname", lookup)
    (tmp_path / "git").touch(mode=0o755)
    with pytest.raises(NoProtocolsError, match=r"no /etc/protocols.*apt install netbase"):
        check_programs(("git",), str(tmp_path))


@pytest.mark.parametrize(
    ("branch", "is_above"), [(".", True), ("a", True), ("a/b", True), ("a/b/c", False), ("ab", False), ("d", False)]
)
def test_datasets_above_a_file(branch, is_above):
    """A file changes the dataset that owns it and those above, up to the root."""
    branches = (".", "a", "a/b", "a/b/c", "ab", "d")
    assert story._is_above_any(branch, ["a/b/cc/file"], branches) is is_above


@pytest.mark.s3
@pytest.mark.slow
def test_whole_demo(run_opendata, tmp_path):
    """`opendata demo` comes out well, in a folder whose name has a space, and leaves store and clone to look at."""
    # `make` has fetched the sample wheels with everything else: the tests themselves need no network.
    if (fetched := Path(sys.prefix) / "demo-wheels").is_dir():
        shutil.copytree(fetched, Path(os.environ["OPENDATA_CACHE"]) / "demo-wheels")
    folder = tmp_path / "my demo"
    done = run_opendata("demo", folder, "--json")
    summary = json.loads(done.stdout)
    first, second = summary["releases"]
    assert (first["version"], first["added"], first["changed"], first["removed"]) == ("2026.1.0", first["files"], 0, 0)
    assert (second["version"], second["added"], second["changed"], second["removed"]) == ("2026.1.1", 5, 2, 3)
    assert second["datasets"] == first["datasets"] + 2
    assert {f"the {what} object has its bytes of 2026.1.0" for what in ("overwritten", "deleted")} < set(
        summary["checks"]
    )
    assert "✗" not in done.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names == [".opendata-demo", "clone", "data", "opendata.lock", "part", "pooch", "snapshots", "store"]
    log = ["git", "-C", str(folder / "clone"), "log", "--format=%D"]
    tags = subprocess.run(log, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert "tag: 2026.1.0" in tags
    checked = json.loads(run_opendata("validate", folder / "store", "--json").stdout)
    assert (checked["faults"], checked["tables_not_shown_to_frictionless"]) == ([], [])
