"""How fast a folder is verified against its lock, beside `openssl dgst -sha256` of the same files in the same run.

    python benchmarks/verify.py [--gigabytes N] [--rounds N]

Each figure is the whole command in a fresh process, timed from outside; the files are in the page cache for both. The
commands take turns, so that whatever else the machine does meets both; the best round of each counts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.lock.format import LockContent, LockedFile, LockSelection
from opendata_pkg.model import Grade, Sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIXES = {"8 large files": (8, 1.0), "4,000 files of 100 kB": (4000, 0.1), "1 file": (1, 0.5)}
"""Name → how many files, and which part of the bytes: verifying one file takes one core, whoever does it."""


def make_files(folder: Path, files: int, size_bytes: int) -> list[LockedFile]:
    """Files of random bytes; returns the rows of a lock for them."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(files):
        path = folder / f"{number:05}.bin"
        digest = hashlib.sha256()
        with path.open("wb") as stream:
            left = size_bytes
            while left:
                block = os.urandom(min(left, 1 << 24))
                stream.write(block)
                digest.update(block)
                left -= len(block)
        row = LockedFile(
            selection="all",
            path=path.name,
            size_bytes=size_bytes,
            sha256=Sha256(digest.hexdigest()),
            md5=None,
            urls=(f"https://example.org/{path.name}",),
            version_id=None,
            grade=Grade.VERIFIABLE,
        )
        rows.append(row)
    return rows


def write_lock(path: Path, rows: Sequence[LockedFile]) -> None:
    """A lock of these rows."""
    selection = LockSelection(
        name="all",
        branch=".",
        version=None,
        rules={},
        source="s3://example",
        snapshot="0" * 64,
        commit=None,
        digest=f"sha256:{'0' * 64}",
        licenses=("CC0-1.0",),
        citation="Nobody (2024).",
    )
    path.write_text(LockContent(selections={"all": selection}, files=tuple(rows)).dump(), encoding="utf-8")


def timed(*words: str | Path) -> tuple[float, float]:
    """Seconds that a command takes, and seconds of the cores that it uses."""
    before = os.times()
    began = time.perf_counter()
    subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, page cache warm, best of {options.rounds} rounds, in turns")
    heads = ("openssl s", "verify s", "ratio", "openssl cpu s", "verify cpu s")
    print(f"{'files':>22} {'GB':>5}", *(f"{head:>14}" for head in heads))
    for name, (files, part) in _MIXES.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder, lock = Path(temporary) / "data", Path(temporary) / "opendata.lock"
            size_bytes = int(options.gigabytes * 1e9 * part / files)
            write_lock(lock, make_files(folder, files, size_bytes))
            paths = sorted(folder.iterdir())
            verify = (sys.executable, "-m", "opendata_pkg", "verify", folder, "--lock", lock, "--quiet")
            rounds = [(timed("openssl", "dgst", "-sha256", *paths), timed(*verify)) for _ in range(options.rounds)]
            theirs, ours = (min(times[side] for times in rounds) for side in (0, 1))
            figures = (theirs[0], ours[0], theirs[0] / ours[0], theirs[1], ours[1])
            print(f"{name:>22} {files * size_bytes / 1e9:>5.2f}", *(f"{figure:>14.2f}" for figure in figures))


if __name__ == "__main__":
    main()
