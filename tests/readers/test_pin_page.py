"""docs/how-to/pin-data.md does what it says."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "pin-data.md"


def test_the_page_works_as_it_stands(tmp_path):
    """Every command of the page, in order, in one shell, and its Python before the bucket changes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [text if kind == "sh" else f"python - << 'END'\n{text}\nprint(path)\nEND\n" for kind, text in blocks]
    commands = "".join(lines).replace("8765", port)
    script = f"set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "pinned 2 files, 30 B of bucket.parquet as cells in opendata.lock",
        "2 files in data: 2 downloaded (30 B)",
        "2 files in data: 2 there already",
        "data/Rat/Cortex/cell-1.swc",
        "2 files in elsewhere: 2 from the cache",
        "as expected: pinned at another snapshot",
        "2 files in data: 1 there already, 1 downloaded (15 B)",
        "0 files in data: 2 removed",
    ):
        assert line in done.stdout, done.stdout
    assert "changed  Rat/Cortex/cell-2.swc" in done.stderr
    assert "1 1 0 0 0 7 -1\n" in done.stdout.partition("elsewhere")[2]
    assert not (tmp_path / "data" / "Rat").exists()
