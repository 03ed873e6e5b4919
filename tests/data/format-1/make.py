"""Makes the files of this folder again, and prints the commits that tests/test_format_one.py pins.

    python tests/data/format-1/make.py

Only before the first release of format version 1: afterwards these files stay as they are, whatever the writer becomes.
"""

import io
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from tests.core_support import catalogue_of, dataset, entry_of, publish, snapshot_of  # noqa: E402 - found from here on

CATALOGUE = """\
description: A tiny example of everything that format version 1 knows.
licenses: [{name: CC-BY-4.0, title: CC BY 4.0, path: "https://creativecommons.org/licenses/by/4.0/"}]
contributors: [{title: Ada Lovelace, givenName: Ada, familyName: Lovelace, roles: [creator]}]
branches:
  Rat:
    title: Rats
    branches:
      Deep/Layer: {description: Two folders down.}
ignore:
  - {prefix: tmp/, reason: scratch}
"""


def snapshots():
    """Two states of a bucket, with every kind of name, digest, version and date."""
    kept = [
        entry_of("a b+é.swc", version="v1"),
        entry_of("100%", "same"),
        entry_of(".gitmodules", "same", day=2),
        entry_of("Rat", "clash"),
        entry_of("notes", "file"),
        entry_of("notes/a", "below"),
        entry_of("a//b\n", ""),
        entry_of("l" * 300, "long"),
        entry_of("README.md", "theirs", known="both", etag="9"),
        entry_of("Rat/Deep/Layer/x.nii.gz", version="null"),
        entry_of("Rat/datapackage.json", known="md5", storage_class="STANDARD"),
        entry_of("Rat/none", known=None),
        entry_of("Rat/nothing", known=None, size_bytes=None, last_modified=None),
        entry_of("tmp/x"),
        entry_of("folder/", ""),
    ]
    later = [entry for entry in kept if entry.key not in {"100%", "Rat/none"}]
    later += [entry_of("Rat/none", "new", day=9), entry_of("Rat/Deep/Layer/y", version="v2", day=3)]
    return snapshot_of(*kept), snapshot_of(*later)


def main():
    """Write catalogue, snapshots and the store that comes of them."""
    catalogue = catalogue_of(CATALOGUE, identity="format-1")
    (HERE / "catalogue.yaml").write_bytes(catalogue.source_bytes)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        for number, snapshot in enumerate(snapshots(), start=1):
            snapshot.write(HERE / f"snapshot-{number}.parquet")
            publish(store, f"{number}.0.0", snapshot, catalogue, allow_undigested="**")
            sys.stdout.write(f'    "{number}.0.0": "{dataset(store).written.commits.main}",\n')
        with tarfile.open(HERE / "store.tar.xz", "w:xz") as archive:
            for path in sorted(store.rglob("*")):
                if path.is_file() and path.name != ".lock":
                    # Name and bytes, and nothing of who made it when.
                    member = tarfile.TarInfo(str(path.relative_to(store)))
                    data = path.read_bytes()
                    member.size, member.mode = len(data), 0o644
                    archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    main()
