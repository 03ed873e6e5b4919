"""How fast a snapshot becomes a released store, and how much memory it takes, beside what people use today.

    python benchmarks/build.py [OBJECTS ...] [--no-peers]

Each figure is one fresh process, timed from outside. The peers build one dataset of the same kind of files in the same
run: `git fast-import` of identical content, git-annex's batch commands, and DataLad's addurls.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from generate import generate_snapshot

from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.plan import PlannedFile, make_plans
from opendata_pkg.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONE_DATASET = b'format: 1\nid: bench\ntitle: Benchmark\nepoch: "2024-01-01T00:00:00Z"\n'
_ANNEX_FILES = 2_000
_ADDURLS_FILES = 200


def run(command: Sequence[str], cwd: Path, *, data: bytes | None = None) -> tuple[float, float]:
    """Run a command to its end; returns (seconds, peak megabytes of its largest process)."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data or b"")
        stdin.seek(0)
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, stdin=stdin, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss / 1000


def opendata(*words: str, cwd: Path) -> tuple[float, float]:
    """One opendata command, as a user starts it."""
    return run([sys.executable, "-m", "opendata_pkg", *words, "--quiet"], cwd)


def build_and_release(snapshot: Path, store: Path, catalogue: Path | None = None) -> tuple[float, float]:
    """Build and release a snapshot into a new store; (seconds, peak megabytes)."""
    named = ["--catalogue", str(catalogue)] if catalogue else []
    built = opendata("build", str(snapshot), "--store", str(store), *named, cwd=snapshot.parent)
    released = opendata("release", "1.0.0", "--store", str(store), cwd=snapshot.parent)
    return built[0] + released[0], max(built[1], released[1])


def scaling(sizes: Sequence[int], folder: Path) -> None:
    """The whole catalogue at several sizes, and the exponent of the cost between the first and the last."""
    times: list[float] = []
    catalogue = shipped_catalogue()
    print(f"{'objects':>10} {'seconds':>9} {'files/s':>9} {'peak MB':>9} {'store MB':>9}")
    for size in sizes:
        path = folder / f"{size}.parquet"
        generate_snapshot(size, catalogue).write(path)
        store = folder / f"store-{size}"
        seconds, megabytes = build_and_release(path, store)
        times.append(seconds)
        stored = sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) / 1e6
        print(f"{size:>10} {seconds:>9.2f} {size / seconds:>9.0f} {megabytes:>9.0f} {stored:>9.1f}")
        shutil.rmtree(store)
    if len(sizes) > 1:
        exponent = math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])
        print(f"cost grows as objects^{exponent:.2f}")


def one_dataset(size: int, folder: Path) -> tuple[Path, Path, list[PlannedFile]]:
    """A snapshot of one dataset: its file, its catalogue's file, and its plan."""
    catalogue_file = folder / "one.yaml"
    catalogue_file.write_bytes(_ONE_DATASET)
    snapshot = generate_snapshot(size, shipped_catalogue())
    path = folder / f"one-{size}.parquet"
    snapshot.write(path)
    plans = make_plans(Snapshot.read(path), Catalogue.load(catalogue_file))
    return path, catalogue_file, list(plans.by_branch[""].files())


def peers(size: int, folder: Path) -> None:
    """One dataset of `size` files by us and by each peer (some on fewer files), and the ratio of their rates."""
    path, catalogue_file, files = one_dataset(size, folder)
    store = folder / "store-one"
    seconds, _ = build_and_release(path, store, catalogue_file)
    ours = size / seconds
    print(f"\none dataset of {size} files")
    print(f"{'opendata build + release':<42} {ours:>9.0f} files/s")
    exported = subprocess.run(
        ["git", "fast-export", "--signed-tags=strip", "refs/heads/main", "refs/heads/git-annex"],
        cwd=store / "git" / "bench.git",
        check=True,
        capture_output=True,
    ).stdout
    imported = folder / "imported.git"
    run(["git", "init", "--bare", "--quiet", str(imported)], folder)
    seconds, _ = run(["git", "fast-import", "--quiet"], imported, data=exported)
    report("git fast-import of identical content", size / seconds, ours)
    report(f"git annex fromkey + registerurl ({_ANNEX_FILES})", by_annex_batch(files[:_ANNEX_FILES], folder), ours)
    report(f"datalad addurls, keys known ({_ADDURLS_FILES})", by_addurls(files[:_ADDURLS_FILES], folder), ours)


def report(name: str, rate: float, ours: float) -> None:
    """One peer's line."""
    print(f"{name:<42} {rate:>9.0f} files/s   ours is {ours / rate:.1f} x")


def by_annex_batch(files: Sequence[PlannedFile], folder: Path) -> float:
    """Files per second of git-annex's two batch commands and the commit."""
    clone = folder / "annex-batch"
    run(["git", "init", "--quiet", str(clone)], folder)
    run(["git", "annex", "init", "--quiet"], clone)
    begun = time.perf_counter()
    keys = "".join(f"{file.annex_key} {file.path}\n" for file in files).encode()
    run(["git", "annex", "fromkey", "--force", "--batch", "--quiet"], clone, data=keys)
    urls = "".join(f"{file.annex_key} {file.url}\n" for file in files).encode()
    run(["git", "annex", "registerurl", "--batch", "--quiet"], clone, data=urls)
    run(["git", "commit", "--quiet", "-m", "files"], clone)
    return len(files) / (time.perf_counter() - begun)


def by_addurls(files: Sequence[PlannedFile], folder: Path) -> float:
    """Files per second of `datalad addurls --key`."""
    table = folder / "urls.csv"
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("url", "path", "key"))
        rows.writerows((file.url, file.path, file.annex_key) for file in files)
    dataset = folder / "addurls"
    run(["datalad", "create", str(dataset)], folder)
    begun = time.perf_counter()
    run(["datalad", "addurls", "-d", ".", "--key", "{key}", str(table), "{url}", "{path}"], dataset)
    return len(files) / (time.perf_counter() - begun)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("objects", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opendata-bench-") as name:
        folder = Path(name)
        identity = {
            f"GIT_{who}_{what}": "bench@invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        bin_folder = str(Path(sys.executable).parent)
        os.environ.update(identity, HOME=name, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        scaling(options.objects, folder)
        if not options.no_peers:
            peers(10_000, folder)


if __name__ == "__main__":
    main()
