"""Making a store's releases again, from its snapshots and catalogues alone, and comparing what comes out.

The same chain of released (snapshot, catalogue) gives the same commit ids on every machine: so whoever cites a commit
lets anybody check it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.digests.file_digests import DEFAULT_JOBS, digest_file
from opendata_pkg.digests.findings import Finding, Status, Verification
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.store.published import INDEX, PACKS
from opendata_pkg.store.store import Store
from opendata_pkg.verification.store import StoreCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.digests.findings import Tally
    from opendata_pkg.store.state import DatasetEntry, State

REBUILT = "its own index, and a rebuild of its releases"


def verify_by_rebuilding(
    path: Path, *, scratch: Path | None = None, jobs: int = DEFAULT_JOBS, reporter: Reporter = SILENT
) -> Verification:
    """Check a store as `verify_store` does; then build and release every version again, and compare what comes out.

    Promised identical are commits, ids, digests and texts. The rebuilt store is as large as the published one; it is
    made in `scratch` (by default the system's folder for temporary files) and removed.

    Raises:
        NotFoundError, InputError: there is no store, or its `index.json` cannot be read.
    """
    check = StoreCheck(Store.open(path), jobs=jobs, reporter=reporter)
    check.run()
    found = check.result()
    if not check.inputs:
        note = "nothing was built again: not all of the releases, snapshots and catalogues are as they were"
        return check.tally.result(target=found.target, against=REBUILT, notes=[*found.notes, note])
    with tempfile.TemporaryDirectory(prefix="opendata-rebuild-", dir=scratch) as folder:
        rebuilt = Path(folder) / "store"
        for state in check.states:
            assert state.version is not None  # noqa: S101 - a released state has one
            reporter.message(f"building {state.version} again")
            snapshot, catalogue = check.store.read_snapshot(state.snapshot), check.store.read_catalogue(state.catalogue)
            # What was released with undigested files was allowed to be.
            build(snapshot, catalogue, rebuilt, allow_undigested="**", reporter=reporter)
            release(state.version, rebuilt, reporter=reporter)
            _compare_states(state, Store.open(rebuilt).release(state.version), check.tally)
            _compare_texts(path, rebuilt, state.version, check.tally)
    return check.tally.result(target=found.target, against=REBUILT, notes=found.notes)


def _compare_states(released: State, rebuilt: State, tally: Tally) -> None:
    """One dataset after the other: commits, digests, counts and all else that a release's index says."""
    for branch in sorted(released.datasets.keys() | rebuilt.datasets.keys()):
        name = f"{branch or ROOT}@{released.version}"
        old, new = released.datasets.get(branch), rebuilt.datasets.get(branch)
        if old is None or new is None:
            status = Status.MISSING if new is None else Status.EXTRA
            note = "the rebuild has no such dataset" if new is None else "only the rebuild has this dataset"
            tally.add(Finding(status=status, path=name, note=note))
            continue
        differing = list(_differences(old, new))
        if not differing:
            tally.good(0)
            continue
        field, then, now = differing[0]
        note = f"rebuilt, its {field} is {now}, released was {then}"
        if len(differing) > 1:
            note += f"; other too: {', '.join(other for other, _, _ in differing[1:])}"
        tally.add(Finding(status=Status.CHANGED, path=name, note=note, expected=then, found=now))


def _differences(old: DatasetEntry, new: DatasetEntry) -> Iterator[tuple[str, str, str]]:
    """(field, released, rebuilt), the commits first."""
    then, now = old.to_dict(), new.to_dict()
    for field in sorted(then, key=lambda field: (field not in {"commit", "annex_commit"}, field != "commit", field)):
        if then[field] != now[field]:
            yield field.replace("_", " "), str(then[field]), str(now[field])


def _compare_texts(store: Path, rebuilt: Path, version: str, tally: Tally) -> None:
    """The artefacts of a release, byte for byte; its index was compared field by field, and packs are not promised."""
    folder = f"releases/{version}"
    told = {finding.path for finding in tally.findings} | {f"{folder}/{INDEX}", f"{folder}/{PACKS}"}
    for file in sorted((rebuilt / folder).rglob("*.*")):
        name = file.relative_to(rebuilt).as_posix()
        # What is missing was told before.
        if name in told or not file.is_file() or not (store / name).is_file():
            continue
        then, now = (f"sha256:{digest_file(root / name).digests['sha256']}" for root in (store, rebuilt))
        if then != now:
            note = "the rebuild made another content"
            tally.add(Finding(status=Status.CHANGED, path=name, note=note, expected=now, found=then))
