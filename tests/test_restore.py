"""The lock outlives this tool: docs/restore.py brings its files with the standard library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from opendata_pkg.lock.lock import Lock
from opendata_pkg.readers.syncing import sync
from tests.lock_support import content_of, lock_of, locked, selected

SCRIPT = Path(__file__).parents[1] / "docs" / "restore.py"
PATHS = ("Rat/a.swc", "Rat/b c/d#e.swc", "Rat/é.swc")


@pytest.fixture
def url(tmp_path, static_server):
    """Where the files are."""
    for path in PATHS:
        (tmp_path / "bucket" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bucket" / path).write_bytes(content_of(path))
    return f"{static_server(tmp_path / 'bucket')}/"


def restore(folder, *words):
    """Run the script as a person would who has Python and nothing else."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_brings_every_file(tmp_path, url):
    """The same files at the same places as sync brings them, from the second URL where the first does not answer."""
    files = [locked(path, base=url, known=known) for path, known in zip(PATHS, ("sha256", "md5", "both"), strict=True)]
    other = locked("x.swc", content=content_of(PATHS[0]), selection="new", urls=(f"{url}gone", files[0].urls[0]))
    lock = lock_of(*files, other, selections=(selected(), selected("new", folder="new")))
    # As a Windows editor saves it.
    (tmp_path / "opendata.lock").write_text(lock.dump(), encoding="utf-8-sig")
    done = restore(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 files" in done.stdout
    result = sync(Lock(tmp_path / "opendata.lock"), offline=True)
    assert (result.adopted, result.failed) == (4, ())
    assert sorted(path.name for path in (tmp_path / "data").rglob(".restore*")) == []
    assert restore(tmp_path, "opendata.lock", "data").returncode == 0


def test_never_takes_other_bytes(tmp_path, url):
    """A file that has other bytes by now is named, and nothing of it stays; the others come."""
    (tmp_path / "bucket" / PATHS[0]).write_bytes(b"overwritten")
    lock = lock_of(*(locked(path, base=url) for path in PATHS))
    (tmp_path / "opendata.lock").write_text(lock.dump(), encoding="utf-8")
    done = restore(tmp_path)
    assert done.returncode == 1
    assert "not there: ['Rat/a.swc']" in done.stdout
    assert not (tmp_path / "data" / PATHS[0]).exists()
    assert (tmp_path / "data" / PATHS[1]).exists()


@pytest.mark.parametrize("path", ["../out.swc", "a/../../out.swc", "/tmp/out.swc", "link/out.swc"])
def test_never_leads_out(tmp_path, url, path):
    """A lock edited by hand, or a link in the folder, cannot make it write elsewhere."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "outside")
    text = lock_of(locked(PATHS[0], base=url)).dump().replace(f'"path": "{PATHS[0]}"', f'"path": "{path}"')
    (tmp_path / "opendata.lock").write_text(text)
    done = restore(tmp_path)
    assert "would lead out" in done.stderr
    assert done.returncode == 1
    assert list((tmp_path / "outside").iterdir()) == []
    assert not Path("/tmp/out.swc").exists()
