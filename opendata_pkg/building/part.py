"""What one process writes of a dataset: its files, its logs, or both, as one pack.

Processes of a build import this and what it needs, and wait for nothing else.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from opendata_pkg.dataset.dataset import write_files, write_logs
from opendata_pkg.git.repository import Repository
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import unchecked_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from opendata_pkg.dataset.dataset import Child, Past
    from opendata_pkg.git.pack import WrittenPack
    from opendata_pkg.model import ObjectId, ObjectKey, S3Object
    from opendata_pkg.plan.plan import Plan
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
    """What one process wrote of a dataset: its files, its logs, or both; and the pack that holds them, unpublished."""

    files: tuple[ObjectId, Totals, ContentDigest] | None
    logs: tuple[ObjectId, int] | None
    pack: WrittenPack | None


def write_part(task: Task, files: bool, logs: bool) -> Part:  # noqa: FBT001 - a call for `Workers`
    """Write one dataset, or the half of it that is asked for, as one pack, which is yet to be published."""
    repository = Repository(task.repository)
    wrote_files = wrote_logs = None
    older = nullcontext() if task.past is None else repository.reader()
    with repository.writer(publish=False) as writer, older as reader:
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
    return Part(files=wrote_files, logs=wrote_logs, pack=writer.written)


@cache
def _kept(path: Path) -> Snapshot:
    """A snapshot of the store; unchecked, since whoever started this process has read it whole."""
    header = SnapshotHeader(source="", method="", base_url=None)
    return Snapshot.collect(unchecked_rows(path), header)


def find_kept(path: Path, key: ObjectKey) -> S3Object | None:
    """The object of a key in a snapshot of the store, in a process of its own: read when first asked for."""
    return _kept(path).get(key)
