"""Whether a snapshot may become the next release: what earlier releases promised to those who cite and clone them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.plan import Plan
    from opendata_pkg.snapshot.header import SnapshotHeader
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.snapshot.unread import UnreadSnapshot
    from opendata_pkg.store.state import State


class UndigestedError(InputError):
    """Objects have no digest, and nobody said that they may go without."""

    def __init__(self, count: int, size_bytes: int, example: str) -> None:
        self.count, self.size_bytes = count, size_bytes
        super().__init__(
            f"no digest is known of {counted(count, 'object')} of {counted(size_bytes, 'byte')} (one is {example!r}), "
            "so nobody could check them: see what reading them costs with opendata hash SNAPSHOT --dry-run, "
            "or let them be with --allow-undigested"
        )


class BrokenPromiseError(InputError):
    """The new state would break what earlier releases promised to those who cite and clone them."""


def check_snapshot(snapshot: Snapshot | UnreadSnapshot) -> None:
    """Whether there is anything to build, and a place where readers will find it."""
    if len(snapshot) == 0:
        raise NotFoundError("the snapshot holds no objects: there is nothing to build; scan another source")
    if snapshot.header.base_url is None:
        raise InputError(
            f"the snapshot of {snapshot.header.source} does not say where readers fetch its objects: "
            "scan it again with --base-url URL (or --bucket NAME --region REGION)"
        )


def check_scope(before: SnapshotHeader, snapshot: Snapshot | UnreadSnapshot) -> None:
    """Whether a snapshot covers all that the last release was built from."""
    old = before.prefixes
    new = snapshot.header.prefixes
    if new and not all(any(prefix.startswith(wider) for wider in new) for prefix in old or ("",)):
        raise BrokenPromiseError(
            f"the last release was built from {', '.join(old) or 'the whole source'}, but this snapshot covers only "
            f"{', '.join(new)}: all else would count as deleted; scan as much as before"
        )


def check_datasets(latest: State, catalogue: Catalogue) -> None:
    """Whether every dataset that was released is still there, under its name, where its clones can follow."""
    by_id = {branch.dataset_id: branch for branch in catalogue.branches.values()}
    names = {entry.name: entry for entry in latest.datasets.values()}
    for path, entry in latest.datasets.items():
        branch = by_id.get(entry.dataset_id)
        shown = path or "."
        if branch is None:
            raise BrokenPromiseError(
                f"branch {shown} was released as dataset {entry.dataset_id}, which the catalogue has not: keep its "
                "entry (an empty branch stays a dataset), or give its successor that uuid and `formerly:`"
            )
        if branch.name != entry.name:
            raise BrokenPromiseError(
                f"branch {shown} was released under the name {entry.name}, but the catalogue names it {branch.name}: "
                f"restore `name: {entry.name}`"
            )
        if branch.path != path and path not in branch.formerly:
            raise BrokenPromiseError(
                f"dataset {entry.name} was released as branch {shown}, but is {branch.path or '.'} now: add {path} to "
                "its `formerly:`, so that the old path still resolves"
            )
        parent = None if branch.parent is None else catalogue.branches[branch.parent].name
        if branch.path == path and parent != entry.parent and entry.parent in names:
            raise BrokenPromiseError(
                f"branch {shown} was released as a subdataset of {entry.parent}, but would now be one of {parent}: "
                "`git pull` fails in clones that have it; declare the branch between elsewhere, or not at all"
            )


def check_digests(plans: Iterable[Plan], allowed: str | None) -> None:
    """Whether every file has a digest, except those whose keys the glob `allowed` matches."""
    # What else is promised can be checked without Arrow.
    import pyarrow.compute as pc  # noqa: PLC0415

    from opendata_pkg.globs import compile_globs  # noqa: PLC0415

    may_go_without = compile_globs([] if allowed is None else [allowed], [])
    count = size_bytes = 0
    example = ""
    for plan in plans:
        table = plan.table
        rows = table.filter(pc.and_(pc.is_null(table["sha256"]), pc.is_null(table["md5"])))
        for key, size in zip(rows["key"].to_pylist(), rows["size"].to_pylist(), strict=True):
            if allowed is None or not may_go_without(key):
                count += 1
                size_bytes += size or 0
                example = example or key
    if count:
        raise UndigestedError(count, size_bytes, example)
