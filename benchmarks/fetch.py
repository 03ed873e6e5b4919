"""How fast files come from a web server, checked, beside what people use today.

    python benchmarks/fetch.py [ROW ...] [--rounds N] [--files N] [--large-bytes N]

Rows: `small` (2,000 files of 20 kB; pooch one by one, `git annex get -J4`), `large` (one file of 2 GB; `curl`, then
`openssl dgst -sha256`), `cached` (10,000 files that are in the cache). nginx on loopback serves the files. Each figure
is a whole process, imports included, and the best of the rounds, in which we and the peers take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nginx import find_nginx, serving
from timing import Cost, opendata, run

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.model import ObjectKey, S3Object, Sha256
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CATALOGUE = b'format: 1\nid: bench\ntitle: Benchmark\nepoch: "2024-01-01T00:00:00Z"\n'
_SMALL_BYTES = 20_000
_TINY_BYTES = 100
_CACHED_FILES = 10_000
_BLOCK_BYTES = 1 << 20
_POOCH = """\
import sys, pooch
pooch.get_logger().setLevel("WARNING")
fetcher = pooch.create(path=sys.argv[1], base_url="", registry=None)
fetcher.load_registry(sys.argv[2])
for name in fetcher.registry_files:
    fetcher.fetch(name)
"""
_LIBRARY = """\
import sys, time
from opendata_pkg.readers.fetching import fetch
begun = time.perf_counter()
result = fetch(sys.argv[1])
result.check_complete()
print(time.perf_counter() - begun)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the rows play: a folder to work in, the folder that is served and its URL, and what was asked for."""

    work: Path
    root: Path
    url: str
    rounds: int
    files: int
    large_bytes: int

    def snapshot(self, name: str, contents: Mapping[str, tuple[int, str]]) -> Path:
        """The file of a snapshot of served files: path → size in bytes and SHA-256."""
        entries = (
            S3Object(key=ObjectKey(key), size_bytes=size_bytes, sha256=Sha256(digest))
            for key, (size_bytes, digest) in contents.items()
        )
        header = SnapshotHeader(source=self.url, method="listing-file", base_url=f"{self.url}/", bucket="bench")
        path = self.work / f"{name}.parquet"
        Snapshot.from_objects(entries, header).write(path)
        return path

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.work / name
        if folder.exists():
            # git-annex makes its objects' folders read-only.
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)
            shutil.rmtree(folder)
        folder.mkdir()
        return folder


def take_turns(rounds: int, runs: Mapping[str, Callable[[], Cost]]) -> dict[str, Cost]:
    """The best of each, measured in turns, so that what else the machine does meets all alike."""
    best: dict[str, Cost] = {}
    for _ in range(rounds):
        for name, once in runs.items():
            figure = once()
            if name not in best or figure.seconds < best[name].seconds:
                best[name] = figure
    return best


def report(title: str, figures: Mapping[str, Cost], ours: str) -> None:
    """A table: seconds, processor, peak memory, and how many times as fast we are."""
    print(f"\n{title}")
    for name, figure in figures.items():
        ratio = "" if name == ours else f"   ours is {figure.seconds / figures[ours].seconds:.1f} x as fast"
        costs = f"{figure.processor:>7.2f} s cpu {figure.megabytes:>5.0f} MB" if figure.processor else " " * 22
        print(f"{name:<44} {figure.seconds:>7.2f} s {costs}{ratio}")


def small_files(stage: Stage) -> None:
    """Many small files: requests and file names are what takes time."""
    choice = random.Random(1)
    contents = {}
    (stage.root / "small").mkdir()
    for number in range(stage.files):
        data = choice.randbytes(_SMALL_BYTES)
        key = f"small/cell_{number:05d}.swc"
        (stage.root / key).write_bytes(data)
        contents[key] = (len(data), hashlib.sha256(data).hexdigest())
    snapshot = stage.snapshot("small", contents)
    registry = stage.work / "registry.txt"
    registry.write_text(
        "".join(f"{key} sha256:{digest} {stage.url}/{key}\n" for key, (_, digest) in contents.items()), encoding="utf-8"
    )
    store = stage.work / "store"
    build(Snapshot.read(snapshot), Catalogue.parse(_CATALOGUE, "catalogue.yaml"), store)
    release("1.0.0", store)

    def ours() -> Cost:
        return run(opendata("fetch", snapshot, "--quiet"), stage.work, OPENDATA_CACHE=str(stage.fresh("cache")))

    def library() -> Cost:
        done = subprocess.run(
            [sys.executable, "-c", _LIBRARY, snapshot],
            env={**os.environ, "OPENDATA_CACHE": str(stage.fresh("cache"))},
            check=True,
            capture_output=True,
            text=True,
        )
        return Cost(float(done.stdout))

    def pooch() -> Cost:
        return run([sys.executable, "-c", _POOCH, stage.fresh("pooch"), registry], stage.work)

    def annex() -> Cost:
        clone = clone_for_annex(store / "git" / "bench.git", stage.fresh("annex"))
        return run(["git", "annex", "get", "-J4", "--quiet", "."], clone)

    figures = take_turns(
        stage.rounds,
        {
            "opendata fetch": ours,
            "opendata_pkg.fetch() without imports": library,
            "pooch, one by one": pooch,
            "git annex get -J4": annex,
        },
    )
    report(f"{stage.files:,} files of 20 kB", figures, "opendata fetch")


def clone_for_annex(repository: Path, clone: Path) -> Path:
    """A clone whose git-annex may ask a server on loopback."""
    commands: tuple[list[str | Path], ...] = (
        ["git", "clone", "--quiet", repository, clone],
        ["git", "-C", clone, "config", "user.name", "Benchmark"],
        ["git", "-C", clone, "config", "user.email", "benchmark@example.org"],
        ["git", "-C", clone, "config", "annex.security.allowed-ip-addresses", "127.0.0.1"],
        ["git", "-C", clone, "annex", "init", "--quiet"],
    )
    for words in commands:
        run(words, clone.parent)
    return clone


def large_file(stage: Stage) -> None:
    """One large file: receiving, hashing and writing are what takes time."""
    choice, digest, left = random.Random(2), hashlib.sha256(), stage.large_bytes
    with (stage.root / "large.bin").open("wb") as stream:
        while left:
            block = choice.randbytes(min(left, _BLOCK_BYTES))
            digest.update(block)
            stream.write(block)
            left -= len(block)
    snapshot = stage.snapshot("large", {"large.bin": (stage.large_bytes, digest.hexdigest())})

    def ours() -> Cost:
        return run(opendata("fetch", snapshot, "--quiet"), stage.work, OPENDATA_CACHE=str(stage.fresh("cache")))

    def curl() -> Cost:
        copy = stage.fresh("curl") / "large.bin"
        received = run(["curl", "--silent", "--fail", "--output", copy, f"{stage.url}/large.bin"], stage.work)
        return received.then(run(["openssl", "dgst", "-sha256", copy], stage.work))

    figures = take_turns(stage.rounds, {"opendata fetch": ours, "curl, then openssl dgst -sha256": curl})
    report(f"one file of {stage.large_bytes / 1e9:.1f} GB", figures, "opendata fetch")
    (stage.root / "large.bin").unlink()


def cached_files(stage: Stage) -> None:
    """Many files that are there already: nothing is asked for, nothing is hashed."""
    contents = {}
    (stage.root / "cached").mkdir()
    for number in range(_CACHED_FILES):
        data = b"%0*d" % (_TINY_BYTES, number)
        key = f"cached/{number:05d}"
        (stage.root / key).write_bytes(data)
        contents[key] = (len(data), hashlib.sha256(data).hexdigest())
    snapshot, cache = stage.snapshot("cached", contents), stage.fresh("cache")
    run(opendata("fetch", snapshot, "--quiet"), stage.work, OPENDATA_CACHE=str(cache))

    def again() -> Cost:
        return run(opendata("fetch", snapshot, "--quiet"), stage.work, OPENDATA_CACHE=str(cache))

    figures = take_turns(stage.rounds, {"opendata fetch, the second time": again})
    report(f"{_CACHED_FILES:,} files in the cache", figures, "opendata fetch, the second time")


ROWS: dict[str, Callable[[Stage], None]] = {"small": small_files, "large": large_file, "cached": cached_files}


def main() -> None:
    """Every row, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--large-bytes", type=int, default=2_000_000_000)
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}: expected some of {', '.join(ROWS)}")
    if find_nginx() is None:
        print("skipped: these benchmarks need nginx, which is not installed here")
        return
    with tempfile.TemporaryDirectory() as folder:
        work, root = Path(folder) / "work", Path(folder) / "served"
        work.mkdir()
        root.mkdir()
        with serving(root, Path(folder) / "nginx") as url:
            for row in options.rows or ROWS:
                ROWS[row](
                    Stage(
                        work=work,
                        root=root,
                        url=url,
                        rounds=options.rounds,
                        files=options.files,
                        large_bytes=options.large_bytes,
                    )
                )
        subprocess.run(["chmod", "-R", "u+w", work], check=True)


if __name__ == "__main__":
    main()
