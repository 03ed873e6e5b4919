"""How long a command takes to begin: `--help` beside DataLad's, and a lock's paths in Python.

python benchmarks/start.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

_BIN = Path(sys.executable).parent
_COMMANDS = {
    "opendata --help": [str(_BIN / "opendata"), "--help"],
    "datalad --help": [str(_BIN / "datalad"), "--help"],
    "git annex version": [str(_BIN / "git-annex"), "version", "--raw"],
    "import opendata_pkg": [sys.executable, "-c", "import opendata_pkg"],
    "from opendata_pkg import Lock": [sys.executable, "-c", "from opendata_pkg import Lock"],
    "python -c ''": [sys.executable, "-c", ""],
}


def main(rounds: int) -> None:
    """Each command in turn, so that what else the machine does meets all alike; the median of the rounds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _COMMANDS}
    for _ in range(rounds):
        for name, command in _COMMANDS.items():
            begun, before = time.perf_counter(), os.times()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            after = os.times()
            processor = after.children_user + after.children_system - before.children_user - before.children_system
            times[name].append((time.perf_counter() - begun, processor))
    print(f"{'command':<32} {'seconds':>8} {'cpu s':>8}")
    for name, found in times.items():
        seconds, processor = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:<32} {seconds:>8.2f} {processor:>8.2f}")
    ours, theirs = (statistics.median(wall for wall, _ in times[name]) for name in list(_COMMANDS)[:2])
    print(f"opendata --help takes {ours / theirs:.2f} of the time of datalad --help")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
