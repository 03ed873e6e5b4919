"""How fast a dataset is cloned and its contents are got, beside DataLad and git-annex.

    python benchmarks/clone.py [FILES] [--rounds N] [--folder DIR]

One dataset of FILES files (by default 100,000) is cloned whole and in part, by path and from nginx; then 2,000 contents
of 20 kB are got from nginx. Every figure is one whole process with all that it starts, the best of N rounds in which
peers take turns: wall clock, and processor seconds, which tell more where the machine has other work too. Symlinks cost
what the file system makes of them: name a folder in memory (/dev/shm) to leave the disk out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from build import _ONE_DATASET, build_and_release, one_dataset
from nginx import find_nginx, serving
from timing import Cost, run

from opendata_pkg.model import ObjectKey, S3Object, Sha256
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONTENTS, _CONTENT_BYTES = 2_000, 20_000
_ALLOWED = "annex.security.allowed-ip-addresses"


def remove(folder: Path) -> None:
    """Remove a clone, read-only contents and all."""
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)


def compare(title: str, commands: Mapping[str, Sequence[str]], folder: Path, rounds: int) -> None:
    """Measure commands that make `folder/clone`, in turn; print the best of each, and ratios to the first."""
    best: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            best[name].append(run(command, folder))
            remove(folder / "clone")
    print_costs(title, best)


def print_costs(title: str, costs: Mapping[str, Sequence[Cost]]) -> None:
    """The best of each, and how many times better it is than the first."""
    print(f"\n{title}")
    print(f"{'':<44} {'seconds':>8} {'ratio':>6} {'cpu s':>8} {'ratio':>6}")
    first: Cost | None = None
    for name, measured in costs.items():
        cost = Cost(min(one.seconds for one in measured), min(one.processor for one in measured))
        first = first or cost
        ratios = first.seconds / cost.seconds, first.processor / cost.processor
        print(f"{name:<44} {cost.seconds:>8.2f} {ratios[0]:>6.1f} {cost.processor:>8.2f} {ratios[1]:>6.1f}")


def clones(files: int, folder: Path, served: str | None, rounds: int) -> None:
    """Whole and sparse clones of one dataset, by path and from nginx."""
    path, catalogue, planned = one_dataset(files, folder)
    build_and_release(path, folder / "store", "1.0.0", catalogue)
    inner = planned[files // 3].path.rpartition("/")[0]
    # A folder has 400 files, and its numbers are consecutive: one in four begins alike.
    first = next(file for file in planned if file.path.startswith(f"{inner}/")).path.rpartition("_")[2][:5]
    part = [f".:{inner}", "clone", "--sparse", "--include", f"*_{first}*"]
    ours = [sys.executable, "-m", "opendata_pkg", "clone", "--quiet", "--store"]
    places = {"by path": str(folder / "store")}
    if served is not None:
        places["from nginx"] = f"{served}/store"
    for how, where in places.items():
        commands = {
            "datalad clone": ["datalad", "-l", "error", "clone", f"{where}/git/bench.git", "clone"],
            "opendata clone": [*ours, where, ".", "clone"],
            "opendata clone --sparse, 100 files": [*ours, where, *part],
        }
        compare(f"clone of {files} files {how}", commands, folder, rounds)


def contents(folder: Path, served: str, rounds: int) -> None:
    """Getting small contents into a clone, beside `git annex get -J4`."""
    objects = []
    for number in range(_CONTENTS):
        name = f"batch_{number // 200}/cell_{number:05d}.swc"
        data = hashlib.shake_128(name.encode()).digest(_CONTENT_BYTES)
        place = folder / "bucket" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        objects.append(
            S3Object(
                key=ObjectKey(name),
                size_bytes=len(data),
                sha256=Sha256(hashlib.sha256(data).hexdigest()),
                last_modified=datetime(2024, 1, 1, tzinfo=UTC),
            )
        )
    header = SnapshotHeader(source="s3://bucket", method="ListObjectsV2", base_url=f"{served}/bucket/", bucket="bucket")
    Snapshot.from_objects(objects, header).write(folder / "small.parquet")
    (folder / "small.yaml").write_bytes(_ONE_DATASET)
    build_and_release(folder / "small.parquet", folder / "small", "1.0.0", folder / "small.yaml")
    peers = {
        "git annex get -J4": ["git", "annex", "get", "-J4", "--quiet", "."],
        "opendata get": [sys.executable, "-m", "opendata_pkg", "get", "--quiet"],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in peers}
    clone = [sys.executable, "-m", "opendata_pkg", "clone", "--quiet", "--store", str(folder / "small"), ".", "clone"]
    for _ in range(rounds):
        for name, command in peers.items():
            run(clone, folder)
            subprocess.run(["git", "config", _ALLOWED, "127.0.0.1"], cwd=folder / "clone", check=True)
            costs[name].append(run(command, folder / "clone"))
            remove(folder / "clone")
    print_costs(f"get of {_CONTENTS} contents of {_CONTENT_BYTES} bytes from nginx", costs)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=int, nargs="?", default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; by default, the folder of temporary files")
    parser.add_argument("--only", choices=("clone", "get"), help="only this part")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opendata-bench-", dir=options.folder) as name:
        folder = Path(name)
        identity = {
            f"GIT_{who}_{what}": "bench@invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        bin_folder = str(Path(sys.executable).parent)
        home = folder / "home"
        home.mkdir()
        cache = {"OPENDATA_CACHE": str(home / "cache"), "HOME": str(home)}
        os.environ.update(identity, **cache, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        if find_nginx() is None:
            print("no nginx: only clones by path are measured")
            clones(options.files, folder, None, options.rounds)
            return
        with serving(folder, folder / "nginx") as served:
            if options.only != "get":
                clones(options.files, folder, served, options.rounds)
            if options.only != "clone":
                contents(folder, served, options.rounds)


if __name__ == "__main__":
    main()
