"""The demo's bucket and store, served to try commands on; and the tutorial, which does so."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.s3, pytest.mark.slow]

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "pin_and_plot.py"


def test_the_tutorial_does_what_it_says(served, tmp_path, git_identity):
    """Pin, sync, verify, read with MorphIO and pyABF, plot, cite, clone: in an empty folder, from the store's URL."""
    folder = tmp_path / "my paper"
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path / "mpl"), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(TUTORIAL), served["store"], str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "verified: True" in done.stdout
    assert re.search(r"[1-9][0-9,]* points of neurons, [1-9] recordings", done.stdout)
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "data.bib").read_text().count("@misc{") == 2
    assert [path for path in (folder / "clone").rglob("*.swc") if path.exists()]


def test_the_bucket_is_there_too(served, run_opendata):
    """Straight from it, without the store."""
    at = ("--endpoint-url", served["endpoint_url"])
    found = json.loads(run_opendata("find", served["source"], *at, "--include", "*.swc", "--json").stdout)
    assert found["files"] > 3
