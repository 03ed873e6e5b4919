"""Cloning a dataset of a store, whole or in part: a plain DataLad dataset at a released version.

A bucket or a snapshot is made a dataset first, by `opendata_pkg.readers.unreleased`.

Everything is made in a folder beside the final one and moved there in the end: whoever is interrupted has no clone, not
half of one.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.git.bring import is_url
from opendata_pkg.git.checkout import Submodule, register_submodule, submodules_of
from opendata_pkg.git.clone import MAIN, Wish, clone_repository
from opendata_pkg.git.person import NEUTRAL_EMAIL, NEUTRAL_NAME, has_identity, what_annex_lacks
from opendata_pkg.model import InputError, ObjectId, UsageError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.store.contents import is_below
from opendata_pkg.targets.store import StoreTarget
from opendata_pkg.targets.target import EVERYTHING
from opendata_pkg.targets.words import is_of_store
from opendata_pkg.web.transport import RefusedError, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.git.bound_packs import BoundPacks, PackList
    from opendata_pkg.plan.selection import Rules, Selection
    from opendata_pkg.store.state import DatasetEntry
    from opendata_pkg.targets.target import Target

JOBS = 4
_WORK = ".opendata-"
_LOCK = "lock"
_REMOVALS = 5


class OccupiedError(InputError):
    """The folder that a clone is to be made in holds something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A dataset of a clone: where it is, below the clone (`.`: the clone itself), and at which commit."""

    branch: str
    path: str
    commit: ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneResult:
    """A clone: where it is, what of, and its datasets, the top one first; of a bucket or snapshot `version` is None.

    `selected` says which files (paths from the clone's top) of these datasets the rules mean, None without rules.
    `elsewhere` counts those that are in subdatasets which are not installed.
    """

    folder: Path
    branch: str
    version: str | None
    datasets: tuple[Installed, ...]
    selected: tuple[str, ...] | None
    elsewhere: int

    @property
    def wanted(self) -> set[Path] | None:
        """The selected files as whole paths, as `opendata_pkg.readers.getting.get` takes them; None without rules."""
        top = self.folder.resolve()
        return None if self.selected is None else {top / path for path in self.selected}


def check_folder(word: str, folder: Path | None) -> None:
    """Whether a clone of what a word names can be made there: told before a bucket is listed to open it.

    Raises:
        OccupiedError: the folder holds something.
    """
    if folder is not None or not is_of_store(word):
        _final_folder(folder or _named_after(word))


def clone(
    target: Target,
    folder: Path | None = None,
    *,
    rules: Rules = EVERYTHING,
    recursive: bool = False,
    sparse: bool = False,
    jobs: int = JOBS,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> CloneResult:
    """Clone a dataset at its release's commit into `folder` (by default: its name, in the current folder).

    A bucket or a snapshot is one dataset, at the commit that its objects give whenever they are cloned; that clone has
    no `origin`.

    Args:
        target: the dataset of a store, a bucket or a snapshot.
        folder: it must not be there yet, or be empty.
        rules: which files are meant: their subdatasets are installed, and with `sparse` nothing else is checked out.
        recursive: install subdatasets, all of them without rules.
        sparse: check out only what is meant, and the datasets' own texts.
        jobs: how many subdatasets are cloned at a time.
        offline: use no network.
        reporter: takes progress and messages.

    Raises:
        UsageError: `sparse` without rules.
        OccupiedError: the folder holds something.
        EmptySelectionError: the rules mean no file.
        BrokenRepositoryError: the store is damaged.
        InputError, NotFoundError: no dataset can be made of the bucket or snapshot; see `unreleased.as_dataset`.
        SourceError: git, git-annex, a server or the file system refused.
    """
    has_rules = rules != EVERYTHING or target.path is not None
    if sparse and not has_rules:
        raise UsageError("expected which files to check out with --sparse: give a path after a colon, or --include")
    final = _final_folder(folder or _default_folder(target))
    selection = target.select(rules, reporter=reporter) if has_rules else None
    neutral = not has_identity(_existing(final))
    with _work_folder(final) as work, Transport.create(connections=2 * jobs, offline=offline) as transport:
        if isinstance(target, StoreTarget):
            opened = target
        else:
            opened = _as_dataset(target, work.parent / "store", reporter)
            # Names at the top of a dataset can be other ones than in a bucket.
            selection = opened.select(rules, reporter=reporter) if has_rules else None
        plan = _Plan(opened, selection, final, recursive=recursive, sparse=sparse)
        made = _Maker(plan, work, transport, jobs, reporter, neutral=neutral)
        datasets = made.make()
        reporter.finish()
        work.rename(final)
    if neutral:
        reporter.message(
            f"git knows no identity: commits in this clone will be by {NEUTRAL_NAME} <{NEUTRAL_EMAIL}>; set yours with "
            "git config user.name and user.email"
        )
    for lack in what_annex_lacks():
        reporter.message(lack)
    return CloneResult(
        folder=final,
        branch=target.origin.branch,
        version=target.origin.version,
        datasets=(replace(datasets[0], branch=target.origin.branch), *datasets[1:]),
        selected=plan.selected_in(datasets),
        elsewhere=plan.count_elsewhere(datasets),
    )


def _as_dataset(target: Target, store: Path, reporter: Reporter) -> StoreTarget:
    # Writing takes much that those who clone from a store need not wait for.
    from opendata_pkg.readers.unreleased import as_dataset  # noqa: PLC0415
    from opendata_pkg.targets.snapshot import SnapshotTarget  # noqa: PLC0415

    assert isinstance(target, SnapshotTarget)  # noqa: S101 - there is no third kind
    return as_dataset(target, store, reporter=reporter)


def _default_folder(target: Target) -> Path:
    if isinstance(target, StoreTarget):
        return Path(target.entry.branch.rpartition("/")[2] or target.entry.name)
    return _named_after(target.origin.source)


def _named_after(word: str) -> Path:
    """A bucket's prefix or name, or a snapshot's name, as a folder's."""
    name = word.rstrip("/").rpartition("/")[2]
    return Path(name if word.startswith("s3://") else name.removesuffix(".parquet"))


def _final_folder(folder: Path) -> Path:
    final = folder.expanduser().absolute()
    if final.is_symlink() or final.exists():
        with suppress(NotADirectoryError):
            if not any(final.iterdir()):
                return final
        raise OccupiedError(f"expected no folder, or an empty one, at {final}: name another one, or move it away")
    return final


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return next(folder for folder in path.parents if folder.is_dir())


@contextmanager
def _work_folder(final: Path) -> Iterator[Path]:
    """An empty folder on the same file system, to be renamed; it vanishes with all in it if it was not.

    What processes that were killed have left behind is removed first.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{final.name[:100]}{_WORK}"
    for stale in final.parent.glob(f"{_escaped(prefix)}*/{_LOCK}"):
        with suppress(OSError), stale.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(stale.parent)
    around = Path(tempfile.mkdtemp(dir=final.parent, prefix=prefix))
    try:
        with (around / _LOCK).open("wb") as stream:
            with suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            work = around / "clone"
            work.mkdir()
            yield work
    finally:
        _remove(around)


def _remove(folder: Path) -> None:
    """Remove a folder, in which threads that were left alone, or what a killed process had started, may still write."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


class _Plan:
    """What is to be cloned: which datasets below the one asked for, and which of their files are meant."""

    def __init__(
        self, target: StoreTarget, selection: Selection | None, final: Path, *, recursive: bool, sparse: bool
    ) -> None:
        self.final, self.sparse = final, sparse
        self.entry = target.entry
        self._target, self._selection = target, selection
        self._recursive = recursive
        self._by_name = {entry.name: entry for entry in target.state.datasets.values()}
        self._touched = None if selection is None else selection.branches

    @property
    def top(self) -> Wish:
        """The dataset that was asked for."""
        version, store = self._target.state.version, self._target.store
        branch = MAIN if version == store.versions()[-1] else f"v{version}"
        return Wish(
            address=self.address(self.entry.name),
            commit=self.entry.written.commits.main,
            branch=branch,
            final=self.final,
            packs=self.packs(self.entry.name),
            is_kept=self._target.origin.version is not None,
        )

    def address(self, name: str) -> str:
        """Where git finds a dataset of the store."""
        return self._target.store.place.git_url(name)

    def packs(self, name: str) -> BoundPacks:
        """What the last release bound of a dataset's packs; nothing where that cannot be had, or is not needed."""
        return self._packs.get(name, {})

    @cached_property
    def _packs(self) -> PackList:
        if not is_url(self.address(self.entry.name)):
            return {}
        try:
            return self._target.store.packs() or {}
        except (InputError, RefusedError):
            # git then looks at all that comes.
            return {}

    def wanted(self, submodule: Submodule) -> DatasetEntry | None:
        """The dataset of a subdataset that is to be installed; None if it is not."""
        entry = self._by_name.get(submodule.name)
        if not self._recursive or entry is None:
            return None
        if self._touched is not None and not any(is_below(branch, entry.branch) for branch in self._touched):
            return None
        return entry

    def count(self) -> int:
        """How many datasets there will be."""
        if not self._recursive:
            return 1
        top = self.entry.branch
        below = [entry.branch for entry in self._by_name.values() if is_below(entry.branch, top)]
        if self._touched is None:
            return len(below)
        return sum(any(is_below(branch, path) for branch in self._touched) or path == top for path in below)

    def files_of(self, branch: str) -> set[str] | None:
        """The selected files of a dataset, as paths in it, for a sparse checkout; None: all are checked out."""
        if not self.sparse or self._selection is None:
            return None
        return set(self._paths(branch))

    def _paths(self, branch: str) -> list[str]:
        assert self._selection is not None  # noqa: S101 - asked for only where there is one
        table = self._selection.table
        paths = table.filter(pc.equal(table["branch"].cast("string"), branch))["path"].to_pylist()
        start = len(branch) + 1 if branch else 0
        return [path[start:] for path in paths]

    def selected_in(self, datasets: tuple[Installed, ...]) -> tuple[str, ...] | None:
        """The selected files of installed datasets, as paths from the clone's top."""
        if self._selection is None:
            return None
        return tuple(
            path if dataset.path == "." else f"{dataset.path}/{path}"
            for dataset in datasets
            for path in self._paths("" if dataset.branch == ROOT else dataset.branch)
        )

    def count_elsewhere(self, datasets: tuple[Installed, ...]) -> int:
        """How many selected files are in datasets that are not installed."""
        return 0 if self._selection is None else len(self._selection) - len(self.selected_in(datasets) or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A dataset to be cloned: `path` from the clone's top, and the parent's folder if it has one."""

    wish: Wish
    entry: DatasetEntry
    path: str
    parent: Path | None
    submodule: Submodule | None


class _Maker:
    """Makes all datasets of a plan in a folder: a parent before its children, those of one depth side by side."""

    def __init__(
        self, plan: _Plan, work: Path, transport: Transport, jobs: int, reporter: Reporter, *, neutral: bool
    ) -> None:
        self._plan, self._work, self._transport = plan, work, transport
        self._jobs, self._reporter, self._neutral = jobs, reporter, neutral

    def make(self) -> tuple[Installed, ...]:
        total = self._plan.count()
        waiting = [_Job(wish=self._plan.top, entry=self._plan.entry, path=".", parent=None, submodule=None)]
        done: list[Installed] = []
        while waiting:
            if total > 1:
                self._reporter.start("cloning", total, "datasets")
                self._reporter.advance(len(done))
            found: list[_Job] = []
            for job, children in map_unordered(self._make_one, waiting, jobs=self._jobs):
                done.append(Installed(branch=job.entry.branch or ROOT, path=job.path, commit=job.wish.commit))
                found += children
                if total > 1:
                    self._reporter.advance()
                if job.parent is not None and job.submodule is not None:
                    # Here, in one thread: git does not let two write to one file of settings.
                    register_submodule(job.parent, job.submodule, job.wish.address)
            waiting = found
        return (done[0], *sorted(done[1:], key=lambda dataset: dataset.path.encode()))

    def _make_one(self, job: _Job) -> list[_Job]:
        clone = self._work if job.path == "." else self._work / job.path
        clone.mkdir(parents=True, exist_ok=True)
        # One bar at a time: that of the datasets, where there are several.
        reporter = self._reporter if self._plan.count() == 1 else _Messages(self._reporter)
        files = self._plan.files_of(job.entry.branch)
        clone_repository(job.wish, clone, files, transport=self._transport, neutral=self._neutral, reporter=reporter)
        children = ((submodule, self._plan.wanted(submodule)) for submodule in submodules_of(clone))
        return [self._child(job, clone, submodule, entry) for submodule, entry in children if entry is not None]

    def _child(self, job: _Job, clone: Path, submodule: Submodule, entry: DatasetEntry) -> _Job:
        path = submodule.path if job.path == "." else f"{job.path}/{submodule.path}"
        wish = Wish(
            address=self._plan.address(submodule.name),
            commit=submodule.commit,
            branch=MAIN,
            final=self._plan.final / path,
            packs=self._plan.packs(submodule.name),
        )
        return _Job(wish=wish, entry=entry, path=path, parent=clone, submodule=submodule)


class _Messages(Reporter):
    """Hands on messages, not progress."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def message(self, text: str) -> None:
        self._reporter.message(text)
