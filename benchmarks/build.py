"""How fast a snapshot becomes a released store, and how much memory it takes, beside what people use today.

    python benchmarks/build.py [OBJECTS ...] [--no-peers] [--no-extremes]

Each figure is of fresh processes, timed from outside. The peers build one dataset of the same kind of files in the same
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

from generate import generate_named, generate_snapshot
from timing import Cost, opendata, run

from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.plan.plan import PlannedFile, make_plans
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONE_DATASET = b'format: 1\nid: bench\ntitle: Benchmark\nepoch: "2024-01-01T00:00:00Z"\n'
_ONE_FILES = 100_000
_ANNEX_FILES = 10_000
_ADDURLS_FILES = 2_000
_CHANGED = 0.01
_EXTREME_FILES = 300_000
_RULES = ("--include", "*.swc", "--exclude", "batch_00001/", "--larger", "1MB", "--smaller", "1GB")


def build_and_release(snapshot: Path, store: Path, version: str, catalogue: Path | None = None) -> Cost:
    """Build and release a snapshot into a store."""
    named = ["--catalogue", str(catalogue)] if catalogue else []
    built = run(opendata("build", snapshot, "--store", store, *named, "--quiet"), snapshot.parent)
    return built.then(run(opendata("release", version, "--store", store, "--quiet"), snapshot.parent))


def scaling(sizes: Sequence[int], folder: Path) -> None:
    """The whole catalogue at several sizes: from nothing, and after a release of which nothing or little changed."""
    full: list[Cost] = []
    print(f"{'objects':>10} {'what':<24} {'seconds':>8} {'cpu s':>8} {'of full':>8} {'files/s':>8} {'peak MB':>8}")
    for size in sizes:
        store = folder / "store"
        full.append(release_snapshot(size, folder, "1.0.0", 0.0))
        line(size, "full", full[-1], full[-1])
        line(size, "find in it", run(opendata("find", ".", "--store", store, *_RULES), folder), full[-1])
        line(size, "nothing changed", release_snapshot(size, folder, "2.0.0", 0.0), full[-1])
        line(
            size,
            "1 % changed, in folders",
            release_snapshot(size, folder, "3.0.0", _CHANGED, in_folders=True),
            full[-1],
        )
        release_snapshot(size, folder, "4.0.0", 0.0)
        line(size, "1 % changed, scattered", release_snapshot(size, folder, "5.0.0", _CHANGED), full[-1])
        shutil.rmtree(store)
    if len(sizes) > 1:
        exponent = math.log(full[-1].seconds / full[0].seconds) / math.log(sizes[-1] / sizes[0])
        print(f"cost grows as objects^{exponent:.2f}")


def release_snapshot(size: int, folder: Path, version: str, share: float, *, in_folders: bool = False) -> Cost:
    """Make a snapshot, and release it into the store of that folder."""
    path = folder / "snapshot.parquet"
    generate_snapshot(size, shipped_catalogue(), changed_share=share, in_folders=in_folders).write(path)
    # Or the build would wait for the disk to have what was made for it.
    os.sync()
    return build_and_release(path, folder / "store", version)


def line(size: int, what: str, cost: Cost, full: Cost) -> None:
    """One line of the table of sizes."""
    print(
        f"{size:>10} {what:<24} {cost.seconds:>8.2f} {cost.processor:>8.2f} {cost.seconds / full.seconds:>8.1%} "
        f"{size / cost.seconds:>8.0f} {cost.megabytes:>8.0f}",
        flush=True,
    )


def one_dataset(size: int, folder: Path) -> tuple[Path, Path, list[PlannedFile]]:
    """A snapshot of one dataset: its file, its catalogue's file, and its plan."""
    catalogue_file = folder / "one.yaml"
    catalogue_file.write_bytes(_ONE_DATASET)
    snapshot = generate_snapshot(size, shipped_catalogue())
    path = folder / f"one-{size}.parquet"
    snapshot.write(path)
    plans = make_plans(Snapshot.read(path), Catalogue.load(catalogue_file))
    return path, catalogue_file, list(plans.by_branch[""].files())


def peers(folder: Path) -> None:
    """One dataset by us and by each peer (slow ones on fewer files), and the ratios of their rates."""
    path, catalogue_file, files = one_dataset(_ONE_FILES, folder)
    store = folder / "store-one"
    cost = build_and_release(path, store, "1.0.0", catalogue_file)
    ours = _ONE_FILES / cost.seconds
    print(f"\none dataset of {_ONE_FILES} files")
    print(f"{'opendata build + release':<42} {ours:>9.0f} files/s   {cost.processor:.1f} s of processors")
    repository = store / "git" / "bench.git"
    exported = subprocess.run(
        ["git", "fast-export", "--signed-tags=strip", "refs/heads/main", "refs/heads/git-annex"],
        cwd=repository,
        check=True,
        capture_output=True,
    ).stdout
    imported = folder / "imported.git"
    run(["git", "init", "--bare", "--quiet", str(imported)], folder)
    cost = run(["git", "fast-import", "--quiet"], imported, data=exported)
    report("git fast-import of identical content", _ONE_FILES / cost.seconds, ours)
    before = pack_bytes(repository)
    for what, command in (("git gc", ["gc", "--quiet"]), ("git repack -adF", ["repack", "-adFq"])):
        run(["git", *command], repository)
        after = pack_bytes(repository)
        print(
            f"{'packs, against what ' + what + ' makes of them':<42} {before / 1e6:>9.1f} MB   {before / after:.2f} x"
        )
    report(f"git annex fromkey + registerurl ({_ANNEX_FILES})", by_annex_batch(files[:_ANNEX_FILES], folder), ours)
    report(f"datalad addurls, keys known ({_ADDURLS_FILES})", by_addurls(files[:_ADDURLS_FILES], folder), ours)


def pack_bytes(repository: Path) -> int:
    """The bytes of a repository's packs and their indexes, without what git adds to speed readers up."""
    packs = (repository / "objects" / "pack").iterdir()
    return sum(file.stat().st_size for file in packs if file.suffix in {".pack", ".idx"})


def extremes(folder: Path) -> None:
    """Names that are long, deep or many in one folder: they take no longer, and git finds no fault."""
    print()
    catalogue_file = folder / "one.yaml"
    catalogue_file.write_bytes(_ONE_DATASET)
    shapes = {
        f"{_EXTREME_FILES} files in one folder": lambda n: f"flat/{n:06d}.swc",
        f"{_EXTREME_FILES} files, 60 levels deep": lambda n: (
            f"{'/'.join(f'{n % 7}{level}' for level in range(60))}/{n}"
        ),
        f"{_EXTREME_FILES} files, names of 255 bytes": lambda n: f"{n % 100}/{n:0255d}",
    }
    for number, (what, name_of) in enumerate(shapes.items()):
        path = folder / "extreme.parquet"
        generate_named(map(name_of, range(_EXTREME_FILES))).write(path)
        store = folder / f"store-extreme-{number}"
        cost = build_and_release(path, store, "1.0.0", catalogue_file)
        run(["git", "fsck", "--strict"], store / "git" / "bench.git")
        print(f"{what:<34} {cost.seconds:>8.2f} s {cost.megabytes:>8.0f} MB", flush=True)


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
    parser.add_argument("objects", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-extremes", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opendata-bench-") as name:
        folder = Path(name)
        identity = {
            f"GIT_{who}_{what}": "bench@invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        bin_folder = str(Path(sys.executable).parent)
        os.environ.update(identity, HOME=name, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        scaling(options.objects, folder)
        if not options.no_extremes:
            extremes(folder)
        if not options.no_peers:
            peers(folder)


if __name__ == "__main__":
    main()
