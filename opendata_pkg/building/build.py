"""`build`: a snapshot as the draft of the store's next release. `release` publishes it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from opendata_pkg.building.built import BuildRequest, BuildResult, DatasetSummary
from opendata_pkg.building.promises import check_datasets, check_scope, check_snapshot
from opendata_pkg.building.unchanged import Unchanged, draft_as_released
from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.files import write_bytes
from opendata_pkg.model import InputError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import read_header
from opendata_pkg.snapshot.unread import UnreadSnapshot, open_snapshot
from opendata_pkg.store.store import REPORT, Store
from opendata_pkg.written import ChangeCounts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opendata_pkg.snapshot.snapshot import Snapshot


class UnfinishedReleaseError(InputError):
    """A release was interrupted; it must be finished before the next build."""


def snapshot_for(store_path: Path, file: Path) -> Snapshot | UnreadSnapshot:
    """The snapshot to build from; as long as nothing is new in it, its rows need not be read."""
    store = Store(store_path)
    released = store.inputs() if store.exists() else []
    return open_snapshot(file, store.snapshot_path, released[-1][0] if released else None)


def is_released(store_path: Path, file: Path) -> bool:
    """Whether a snapshot says that it is the one that was released last."""
    store = Store(store_path)
    released = store.inputs() if store.exists() else []
    return bool(released) and read_header(file)["id"] == released[-1][0]


def catalogue_for(store_path: Path, file: Path | None) -> Catalogue:
    """The catalogue to build with: the file named, else the store's own, else the one shipped."""
    if file is not None:
        return Catalogue.load(file)
    store = Store(store_path)
    if store.exists():
        state = store.latest() or (store.draft() if store.has_draft() else None)
        if state is not None:
            return store.read_catalogue(state.catalogue)
    return shipped_catalogue()


def say_what_is_left(store_path: Path, reporter: Reporter) -> None:
    """After a refused build, name the draft of an earlier one, if there is: `release` would publish that."""
    store = Store(store_path)
    if not store.exists() or not store.has_draft():
        return
    draft = store.draft()
    if draft.version is None:
        reporter.message(
            "the draft of an earlier build stays as it is, and is what opendata release would publish: that of the "
            f"snapshot {draft.snapshot[:12]} of {store.read_header(draft.snapshot).origin}"
        )


def build(
    snapshot: Snapshot | UnreadSnapshot,
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
        request = BuildRequest(
            snapshot=snapshot,
            catalogue=catalogue,
            only=only,
            allow_undigested=allow_undigested,
            jobs=jobs,
            lock=lock,
        )
        return _build(store, request, reporter)


def _build(store: Store, request: BuildRequest, reporter: Reporter) -> BuildResult:
    """Build what is asked for, under the store's lock."""
    if request.lock is not None and (version := store.unfinished_release()) is not None:
        raise UnfinishedReleaseError(
            f"the release of {version} in {store.path} was interrupted: "
            f"finish it first with opendata release {version} --store {store.path}"
        )
    latest = store.latest() if store.exists() else None
    if latest is not None:
        released_header = store.read_header(latest.snapshot)
        check_scope(released_header, request.snapshot)
        _say_if_moved(released_header.base_url, request.snapshot.header.base_url, reporter)
        check_datasets(latest, request.catalogue)
        if not request.only and (same := draft_as_released(store, latest, request)) is not None:
            return _build_unchanged(store, request, same, reporter)
    # As long as nothing is new, none of this is needed: it brings Arrow, which takes as long as all else.
    from opendata_pkg.building.drafting import make_draft  # noqa: PLC0415

    return make_draft(store, latest, request, reporter)


def _build_unchanged(store: Store, request: BuildRequest, same: Unchanged, reporter: Reporter) -> BuildResult:
    """Make a draft of what was released, and tell of it as if all had been looked at."""
    report, dry_run = None, request.lock is None
    if not dry_run:
        with store.drafting() as earlier_packs:
            store.keep_inputs(request.snapshot, request.catalogue)
            files = same.state.datasets[""].subtree_files
            reporter.start("building datasets", files, "files")
            reporter.advance(files)
            reporter.finish()
            report = store.draft_folder / REPORT
            write_bytes(report, same.report)
            store.write_draft(same.state, earlier_packs)
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
