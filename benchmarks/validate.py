"""How fast inventories are validated, and in how much memory, beside frictionless on the same table.

    python benchmarks/validate.py [ROWS ...] [--frictionless-rows N]

Each figure is one fresh process that checks one descriptor with one inventory table: our own checks, without asking
frictionless; and `frictionless.Package.validate`. Seconds are those of the processor, which other work on the machine
changes little; those that one row takes, which are for imports, are taken off in brackets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.dataset.descriptor import table_schema
from opendata_pkg.dataset.inventory import COLUMNS
from opendata_pkg.documents import dump_json
from opendata_pkg.vocabulary import DATA_PACKAGE_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

_OURS = """\
import json, sys
from pathlib import Path
from opendata_pkg.validation.descriptor_check import check_descriptor
file = Path(sys.argv[1])
sys.exit(1 if check_descriptor(file, json.loads(file.read_bytes())).faults else 0)
"""
_THEIRS = """\
import sys
from frictionless import Package
sys.exit(0 if Package(sys.argv[1]).validate().valid else 1)
"""
_FILES_A_FOLDER = 400
_BLOCK = 10_000


def write_inventory(folder: Path, rows: int) -> Path:
    """A descriptor and an inventory of that many rows, like those that are released; returns the descriptor."""
    folder.mkdir()
    table = folder / "files.csv"
    digest = hashlib.sha256()
    with table.open("wb") as stream:
        blocks = (range(start, min(rows, start + _BLOCK)) for start in range(0, rows, _BLOCK))
        for text in chain([",".join(COLUMNS) + "\n"], ("".join(map(_row, block)) for block in blocks)):
            digest.update(text.encode())
            stream.write(text.encode())
    (folder / "files.tableschema.json").write_bytes(table_schema())
    resource = {
        "name": "files",
        "type": "table",
        "path": table.name,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": table.stat().st_size,
        "hash": f"sha256:{digest.hexdigest()}",
        "schema": "files.tableschema.json",
    }
    document = {"$schema": DATA_PACKAGE_URL, "name": "benchmark", "resources": [resource]}
    descriptor = folder / "datapackage.json"
    descriptor.write_text(dump_json(document), encoding="utf-8")
    return descriptor


def _row(number: int) -> str:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    path = f"batch_{number // _FILES_A_FOLDER:05d}/cell_{number:07d}.swc"
    time_text = f"2024-01-{number % 28 + 1:02d}T12:{number % 60:02d}:00.{number % 1_000_000:06d}Z"
    key = f"Model_Data/{path}"
    return f"{path},{key},{number * 7919 % 10**9},{sha256},,{sha256[:32]}-2,{sha256[32:]},{time_text},fixed\n"


def measure(program: str, descriptor: Path) -> tuple[float, float]:
    """Run a check in a process of its own; returns (seconds of the processor, peak megabytes)."""
    process = subprocess.Popen([sys.executable, "-c", program, str(descriptor)], cwd=descriptor.parent)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, program)
    # Kilobytes on Linux, bytes on macOS.
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def compare(sizes: Sequence[int], folder: Path, *, frictionless_rows: int) -> list[dict[str, float | int | None]]:
    """Print a line for each size; returns the figures."""
    empty = write_inventory(folder / "empty", 1)
    ours_empty, theirs_empty = measure(_OURS, empty)[0], measure(_THEIRS, empty)[0]
    print(f"one row: ours {ours_empty:.2f} s, frictionless {theirs_empty:.2f} s: imports, taken off in brackets")
    found: list[dict[str, float | int | None]] = []
    for rows in sizes:
        descriptor = write_inventory(folder / str(rows), rows)
        ours, ours_mb = measure(_OURS, descriptor)
        line = f"{rows:>9} rows: ours {ours:6.2f} s ({ours - ours_empty:.2f}), {ours_mb:4.0f} MB"
        figures: dict[str, float | int | None] = {"rows": rows, "seconds": ours, "mb": ours_mb, "times_faster": None}
        if rows <= frictionless_rows:
            theirs, theirs_mb = measure(_THEIRS, descriptor)
            ratio, net = theirs / ours, (theirs - theirs_empty) / max(ours - ours_empty, 1e-3)
            line += f"; frictionless {theirs:6.2f} s ({theirs - theirs_empty:.2f}), {theirs_mb:4.0f} MB"
            line += f": ours is {ratio:.1f} x as fast ({net:.1f} x)"
            figures["times_faster"] = ratio
        print(line, flush=True)
        found.append(figures)
    return found


def main() -> None:
    """Print all figures. The goals: 5 x as fast at 100,000 rows, at most 300 MB at a million."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--frictionless-rows", type=int, default=100_000, help="ask frictionless up to so many rows")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opendata-bench-") as name:
        found = compare(options.rows, Path(name), frictionless_rows=options.frictionless_rows)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
