"""`build`: a snapshot as the draft of the store's next release. `release` publishes it."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.changes import ChangeCounts, difference
from opendata_pkg.crew import Before, write_datasets
from opendata_pkg.files import replacing, sync_all, write_bytes
from opendata_pkg.inventory import totals_of
from opendata_pkg.model import InputError, ObjectId
from opendata_pkg.plan import Plan, Plans, kept_keys, make_plans
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.promises import check_datasets, check_digests, check_scope, check_snapshot
from opendata_pkg.report import write_report
from opendata_pkg.state import DatasetEntry, State
from opendata_pkg.store import REPORT, Store, is_empty
from opendata_pkg.unchanged import Unchanged, draft_as_released
from opendata_pkg.unread import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from opendata_pkg.snapshot import Snapshot
    from opendata_pkg.written import Totals


# What `kept_keys` needs.
_KEY_COLUMNS = ["key", "size"]


class UnfinishedReleaseError(InputError):
    """A release was interrupted; it must be finished before the next build."""


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


def snapshot_for(store_path: Path, file: Path) -> Snapshot:
    """The snapshot to build from; as long as nothing is new in it, its rows need not be read."""
    return open_snapshot(file, Store(store_path).snapshot_path)


def catalogue_for(store_path: Path, file: Path | None) -> Catalogue:
    """The catalogue to build with: the file named, else the store's own, else the one shipped."""
    if file is not None:
        return Catalogue.load(file)
    if store_path.is_dir() and not is_empty(store_path):
        store = Store.open(store_path)
        state = store.latest() or (store.draft() if store.has_draft() else None)
        if state is not None:
            return store.read_catalogue(state.catalogue)
    return shipped_catalogue()


def build(
    snapshot: Snapshot,
    catalogue: Catalogue,
    store_path: Path,
    *,
    only: Sequence[str] = (),
    allow_undigested: str | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    reporter: Reporter = SILENT,
) -> BuildResult:
    """Make the draft of the store's next release; a draft that was there is replaced.

    Args:
        snapshot: the objects.
        catalogue: the tree of branches.
        store_path: the store; made if there is nothing yet.
        only: branches to build, with all below them; such a draft cannot be released.
        allow_undigested: a gitignore-style glob of keys that may be without a digest; None: none may.
        dry_run: write nothing.
        jobs: how many processes write; None: one for each core, if there is enough to write.
        reporter: takes progress.

    Raises:
        InputError: the snapshot or catalogue cannot be built from, or would break promises of earlier releases.
        NotFoundError: the snapshot is empty.
    """
    check_snapshot(snapshot)
    store = Store.open_or_create(store_path, catalogue.id, dry_run=dry_run)
    # All is read under the lock: a release in the meantime would leave the draft without its parent commits.
    with nullcontext() if dry_run else store.locked() as lock:
        return _build(store, snapshot, catalogue, only, allow_undigested, reporter, jobs=jobs, lock=lock)


def _build(
    store: Store,
    snapshot: Snapshot,
    catalogue: Catalogue,
    only: Sequence[str],
    allow_undigested: str | None,
    reporter: Reporter,
    *,
    jobs: int | None,
    lock: int | None,
) -> BuildResult:
    """Build under the store's lock, a file descriptor; without it, nothing is written: a dry run."""
    if lock is not None and (version := store.unfinished_release()) is not None:
        raise UnfinishedReleaseError(
            f"the release of {version} in {store.path} was interrupted: "
            f"finish it first with opendata release {version} --store {store.path}"
        )
    latest = store.latest() if store.exists() else None
    if latest is not None:
        released_header = store.read_header(latest.snapshot)
        check_scope(released_header, snapshot)
        _say_if_moved(released_header.base_url, snapshot.header.base_url, reporter)
        check_datasets(latest, catalogue)
        same = None if only else draft_as_released(store, latest, snapshot, catalogue, allow_undigested)
        if same is not None:
            return _build_unchanged(store, snapshot, catalogue, same, reporter, dry_run=lock is None)
    earlier: list[pa.Array] = []
    old = None
    if latest is not None:
        # Which may be the present one, too.
        last = snapshot if snapshot.id == latest.snapshot else store.read_snapshot(latest.snapshot)
        earlier = _earlier_keys(store, latest, last)
        before_catalogue = store.read_catalogue(latest.catalogue)
        old = make_plans(last, before_catalogue, released=latest.datasets, earlier_keys=earlier[:-1])
    released = _released_paths(latest, catalogue)
    if (
        latest is not None
        and old is not None
        and (snapshot.id, catalogue.sha256) == (latest.snapshot, latest.catalogue)
    ):
        plans = old
    else:
        plans = make_plans(snapshot, catalogue, released=released, earlier_keys=earlier)
    check_digests(plans.by_branch.values(), allow_undigested)
    wanted = {branch.path for text in only for branch in catalogue.walk(catalogue.resolve(text).path)}
    chosen = [plan for plan in plans.children_first() if not only or plan.branch.path in wanted]
    before = None if latest is None or old is None else _compare(latest, old, chosen)
    changes = {plan.branch.path: _changes(plan, before) for plan in chosen}
    if lock is None:
        with Path(os.devnull).open("wb") as nowhere:
            renamed, troubles = write_report(nowhere, plans, chosen)
        return _result(plans, chosen, changes, None, renamed, troubles, None)
    store.drop_draft()
    store.keep_inputs(snapshot, catalogue)
    assert lock is not None  # noqa: S101 - it is held unless this is a dry run
    report = store.draft_folder / REPORT
    with ThreadPoolExecutor(1) as aside:
        # Meanwhile: other processes do most of the writing.
        reported = aside.submit(_report, report, plans, chosen)
        entries = write_datasets(store, plans, chosen, before, reporter, jobs=jobs, lock=lock)
        renamed, troubles = reported.result()
    ordered = {path: entries[path] for path in plans.by_branch if path in entries}
    state = _state(plans, ordered, complete=not only)
    # All that the draft is made of is on disk before there is a draft.
    sync_all(path for path in store.draft_folder.rglob("*") if path.is_file())
    sync_all(file for plan in chosen for file in store.repository(plan.branch.name).settings())
    store.write_draft(state)
    return _result(plans, chosen, changes, state, renamed, troubles, report)


def _report(path: Path, plans: Plans, chosen: Sequence[Plan]) -> tuple[int, int]:
    """Write the report to a file that is yet to be synced; returns what `write_report` counts."""
    with replacing(path, sync=False) as stream:
        return write_report(stream, plans, chosen)


def _build_unchanged(
    store: Store, snapshot: Snapshot, catalogue: Catalogue, same: Unchanged, reporter: Reporter, *, dry_run: bool
) -> BuildResult:
    """Make a draft of what was released, and tell of it as if all had been looked at."""
    report = None
    if not dry_run:
        store.drop_draft()
        store.keep_inputs(snapshot, catalogue)
        files = same.state.datasets[""].subtree_files
        reporter.start("building datasets", files, "files")
        reporter.advance(files)
        reporter.finish()
        report = store.draft_folder / REPORT
        write_bytes(report, same.report)
        store.write_draft(same.state)
    summaries = (
        DatasetSummary(
            branch=entry.branch,
            name=entry.name,
            totals=entry.written.totals,
            changes=ChangeCounts(),
            commit=None if dry_run else entry.written.commits.main,
            changed=None if dry_run else False,
        )
        for entry in same.state.datasets.values()
    )
    return BuildResult(
        snapshot=same.state.snapshot,
        catalogue=same.state.catalogue,
        datasets=tuple(summaries),
        left_out=dict(same.state.left_out),
        renamed=same.renamed,
        troubles=same.troubles,
        report=report,
    )


def _say_if_moved(old: str | None, new: str | None, reporter: Reporter) -> None:
    if old != new:
        reporter.message(
            f"the last release's objects are at {old}, this snapshot's at {new}: the old addresses cannot be vouched "
            "for any more, so those without a versionId are withdrawn; is this the bucket you meant?"
        )


def _compare(latest: State, old: Plans, chosen: Sequence[Plan]) -> Before:
    """How the plans differ from those of the last release."""
    by_id = {plan.branch.dataset_id: plan for plan in old.by_branch.values()}
    differences = {
        plan.branch.path: difference(by_id[plan.branch.dataset_id].table, plan.table)
        for plan in chosen
        if plan.branch.dataset_id in by_id
    }
    return Before(state=latest, plans=old, differences=differences)


def _released_paths(latest: State | None, catalogue: Catalogue) -> list[str]:
    """The present paths of the branches that were datasets in the last release."""
    if latest is None:
        return []
    by_id = {branch.dataset_id: branch.path for branch in catalogue.branches.values()}
    return [by_id[entry.dataset_id] for entry in latest.datasets.values()]


def _earlier_keys(store: Store, latest: State, last: Snapshot) -> list[pa.Array]:
    """The keys that the releases held, oldest first; once where they are those of the release before."""
    found: list[pa.Array] = []
    # Groups, since a snapshot that is released again has the same keys.
    for (snapshot, catalogue), _ in groupby(store.inputs()):
        if snapshot == latest.snapshot:
            table = last.table.select(_KEY_COLUMNS)
        else:
            # Two columns only, unchecked: the last snapshot is checked whole.
            table = pq.ParquetFile(store.snapshot_path(snapshot)).read(columns=_KEY_COLUMNS)
        keys = kept_keys(table, store.read_catalogue(catalogue))
        # Most updates change objects, not their names.
        if not found or not keys.equals(found[-1]):
            found.append(keys)
    return found


def _changes(plan: Plan, before: Before | None) -> ChangeCounts:
    if before is None or plan.branch.path not in before.differences:
        return ChangeCounts(added=len(plan))
    return before.differences[plan.branch.path].counts


def _state(plans: Plans, entries: Mapping[str, DatasetEntry], *, complete: bool) -> State:
    return State(
        version=None,
        snapshot=plans.snapshot.id,
        catalogue=plans.catalogue.sha256,
        catalogue_id=plans.catalogue.id,
        complete=complete,
        datasets=entries,
        left_out=_left_out(plans),
    )


def _result(
    plans: Plans,
    chosen: Sequence[Plan],
    changes: Mapping[str, ChangeCounts],
    state: State | None,
    renamed: int,
    troubles: int,
    report: Path | None,
) -> BuildResult:
    summaries = []
    for plan in reversed(chosen):
        branch = plan.branch
        entry = None if state is None else state.datasets[branch.path]
        summaries.append(
            DatasetSummary(
                branch=branch.path,
                name=branch.name,
                totals=totals_of(plan.table),
                changes=changes[branch.path],
                commit=None if entry is None else entry.written.commits.main,
                changed=None if entry is None else entry.changed,
            )
        )
    return BuildResult(
        snapshot=plans.snapshot.id,
        catalogue=plans.catalogue.sha256,
        datasets=tuple(summaries),
        left_out=_left_out(plans),
        renamed=renamed,
        troubles=troubles,
        report=report,
    )


def _left_out(plans: Plans) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for entry in plans.left_out:
        counts[entry.reason] += entry.rows[1] - entry.rows[0]
    return dict(sorted(counts.items()))
