"""How long it takes to compare two snapshots of which 1 % changed, and to find files in one.

    python benchmarks/diff.py [OBJECTS ...]

Each figure of ours is one fresh process, timed from outside: it reads and checks both snapshots, and tells what was
added, removed, changed, moved and regraded. Beside it are GNU diff and a few lines of Python with two dictionaries,
both on plain text lists of keys, sizes and ETags: they tell lines that differ, check nothing, and know no moves.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
from generate import generate_snapshot
from timing import opendata, run

from opendata_pkg.catalogue.catalogue import shipped_catalogue

if TYPE_CHECKING:
    from opendata_pkg.snapshot.snapshot import Snapshot

_CHANGED_SHARE = 0.01
_DICTIONARIES = """\
import sys
old, new = ({line.split("\\t")[0]: line for line in open(name, encoding="utf-8")} for name in sys.argv[1:])
print(len(new.keys() - old), len(old.keys() - new), sum(old[key] != new[key] for key in old.keys() & new))
"""


def write_list(snapshot: Snapshot, path: Path) -> None:
    """Keys, sizes and ETags as text, as listings are kept by people."""
    options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    pa.csv.write_csv(snapshot.table.select(["key", "size", "etag"]), path, options)


def seconds_of(*words: str) -> float:
    """How long a command takes; GNU diff ends with 1 if it finds something."""
    started = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - started


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("objects", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    sizes: list[int] = parser.parse_args().objects
    times: list[float] = []
    print(f"{'rows':>10} {'diff s':>8} {'peak MB':>8} {'GNU diff':>9} {'Python':>8} {'find s':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        snapshots = [folder / "before.parquet", folder / "after.parquet"]
        lists = [str(path.with_suffix(".tsv")) for path in snapshots]
        for size in sizes:
            for path, listing, share in zip(snapshots, lists, (0.0, _CHANGED_SHARE), strict=True):
                snapshot = generate_snapshot(size, shipped_catalogue(), changed_share=share)
                snapshot.write(path)
                write_list(snapshot, Path(listing))
            del snapshot
            seconds, _, peak = run(opendata("diff", *snapshots, "--quiet"), folder)
            gnu = seconds_of("diff", *lists)
            dictionaries = seconds_of(sys.executable, "-c", _DICTIONARIES, *lists)
            rules = ("--include", "*.swc", "--exclude", "batch_00001/", "--larger", "1MB")
            found, _, found_peak = run(opendata("find", snapshots[0], *rules, "--quiet"), folder)
            times.append(seconds)
            print(
                f"{size:>10} {seconds:>8.2f} {peak:>8.0f} {gnu / seconds:>7.2f} x {dictionaries / seconds:>6.2f} x "
                f"{found:>8.2f} {found_peak:>8.0f}"
            )
    print("GNU diff and Python: their time as a multiple of ours")
    if len(sizes) > 1:
        exponent = math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])
        print(f"the cost of a diff grows with rows to the power of {exponent:.2f}")


if __name__ == "__main__":
    main()
