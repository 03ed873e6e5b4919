"""Builds and releases a chain of snapshots as some user under some umask: one of the machines of the determinism test.

`python -m tests.rebuilding INPUTS STORE UID UMASK`: `INPUTS` holds `catalogue.yaml`, `1.parquet`, `2.parquet`, …
"""

import os
import sys
import tempfile
from pathlib import Path

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.snapshot.snapshot import Snapshot


def main() -> None:
    """Release `1.0.0`, `2.0.0` and so on."""
    inputs, store, uid, umask = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4], 8)
    catalogue = Catalogue.load(inputs / "catalogue.yaml")
    if uid:
        with tempfile.TemporaryDirectory() as scratch:
            # What is imported where it is first used is imported now: the other user may not read this Python.
            release_chain(inputs, catalogue, Path(scratch) / "store")
    os.umask(umask)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    release_chain(inputs, catalogue, store)


def release_chain(inputs: Path, catalogue: Catalogue, store: Path) -> None:
    """Build and release one snapshot after the other."""
    for path in sorted(inputs.glob("*.parquet")):
        build(Snapshot.read(path), catalogue, store, allow_undigested="**")
        release(f"{path.stem}.0.0", store)


if __name__ == "__main__":
    main()
