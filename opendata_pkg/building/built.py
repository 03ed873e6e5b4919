"""What a build is asked for, and what it made, or would make: one line a dataset. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.model import ObjectId
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.snapshot.unread import UnreadSnapshot
    from opendata_pkg.written import ChangeCounts, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build: the words of `build.build`.

    `jobs` is how many processes write (None: as many as pay); `lock` the store's, a file descriptor, without which
    nothing is written: a dry run.
    """

    snapshot: Snapshot | UnreadSnapshot
    catalogue: Catalogue
    only: Sequence[str]
    allow_undigested: str | None
    jobs: int | None
    lock: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One dataset of a build: its own files and what became of them since the last release.

    `commit` is None in a dry run; `changed` says whether it is a new one.
    """

    branch: str
    name: str
    totals: Totals
    changes: ChangeCounts
    commit: ObjectId | None
    changed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build made, or in a dry run would make. `left_out` maps reason → count of objects in no dataset.

    `renamed` counts files whose path is not their key; `troubles` names that some systems cannot hold or tell apart.
    Both stand one by one in `report`, which a dry run does not write (None).
    """

    snapshot: str
    catalogue: str
    datasets: tuple[DatasetSummary, ...]
    left_out: Mapping[str, int]
    renamed: int
    troubles: int
    report: Path | None
