"""The draft of a store's next release, in which something may be new: every dataset is looked at."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.building.built import BuildResult, DatasetSummary
from opendata_pkg.building.crew import Before, begin_workers, is_little, write_datasets
from opendata_pkg.building.promises import check_digests
from opendata_pkg.building.report import rows_by_dataset, write_report
from opendata_pkg.columns.arrays import are_equal
from opendata_pkg.dataset.inventory import totals_of
from opendata_pkg.files import replacing
from opendata_pkg.git.bound_packs import join_lists
from opendata_pkg.plan.changes import difference
from opendata_pkg.plan.plan import Plan, Plans, kept_keys, make_plans
from opendata_pkg.snapshot.filed import read_beside
from opendata_pkg.snapshot.pair import are_keys_alike
from opendata_pkg.snapshot.storage import unchecked_rows
from opendata_pkg.snapshot.unread import UnreadSnapshot
from opendata_pkg.store.places import BrokenStoreError
from opendata_pkg.store.state import DatasetEntry, State
from opendata_pkg.store.store import REPORT
from opendata_pkg.written import ChangeCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opendata_pkg.building.built import BuildRequest
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.clashes import Keys
    from opendata_pkg.progress import Reporter
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.store.store import Store
    from opendata_pkg.workers import Workers

# What `kept_keys` needs.
_KEY_COLUMNS = ["key", "size"]


def make_draft(store: Store, latest: State | None, request: BuildRequest, reporter: Reporter) -> BuildResult:
    """Make a draft on the last release, under the store's lock; in a dry run, write nothing.

    Raises:
        InputError: as `build.build` says.
    """
    with begin_workers(request) as workers:
        return _make_draft(store, latest, request, reporter, workers)


def _make_draft(
    store: Store, latest: State | None, request: BuildRequest, reporter: Reporter, workers: Workers | None
) -> BuildResult:
    snapshot = request.snapshot.read() if isinstance(request.snapshot, UnreadSnapshot) else request.snapshot
    catalogue, only = request.catalogue, request.only
    earlier: list[Keys] = []
    old = None
    if latest is not None:
        # Which may be the present one, too.
        last = snapshot if snapshot.id == latest.snapshot else read_beside(snapshot, latest.snapshot)
        if last is None:
            last = store.read_snapshot(latest.snapshot)
        earlier = _earlier_keys(store, last)
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
    check_digests(plans.by_branch.values(), request.allow_undigested)
    wanted = {branch.path for text in only for branch in catalogue.walk(catalogue.resolve(text).path)}
    chosen = [plan for plan in plans.children_first() if not only or plan.branch.path in wanted]
    before = None if latest is None or old is None else _compare(latest, old, chosen)
    changes = {plan.branch.path: _changes(plan, before) for plan in chosen}
    told = {} if before is None else _told(store, before, chosen)
    if request.lock is None:
        with Path(os.devnull).open("wb") as nowhere:
            renamed, troubles = write_report(nowhere, plans, chosen, told)
        return _result(plans, chosen, changes, None, renamed, troubles, None)
    with store.drafting() as earlier_packs:
        store.keep_inputs(snapshot, catalogue)
        report = store.draft_folder / REPORT
        with ThreadPoolExecutor(1) as aside:
            # Meanwhile: other processes do most of the writing.
            reported = aside.submit(_report, report, plans, chosen, told)
            if request.jobs is None and is_little(chosen, before):
                workers = None
            entries, packed = write_datasets(store, plans, chosen, before, reporter, workers=workers)
            renamed, troubles = reported.result()
        ordered = {path: entries[path] for path in plans.by_branch if path in entries}
        state = _state(plans, ordered, complete=not only)
        # All of it is on disk by now. What the draft that is replaced has written was not written again.
        store.write_draft(state, join_lists(earlier_packs, packed))
    return _result(plans, chosen, changes, state, renamed, troubles, report)


def _told(store: Store, before: Before, chosen: Sequence[Plan]) -> dict[str, list[Sequence[str]]]:
    """What the last release's report says of the datasets whose files have the names that they had."""
    path = store.path / "releases" / str(before.state.version) / REPORT
    if not path.is_file():
        return {}
    report = rows_by_dataset(path.read_bytes())
    return {plan.branch.name: report.get(plan.branch.name, []) for plan in chosen if before.has_same_names(plan)}


def _report(
    path: Path, plans: Plans, chosen: Sequence[Plan], told: Mapping[str, Sequence[Sequence[str]]]
) -> tuple[int, int]:
    """Write the report; returns what `write_report` counts."""
    with replacing(path) as stream:
        return write_report(stream, plans, chosen, told)


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


def _earlier_keys(store: Store, last: Snapshot) -> list[Keys]:
    """The keys that the releases held, oldest first; once where they are those of the release before."""
    found: list[Keys] = []
    of_last = _with_keys_of(store, last)
    # Groups, since a snapshot that is released again has the same keys.
    for (snapshot, catalogue), _ in groupby((last.id if one in of_last else one, by) for one, by in store.inputs()):
        # Two columns only, and earlier snapshots unchecked: the last one is checked whole.
        batches = (
            last.batches(_KEY_COLUMNS)
            if snapshot == last.id
            else unchecked_rows(store.snapshot_path(snapshot), _KEY_COLUMNS)
        )
        with _reading(store, snapshot):
            keys = kept_keys(batches, store.read_catalogue(catalogue))
        if not found or not are_equal(keys, found[-1]):
            found.append(keys)
    return found


def _with_keys_of(store: Store, last: Snapshot) -> set[str]:
    """The snapshots that were released with the keys of the last one: most updates change objects, not their names."""
    earlier = {snapshot for snapshot, _ in store.inputs()} - {last.id}
    # Whether such a key is of an object or a folder marker, its size tells.
    if not earlier or pc.any(pc.ends_with(last.table["key"], "/")).as_py():
        return {last.id}
    found = {last.id}
    for one in earlier:
        with _reading(store, one):
            if are_keys_alike(store.snapshot_path(one), store.snapshot_path(last.id)):
                found.add(one)
    return found


@contextmanager
def _reading(store: Store, snapshot: str) -> Iterator[None]:
    """Tell what is wrong with a snapshot of an earlier release."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise BrokenStoreError(
            f"{store.snapshot_path(snapshot)} is not as it was released ({error}), and paths depend on it: restore it "
            "from a copy of the store"
        ) from error


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
                totals=totals_of(plan.table) if entry is None else entry.written.totals,
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
