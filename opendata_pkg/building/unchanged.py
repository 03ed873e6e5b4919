"""The draft of a snapshot that was released last: the same datasets, of which none need be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opendata_pkg.building.report import count_report
from opendata_pkg.model import Grade
from opendata_pkg.snapshot.unread import UnreadSnapshot
from opendata_pkg.store.store import REPORT, Store

if TYPE_CHECKING:
    from opendata_pkg.building.built import BuildRequest
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.store.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A draft that says what the last release says, its report, and how many names that tells of."""

    state: State
    report: bytes
    renamed: int
    troubles: int


def draft_as_released(store: Store, latest: State, request: BuildRequest) -> Unchanged | None:
    """What a build of the last release's snapshot and catalogue makes, which is what it was.

    None where that is not all: they are others, a file without a digest may not be let by, an address on offer may have
    to be withdrawn, or the report is not there to be had again.
    """
    snapshot, catalogue = request.snapshot, request.catalogue
    if (snapshot.id, catalogue.sha256) != (latest.snapshot, latest.catalogue):
        return None
    if any(entry.written.borrowed for entry in latest.datasets.values()):
        return None
    if _has_undigested(latest) and not _all_allowed(snapshot, catalogue, request.allow_undigested):
        return None
    path = store.path / "releases" / str(latest.version) / REPORT
    if not path.is_file():
        return None
    report = path.read_bytes()
    left_out, renamed, troubles = count_report(report)
    if left_out != sum(latest.left_out.values()):
        return None
    entries = {path: replace(entry, changed=False) for path, entry in latest.datasets.items()}
    state = replace(latest, version=None, datasets=entries)
    return Unchanged(state=state, report=report, renamed=renamed, troubles=troubles)


def _has_undigested(latest: State) -> bool:
    grades = [entry.written.totals.grades for entry in latest.datasets.values()]
    return any(counts[Grade.VERSIONED] or counts[Grade.MUTABLE] for counts in grades)


def _all_allowed(snapshot: Snapshot | UnreadSnapshot, catalogue: Catalogue, glob: str | None) -> bool:
    """`promises.check_digests`, which names the files, without knowing whose they are."""
    if glob is None:
        return False
    # Most releases have no such files, and then this needs no Arrow.
    import pyarrow.compute as pc  # noqa: PLC0415

    from opendata_pkg.globs import compile_globs  # noqa: PLC0415
    from opendata_pkg.plan.plan import kept_keys  # noqa: PLC0415

    whole = snapshot.read() if isinstance(snapshot, UnreadSnapshot) else snapshot
    table = whole.table.select(["key", "size", "sha256", "md5"])
    without = table.filter(pc.and_(pc.is_null(table["sha256"]), pc.is_null(table["md5"])))
    return all(map(compile_globs([glob], []), kept_keys([without], catalogue).to_pylist()))
