"""The datasets of a build, children before parents, each written by one of several processes; large ones by two."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from opendata_pkg.building.part import Part, Task, find_kept, write_part
from opendata_pkg.building.settling import Drafted, Settling
from opendata_pkg.dataset.dataset import Child, Past, commit_time
from opendata_pkg.dataset.inventory import content_digests
from opendata_pkg.git.foreign import check_heads
from opendata_pkg.parallel import count_cores
from opendata_pkg.plan.plan import count_rows
from opendata_pkg.store.state import DatasetEntry
from opendata_pkg.workers import Workers
from opendata_pkg.written import Commits, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from opendata_pkg.building.built import BuildRequest
    from opendata_pkg.git.bound_packs import BoundPack, PackList
    from opendata_pkg.model import ObjectKey, S3Object
    from opendata_pkg.plan.changes import Difference
    from opendata_pkg.plan.plan import Plan, Plans
    from opendata_pkg.progress import Reporter
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.store.state import State
    from opendata_pkg.store.store import Store
    from opendata_pkg.written import ContentDigest

# Less than this is done before a second process has started.
_FEW_FILES = 20_000
# A dataset of more is written by two processes: they then take as long as one of half the size.
_MANY_FILES = 20_000
_MAX_WORKERS = 16

Subtree = tuple[int, int, "ContentDigest | None"]
"""Files at or below a branch, their bytes, and the digest over them; None: that of its own files, which are all."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """The last release, as a build compares with it.

    `differences` tell, by a branch's present path, which files of it are new or gone; a new dataset has none.
    """

    state: State
    plans: Plans
    differences: Mapping[str, Difference]

    def entry_of(self, plan: Plan) -> DatasetEntry | None:
        """The same dataset in the last release."""
        return self._entries.get(plan.branch.dataset_id)

    def plan_of(self, plan: Plan) -> Plan | None:
        """The plan of the same dataset in the last release."""
        return self._plans.get(plan.branch.dataset_id)

    def has_same_files(self, plan: Plan) -> bool:
        """Whether nothing is new or gone of a dataset."""
        found = self.differences.get(plan.branch.path)
        return found is not None and not found

    def has_same_names(self, plan: Plan) -> bool:
        """Whether the files of a dataset have the keys and paths that they had."""
        found, was = self.differences.get(plan.branch.path), self.plan_of(plan)
        return (
            found is not None
            and not found.counts.added
            and not found.counts.removed
            and was is not None
            and was.naming == plan.naming
        )

    @cached_property
    def _entries(self) -> dict[str, DatasetEntry]:
        return {entry.dataset_id: entry for entry in self.state.datasets.values()}

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        return {plan.branch.dataset_id: plan for plan in self.plans.by_branch.values()}


class _Alone:
    """What `Workers` do, in this process: a call is done when it is made."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, Any]] = []

    @property
    def idle(self) -> bool:
        return not self._done

    def call(self, tag: object, function: Callable[..., Any], *arguments: object) -> None:
        self._done.append((tag, function(*arguments)))

    def wait(self) -> tuple[Any, Any]:
        return self._done.pop()


def begin_workers(request: BuildRequest) -> AbstractContextManager[Workers | None]:
    """The processes that write the datasets of a build, for as long as `with` lasts; None if this one writes them.

    To begin takes them as long as it takes to plan, so they are there before it is known how much there is to write.
    """
    count = request.jobs
    if count is None:
        count = 1 if len(request.snapshot) < _FEW_FILES else min(_MAX_WORKERS, count_cores())
    return Workers(count, inherit=[request.lock]) if count > 1 and request.lock is not None else nullcontext()


def write_datasets(
    store: Store,
    plans: Plans,
    chosen: Sequence[Plan],
    before: Before | None,
    reporter: Reporter,
    *,
    workers: Workers | None,
) -> tuple[dict[str, DatasetEntry], PackList]:
    """Write the drafts of the plans, which are ordered children first.

    Returns the entries by branch path, and the packs that were written.

    Args:
        store: the store; its inputs are kept already.
        plans: all plans.
        chosen: those to write; with each, all below it.
        before: the last release.
        reporter: takes progress, in files.
        workers: the processes that write; None: this one does.
    """
    reporter.start("building datasets", sum(map(len, chosen)), "files")
    with ThreadPoolExecutor(1) as aside, Settling() as settling:
        try:
            # Meanwhile: it depends on nothing that is written, and is Arrow's and SHA-256's work, not Python's.
            subtrees = aside.submit(_subtrees, chosen, plans, before)
            drafts = _Drafts(store, plans, chosen, before, workers or _Alone(), settling, reporter)
            drafts.write()
            settling.finish()
            reporter.finish()
            found = subtrees.result()
            entries = {plan.branch.path: drafts.entry(plan, found[plan.branch.path]) for plan in chosen}
            return entries, drafts.packed
        finally:
            aside.shutdown(cancel_futures=True)
            # After an error, what is half made will be removed: nobody is to be writing more of it.
            if workers is not None:
                workers.end()


def is_little(chosen: Sequence[Plan], before: Before | None) -> bool:
    """Whether so little has changed that other processes take longer to be told than this one to write it."""
    return sum(len(plan) for plan in chosen if before is None or not before.has_same_files(plan)) < _FEW_FILES


def _subtrees(chosen: Sequence[Plan], plans: Plans, before: Before | None) -> dict[str, Subtree]:
    """How many files are at or below each branch, their bytes, and the digest over them, by branch path."""
    found = {plan.branch.path: _known_subtree(plan, plans, before) for plan in chosen}
    other = [plan for plan in chosen if found[plan.branch.path] is None]
    digests = content_digests(plans.snapshot.table, [(plan.branch.prefix, plan.subtree) for plan in other])
    for plan, digest in zip(other, digests, strict=True):
        found[plan.branch.path] = *_sums(plan), digest
    return {path: subtree for path, subtree in found.items() if subtree is not None}


def _sums(plan: Plan) -> tuple[int, int]:
    return count_rows(plan.subtree), int(pc.sum(plan.subtree_table["size"]).as_py() or 0)


def _known_subtree(plan: Plan, plans: Plans, before: Before | None) -> Subtree | None:
    """What need not be computed: of a branch with nothing below it, or at and below which nothing has changed."""
    if plan.own == plan.subtree:
        return *_sums(plan), None
    if before is None or (old := before.entry_of(plan)) is None:
        return None
    below = [plans.by_branch[x.path] for x in plans.catalogue.walk(plan.branch.path) if x.path in plans.by_branch]
    was = [entry for x in below if before.has_same_files(x) and (entry := before.entry_of(x)) is not None]
    # The same datasets, at the same places: none has come from elsewhere, and none is missing.
    at_home = all(entry.branch == x.branch.path for entry, x in zip(was, below, strict=False))
    if len(was) == len(below) and at_home and old.subtree_files == count_rows(plan.subtree):
        return old.subtree_files, old.subtree_bytes, old.subtree_digest
    return None


class _Drafts:
    """Keeps what is done of a build, and finds what can be done next."""

    def __init__(
        self,
        store: Store,
        plans: Plans,
        chosen: Sequence[Plan],
        before: Before | None,
        crew: Workers | _Alone,
        settling: Settling,
        reporter: Reporter,
    ) -> None:
        self._store, self._plans, self._before, self._reporter = store, plans, before, reporter
        self._crew, self._settling = crew, settling
        self._chosen = {plan.branch.path: plan for plan in chosen}
        self._left = {path: {child.path for child in plan.children} for path, plan in self._chosen.items()}
        self._ready: list[tuple[Task, tuple[bool, bool]]] = []
        self._parts: dict[str, list[Part]] = {}
        self._times: dict[str, int] = {}
        self._written: dict[str, Written] = {}
        self._changed: set[str] = set()
        self.packed: dict[str, dict[str, BoundPack]] = {}

    def write(self) -> None:
        """Write all."""
        for path in [path for path, children in self._left.items() if not children]:
            self._begin(self._chosen[path])
        while len(self._written) < len(self._chosen):
            # The largest first: in the end, all wait for those that take long.
            self._ready.sort(key=lambda call: len(call[0].plan))
            while self._ready and self._crew.idle:
                task, parts = self._ready.pop()
                self._crew.call(task.plan.branch.path, write_part, task, *parts)
            path, part = self._crew.wait()
            self._take(self._chosen[path], part)

    def _begin(self, plan: Plan) -> None:
        """Make a dataset ready to be written, now that its children are; or keep it as it is."""
        children = [Child(branch=child, commits=self._written[child.path].commits) for child in plan.children]
        old = self._old(plan)
        if old is not None and self._unchanged(plan, old):
            self._done(plan, old.written)
            return
        repository = self._store.repository(plan.branch.name)
        past = None if old is None else self._past(plan, old)
        before = None if old is None else old.written.commits
        if past is not None or repository.exists():
            check_heads(repository, (None, None) if before is None else (before.main, before.annex))
        repository.create()
        epoch = int(self._plans.catalogue.epoch.timestamp())
        self._times[plan.branch.path] = commit_time(plan, children, before, epoch)
        task = Task(
            plan=plan,
            children=children,
            past=past,
            time=self._times[plan.branch.path],
            repository=repository.path,
            staging=self._store.draft_folder / plan.branch.name,
            current=self._lookup(plan.snapshot),
            released=self._lookup_released(plan),
        )
        halves = isinstance(self._crew, Workers) and len(plan) > _MANY_FILES
        self._ready += [(task, part) for part in (((True, False), (False, True)) if halves else ((True, True),))]
        self._parts[plan.branch.path] = []

    def _past(self, plan: Plan, old: DatasetEntry) -> Past:
        return Past(
            written=old.written,
            difference=self._little(plan, old),
            artefacts=self._store.path / old.artefacts,
            descriptor=old.descriptor,
        )

    def _old(self, plan: Plan) -> DatasetEntry | None:
        return None if self._before is None else self._before.entry_of(plan)

    def _lookup(self, snapshot: Snapshot) -> Callable[[ObjectKey], S3Object | None]:
        """How a task finds objects of a snapshot: another process reads the one that is kept."""
        if isinstance(self._crew, _Alone):
            return snapshot.get
        return partial(find_kept, self._store.snapshot_path(snapshot.id))

    def _lookup_released(self, plan: Plan) -> Callable[[ObjectKey], S3Object | None]:
        """How a task finds the last release's objects: by keys, which at another address are those of other objects."""
        if self._before is None:
            return _nothing
        last = self._before.plans.snapshot
        return self._lookup(last) if last.header.base_url == plan.snapshot.header.base_url else _nothing

    def _unchanged(self, plan: Plan, old: DatasetEntry) -> bool:
        """Whether all that a dataset's commits are made of is as it was: then they need not be made again."""
        little = self._little(plan, old)
        was = None if self._before is None else self._before.plan_of(plan)
        return (
            little is not None
            and not little
            and was is not None
            and plan.branch == was.branch
            and not any(child.path in self._changed for child in plan.children)
        )

    def _little(self, plan: Plan, old: DatasetEntry) -> Difference | None:
        """What is new or gone of a dataset; None if not that alone counts, or if it is as much as all."""
        was = None if self._before is None else self._before.plan_of(plan)
        if self._before is None or was is None or old.written.borrowed:
            return None
        found = self._before.differences[plan.branch.path]
        alike = (
            plan.naming == was.naming
            and plan.children == was.children
            and plan.snapshot.header.base_url == was.snapshot.header.base_url
        )
        return found if alike and 2 * len(found.new) <= len(plan) else None

    def _take(self, plan: Plan, part: Part) -> None:
        """Take what a process wrote; when it is all of the dataset, name it."""
        path = plan.branch.path
        parts = self._parts[path]
        parts.append(part)
        if part.pack is not None:
            self.packed.setdefault(plan.branch.name, {})[part.pack.name] = part.pack.bound
            self._settling.take_pack(plan.branch.name, part.pack)
        files = next((part.files for part in parts if part.files is not None), None)
        logs = next((part.logs for part in parts if part.logs is not None), None)
        if files is None or logs is None:
            return
        (main, totals, digest), (annex, borrowed) = files, logs
        commits = Commits(main=main, annex=annex, time=self._times[path])
        old = self._old(plan)
        if old is not None and (main, annex) == (old.written.commits.main, old.written.commits.annex):
            commits = old.written.commits
        self._settling.take(self._drafted(plan, old, commits))
        self._done(plan, Written(commits=commits, totals=totals, digest=digest, borrowed=borrowed))

    def _drafted(self, plan: Plan, old: DatasetEntry | None, commits: Commits) -> Drafted:
        little = None if old is None else self._little(plan, old)
        return Drafted(
            name=plan.branch.name,
            repository=self._store.repository(plan.branch.name),
            staging=self._store.draft_folder / plan.branch.name,
            main=commits.main,
            annex=commits.annex,
            files=len(plan),
            before=0 if old is None else old.written.totals.files,
            new=len(plan) if little is None else len(little.new) + len(little.gone),
            is_new_commit=old is None or commits.main != old.written.commits.main,
        )

    def _done(self, plan: Plan, written: Written) -> None:
        """Note a dataset as it is now; its parent may wait for it."""
        path, parent = plan.branch.path, plan.branch.parent
        self._written[path] = written
        old = self._old(plan)
        if old is None or old.written.commits.main != written.commits.main:
            self._changed.add(path)
        self._reporter.advance(len(plan))
        if parent is not None and parent in self._left:
            self._left[parent].discard(path)
            if not self._left[parent]:
                self._begin(self._chosen[parent])

    def entry(self, plan: Plan, subtree: Subtree) -> DatasetEntry:
        """A dataset as the draft's index has it."""
        branch, old = plan.branch, self._old(plan)
        changed = branch.path in self._changed
        kept = None if changed else old
        files, size_bytes, digest = subtree
        return DatasetEntry(
            branch=branch.path,
            name=branch.name,
            dataset_id=branch.dataset_id,
            parent=None if branch.parent is None else self._plans.catalogue.branches[branch.parent].name,
            written=self._written[branch.path],
            subtree_files=files,
            subtree_bytes=size_bytes,
            subtree_digest=digest or self._written[branch.path].digest,
            changed=changed,
            artefacts=f"draft/{branch.name}/" if kept is None else kept.artefacts,
            descriptor=None if kept is None else kept.descriptor,
        )


def _nothing(_: ObjectKey) -> S3Object | None:
    """What a release that is not there had at any key."""
    return None
