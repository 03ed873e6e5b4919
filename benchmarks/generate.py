"""Snapshots that look like the real bucket's, of any size and always the same for one seed."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.rows import SCHEMA
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.catalogue.catalogue import Catalogue

_NAMES = (
    "sm080619a1-5_idA",
    "C060114A2-x",
    "MG_181102b-L5_TPC",
    "QC Notebook-JOAO",
    "rp120430P-1_idC",
    "mtC070301B_idB",
)
_SUFFIXES = (".swc", ".asc", ".h5", ".nwb", ".nrrd", ".json", ".mod", ".nii.gz", "")
_FIRST_DAY = datetime(2023, 6, 1, tzinfo=UTC)
_FILES_A_FOLDER = 400
_HEADER = SnapshotHeader(
    source="s3://openbluebrain",
    method="ListObjectVersions",
    base_url="https://openbluebrain.s3.us-west-2.amazonaws.com/",
    bucket="openbluebrain",
    region="us-west-2",
)
# One object in this many has the bytes of another, as copies between branches do.
_COPY_EVERY = 50


def generate_snapshot(
    objects: int, catalogue: Catalogue, *, seed: int = 1, changed_share: float = 0.0, in_folders: bool = False
) -> Snapshot:
    """A snapshot of `objects` objects spread over the catalogue's leaves; sizes from 1 kB to 100 GB, most small.

    With `changed_share`, that share of the same objects has other content, a new version and a later date: single
    objects everywhere, or (`in_folders`) whole folders, as when a batch is processed again.
    """
    chance = random.Random(seed)
    later = random.Random(seed + 1)
    leaves = [branch for branch in catalogue.branches.values() if not branch.children][:100]
    columns: list[list[object]] = [[] for _ in SCHEMA.names]
    digest = ""
    changed = False
    for number in range(objects):
        leaf = leaves[number * len(leaves) // objects]
        folder = number // _FILES_A_FOLDER
        name = f"{chance.choice(_NAMES)}_{number:07d}{chance.choice(_SUFFIXES)}"
        size = int(min(10 ** chance.gauss(4.7, 1.3), 1e11)) + 1000
        modified = _FIRST_DAY + timedelta(seconds=chance.randrange(60_000_000))
        version = f"{chance.getrandbits(190):032x}"[:32]
        if not in_folders or number % _FILES_A_FOLDER == 0:
            changed = later.random() < changed_share
        if changed:
            version, modified = f"{later.getrandbits(190):032x}"[:32], modified + timedelta(days=900)
        if not digest or number % _COPY_EVERY:
            digest = hashlib.sha256(f"{number} {version}".encode()).hexdigest()
        row = (
            f"{leaf.prefix}batch_{folder:05d}/{name}",
            version,
            size,
            f"{digest[:32]}-{size % 9 + 2}",
            digest,
            None,
            modified,
            "STANDARD",
        )
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    table = pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
    return Snapshot.create(table, _HEADER)


def generate_named(keys: Iterable[str]) -> Snapshot:
    """A snapshot of objects of these keys, all different and each of one kilobyte."""
    rows = [
        (key, f"{number:032x}", 1000, None, hashlib.sha256(key.encode()).hexdigest(), None, _FIRST_DAY, None)
        for number, key in enumerate(keys)
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return Snapshot.create(pa.table(arrays, schema=SCHEMA), _HEADER)
