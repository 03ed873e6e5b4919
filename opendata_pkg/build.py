"""`build`: a snapshot as the draft of the store's next release. `release` publishes it."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.changes import ChangeCounts, count_changes
from opendata_pkg.dataset import Child, Written, write_dataset
from opendata_pkg.files import replacing
from opendata_pkg.git.objects import SYMLINK
from opendata_pkg.git.repository import BrokenRepositoryError, Repository, call_git
from opendata_pkg.inventory import Totals, content_digest, totals_of
from opendata_pkg.model import InputError, ObjectId, S3Object
from opendata_pkg.plan import Plan, Plans, kept_keys, make_plans
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.promises import check_datasets, check_digests, check_scope, check_snapshot
from opendata_pkg.report import write_report
from opendata_pkg.snapshot import SCHEMA, Snapshot
from opendata_pkg.state import DatasetEntry, State
from opendata_pkg.store import DRAFT_ANNEX, DRAFT_MAIN, REPORT, Store, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The last release, as a build compares with it."""

    state: State
    plans: Plans


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
        reporter: takes progress.

    Raises:
        InputError: the snapshot or catalogue cannot be built from, or would break promises of earlier releases.
        NotFoundError: the snapshot is empty.
    """
    check_snapshot(snapshot)
    store = Store.open_or_create(store_path, catalogue.id, dry_run=dry_run)
    # All is read under the lock: a release in the meantime would leave the draft without its parent commits.
    with nullcontext() if dry_run else store.locked():
        return _build(store, snapshot, catalogue, only, allow_undigested, reporter, dry_run=dry_run)


def _build(
    store: Store,
    snapshot: Snapshot,
    catalogue: Catalogue,
    only: Sequence[str],
    allow_undigested: str | None,
    reporter: Reporter,
    *,
    dry_run: bool,
) -> BuildResult:
    if not dry_run and (version := store.unfinished_release()) is not None:
        raise UnfinishedReleaseError(
            f"the release of {version} in {store.path} was interrupted: "
            f"finish it first with opendata release {version} --store {store.path}"
        )
    latest = store.latest() if store.exists() else None
    earlier = _earlier_keys(store) if latest is not None else []
    before = None if latest is None else _read_before(store, latest, earlier[:-1])
    if before is not None:
        check_scope(before.plans.snapshot.header, snapshot)
        _say_if_moved(before.plans.snapshot.header.base_url, snapshot.header.base_url, reporter)
        check_datasets(before.state, catalogue)
    released = _released_paths(latest, catalogue)
    plans = make_plans(snapshot, catalogue, released=released, earlier_keys=earlier)
    check_digests(plans.by_branch.values(), allow_undigested)
    wanted = {branch.path for text in only for branch in catalogue.walk(catalogue.resolve(text).path)}
    chosen = [plan for plan in plans.children_first() if not only or plan.branch.path in wanted]
    changes = {plan.branch.path: _changes(plan, before) for plan in chosen}
    if dry_run:
        with Path(os.devnull).open("wb") as nowhere:
            renamed, troubles = write_report(nowhere, plans, chosen)
        return _result(plans, chosen, changes, None, renamed, troubles, None)
    store.drop_draft()
    store.keep_inputs(snapshot, catalogue)
    entries = _write_all(store, plans, chosen, before, reporter)
    report = store.draft_folder / REPORT
    with replacing(report) as stream:
        renamed, troubles = write_report(stream, plans, chosen)
    ordered = {path: entries[path] for path in plans.by_branch if path in entries}
    state = _state(plans, ordered, complete=not only)
    store.write_draft(state)
    return _result(plans, chosen, changes, state, renamed, troubles, report)


def _say_if_moved(old: str | None, new: str | None, reporter: Reporter) -> None:
    if old != new:
        reporter.message(
            f"the last release's objects are at {old}, this snapshot's at {new}: the old addresses cannot be vouched "
            "for any more, so those without a versionId are withdrawn; is this the bucket you meant?"
        )


def _read_before(store: Store, latest: State, earlier: Sequence[pa.Array]) -> _Before:
    catalogue = store.read_catalogue(latest.catalogue)
    snapshot = store.read_snapshot(latest.snapshot)
    return _Before(
        state=latest,
        plans=make_plans(snapshot, catalogue, released=latest.datasets, earlier_keys=earlier),
    )


def _released_paths(latest: State | None, catalogue: Catalogue) -> list[str]:
    """The present paths of the branches that were datasets in the last release."""
    if latest is None:
        return []
    by_id = {branch.dataset_id: branch.path for branch in catalogue.branches.values()}
    return [by_id[entry.dataset_id] for entry in latest.datasets.values()]


def _earlier_keys(store: Store) -> list[pa.Array]:
    """The keys that each release held, oldest first."""
    found = []
    for version in store.versions():
        state = store.release(version)
        # Two columns only, unchecked: `_read_before` checks the last snapshot whole.
        table = pq.ParquetFile(store.snapshot_path(state.snapshot)).read(columns=["key", "size"])
        found.append(kept_keys(table, store.read_catalogue(state.catalogue)))
    return found


def _changes(plan: Plan, before: _Before | None) -> ChangeCounts:
    old = None if before is None else _plan_of(before, plan)
    if old is None:
        return ChangeCounts(added=len(plan))
    if plan.table.equals(old.table):
        return ChangeCounts()
    return count_changes(_objects(old), _objects(plan))


def _objects(plan: Plan) -> Iterator[S3Object]:
    return Snapshot(plan.table, plan.snapshot.header).objects()


def _plan_of(before: _Before, plan: Plan) -> Plan | None:
    """The plan of the same dataset in the last release."""
    return next(
        (old for old in before.plans.by_branch.values() if old.branch.dataset_id == plan.branch.dataset_id), None
    )


def _write_all(
    store: Store, plans: Plans, chosen: Sequence[Plan], before: _Before | None, reporter: Reporter
) -> dict[str, DatasetEntry]:
    reporter.start("building datasets", sum(len(plan) for plan in chosen), "files")
    entries: dict[str, DatasetEntry] = {}
    for plan in chosen:
        children = [Child(branch=child, commits=entries[child.path].written.commits) for child in plan.children]
        old_entry, old_plan = _old(before, plan)
        if old_entry is not None and old_plan is not None and _unchanged(plan, children, old_entry, old_plan, entries):
            written = old_entry.written
        else:
            written = _write_one(store, plan, children, before, old_entry, int(plans.catalogue.epoch.timestamp()))
        changed = old_entry is None or old_entry.written.commits.main != written.commits.main
        entries[plan.branch.path] = _entry(plans, plan, written, old_entry, changed=changed)
        reporter.advance(len(plan))
    reporter.finish()
    return entries


def _old(before: _Before | None, plan: Plan) -> tuple[DatasetEntry | None, Plan | None]:
    if before is None:
        return None, None
    entry = next(
        (entry for entry in before.state.datasets.values() if entry.dataset_id == plan.branch.dataset_id), None
    )
    return entry, _plan_of(before, plan)


def _unchanged(
    plan: Plan, children: Sequence[Child], entry: DatasetEntry, old: Plan, entries: Mapping[str, DatasetEntry]
) -> bool:
    """Whether all that a dataset's commits are made of is as it was: then they need not be made again."""
    recorded = [name for name in SCHEMA.names if name != "storage_class"]
    return (
        entry.written.borrowed == 0
        and plan.branch == old.branch
        and plan.naming == old.naming
        and plan.snapshot.header.base_url == old.snapshot.header.base_url
        and [child.branch for child in children] == list(old.children)
        and not any(entries[child.branch.path].changed for child in children)
        and plan.table.select(recorded).equals(old.table.select(recorded))
    )


def _write_one(
    store: Store,
    plan: Plan,
    children: Sequence[Child],
    last: _Before | None,
    old: DatasetEntry | None,
    epoch: int,
) -> Written:
    repository = store.repository(plan.branch.name)
    before = None if old is None else old.written.commits
    if before is not None or repository.exists():
        repository.check_heads((None, None) if before is None else (before.main, before.annex))
    repository.create()
    written = write_dataset(
        plan,
        children=children,
        before=before,
        epoch=epoch,
        repository=repository,
        staging=store.draft_folder / plan.branch.name,
        current=plan.snapshot.get,
        released=(lambda _: None) if last is None else last.plans.snapshot.get,
    )
    _check_written(repository, plan, written)
    repository.update_refs({DRAFT_MAIN: written.commits.main, DRAFT_ANNEX: written.commits.annex})
    return written


def _check_written(repository: Repository, plan: Plan, written: Written) -> None:
    """Read back what was written: as many annexed files as the plan has, by git's own count."""
    listing = call_git("ls-tree", "-r", "-z", "--full-tree", written.commits.main, cwd=repository.path)
    found = sum(line.startswith(SYMLINK) for line in listing.split(b"\0"))
    if found != len(plan):
        raise BrokenRepositoryError(
            f"wrote {len(plan)} files of {plan.branch.name}, but git reads {found} in {repository.path}: "
            "nothing was released; check the disk and build again"
        )


def _entry(plans: Plans, plan: Plan, written: Written, old: DatasetEntry | None, *, changed: bool) -> DatasetEntry:
    branch = plan.branch
    subtree = plan.subtree_table
    kept = None if changed else old
    return DatasetEntry(
        branch=branch.path,
        name=branch.name,
        dataset_id=branch.dataset_id,
        parent=None if branch.parent is None else plans.catalogue.branches[branch.parent].name,
        written=written,
        subtree_files=subtree.num_rows,
        subtree_bytes=int(pc.sum(subtree["size"]).as_py() or 0),
        subtree_digest=content_digest(subtree, branch.prefix),
        changed=changed,
        artefacts=f"draft/{branch.name}/" if kept is None else kept.artefacts,
        descriptor=None if kept is None else kept.descriptor,
    )


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
