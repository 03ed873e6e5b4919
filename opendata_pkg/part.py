"""What one process writes of a dataset: its files, its logs, or both, as one pack.

Processes of a build import this and what it needs, and wait for nothing else.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from opendata_pkg.dataset import write_files, write_logs
from opendata_pkg.git.objects import SYMLINK
from opendata_pkg.git.repository import BrokenRepositoryError, Repository, call_git
from opendata_pkg.snapshot import Snapshot
from opendata_pkg.snapshot_header import SnapshotHeader
from opendata_pkg.snapshot_io import unchecked_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from opendata_pkg.bound_packs import BoundPacks
    from opendata_pkg.dataset import Child, Past
    from opendata_pkg.model import ObjectId, ObjectKey, S3Object
    from opendata_pkg.plan import Plan
    from opendata_pkg.written import ContentDigest, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a process must know to write one dataset."""

    plan: Plan
    children: Sequence[Child]
    past: Past | None
    time: int
    repository: Path
    staging: Path
    current: Callable[[ObjectKey], S3Object | None]
    released: Callable[[ObjectKey], S3Object | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process wrote of a dataset: its files, its logs, or both; and the pack that holds them."""

    files: tuple[ObjectId, Totals, ContentDigest] | None
    logs: tuple[ObjectId, int] | None
    packed: BoundPacks


def write_part(task: Task, files: bool, logs: bool) -> Part:  # noqa: FBT001 - a call for `Workers`
    """Write one dataset, or the half of it that is asked for, as one pack."""
    repository = Repository(task.repository)
    wrote_files = wrote_logs = None
    older = nullcontext() if task.past is None else repository.reader()
    with repository.writer() as writer, older as reader:
        if files:
            wrote_files = write_files(
                task.plan,
                children=task.children,
                past=task.past,
                time=task.time,
                reader=reader,
                writer=writer,
                staging=task.staging,
            )
        if logs:
            wrote_logs = write_logs(
                task.plan,
                past=task.past,
                time=task.time,
                repository=repository,
                reader=reader,
                writer=writer,
                current=task.current,
                released=task.released,
            )
    if wrote_files is not None:
        _check_written(repository, task, wrote_files[0])
    return Part(files=wrote_files, logs=wrote_logs, packed=writer.packed)


def _check_written(repository: Repository, task: Task, commit: ObjectId) -> None:
    """Read back what was written: as many annexed files as the plan has, by git's own count.

    Where little changed, that many more or less than were released; what is as it was is not read again.
    """
    plan, past = task.plan, task.past
    if past is None or past.difference is None:
        listing = call_git("ls-tree", "-r", "-z", "--full-tree", commit, cwd=repository.path)
        found = listing.count(b"\0" + SYMLINK) + listing.startswith(SYMLINK)
    else:
        before = past.written.commits.main
        listing = call_git("diff-tree", "-r", "-z", "--no-renames", before, commit, cwd=repository.path)
        # git-diff-tree(1), "Raw output format": ":<old mode> <new mode> <old id> <new id> <status>", with -z a NUL, the
        # path and another NUL.
        modes = [entry[1:14].split(b" ") for entry in listing.split(b"\0")[:-1:2]]
        found = past.written.totals.files + sum((new == SYMLINK) - (old == SYMLINK) for old, new in modes)
    if found != len(plan):
        raise BrokenRepositoryError(
            f"wrote {len(plan)} files of {plan.branch.name}, but git reads {found} in {repository.path}: "
            "nothing was released; check the disk and build again"
        )


@cache
def _kept(path: Path) -> Snapshot:
    """A snapshot of the store; unchecked, since whoever started this process has read it whole."""
    header = SnapshotHeader(source="", method="", base_url=None)
    return Snapshot.collect(unchecked_rows(path), header)


def find_kept(path: Path, key: ObjectKey) -> S3Object | None:
    """The object of a key in a snapshot of the store, in a process of its own: read when first asked for."""
    return _kept(path).get(key)
