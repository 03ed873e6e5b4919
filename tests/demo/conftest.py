"""The demo's bucket and store, served to try commands on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """`opendata demo --serve` in a process of its own: what it says, once all is there; `folder` is where it writes."""
    if (fetched := Path(sys.prefix) / "demo-wheels").is_dir():
        shutil.copytree(fetched, Path(os.environ["OPENDATA_CACHE"]) / "demo-wheels", dirs_exist_ok=True)
    folder = tmp_path_factory.mktemp("served") / "demo"
    command = [sys.executable, "-m", "opendata_pkg", "demo", "--serve", str(folder), "--json", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        try:
            yield {**json.loads("".join(lines)), "folder": folder}
        finally:
            # As Ctrl-C; which shells let the processes ignore that they start in the background.
            process.terminate()
        assert process.wait() == 0
