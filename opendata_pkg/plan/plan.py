"""What goes where: each object of a snapshot to the dataset of its branch, its path, git-annex key and URL.

Pure: nothing is read or written. An object belongs to the deepest declared branch whose path is a folder of its key;
what belongs to none is the root's. Every object is in exactly one plan or in the report of what was left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.annex import digest_keys, key_of
from opendata_pkg.columns.spool import spooled
from opendata_pkg.model import AnnexKey, ObjectKey, OpenDataError, S3Object
from opendata_pkg.paths import Naming
from opendata_pkg.plan.clashes import Keys, find_clashes
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.text import counted
from opendata_pkg.urls import object_urls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opendata_pkg.catalogue.catalogue import Branch, Catalogue
    from opendata_pkg.snapshot.header import SnapshotHeader

FOLDER_MARKER = "folder marker: an empty object whose key ends in a slash, as consoles make for a new folder"

_BATCH_ROWS = 16_384
_KEYS = pa.schema([pa.field("key", pa.string())])

Ranges = tuple[tuple[int, int], ...]
"""Row ranges (start, stop) of a snapshot, in order, none empty."""


class LostObjectsError(OpenDataError):
    """The plans and the report do not add up to the snapshot: a defect of this package, found before harm is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file of a dataset: its path in the tree, the object it is, its git-annex key and its URL."""

    path: str
    entry: S3Object
    annex_key: AnnexKey
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Rows that no dataset holds, and why."""

    rows: tuple[int, int]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One dataset: the branch and the rows of the snapshot that are its own files.

    `children` are the branches mounted in it that are datasets themselves; `subtree` the rows at or below the branch.
    """

    branch: Branch
    children: tuple[Branch, ...]
    snapshot: Snapshot
    own: Ranges
    subtree: Ranges
    naming: Naming

    def __len__(self) -> int:
        """How many files of its own it has."""
        return count_rows(self.own)

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes: the plan with its own rows only, which is all that is written of it."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            # Not the table as it is: an empty piece of it would take along all numbers of the snapshot.
            for batch in filter(len, self.table.to_batches()):
                stream.write_batch(batch)
        return _restored, (self.branch, self.children, self.snapshot.header, sink.getvalue(), self.naming)

    @cached_property
    def table(self) -> pa.Table:
        """The rows of its own files, in key order; shares memory with the snapshot."""
        return rows_of(self.snapshot.table, self.own)

    @cached_property
    def subtree_table(self) -> pa.Table:
        """The rows of the files at or below it, in key order."""
        return rows_of(self.snapshot.table, self.subtree)

    @cached_property
    def paths(self) -> pa.ChunkedArray:
        """The paths of its own files, in key order."""
        return self._paths_of(self.table)

    def _paths_of(self, rows: pa.Table) -> pa.ChunkedArray:
        return pa.chunked_array([self.naming.paths_of(keys) for keys in rows["key"].chunks], pa.string())

    def batches(self, rows: pa.Table | None = None) -> Iterator[pa.RecordBatch]:
        """Its own files (or some `rows`), by the bytes of their paths: the snapshot's columns, and `path`."""
        table = self.table if rows is None else rows
        paths = self.paths if rows is None else self._paths_of(rows)
        table = table.append_column("path", paths)
        if len(table) > 1 and not pc.all(pc.less(paths[:-1], paths[1:])).as_py():
            # Only a renamed path stands elsewhere than its key.
            table = table.take(pc.sort_indices(paths))
        return filter(len, table.to_batches(max_chunksize=_BATCH_ROWS))

    def addressed(self, rows: pa.Table | None = None) -> Iterator[pa.RecordBatch]:
        """Its own files (or some `rows`), in key order, where their paths do not matter: their columns, and `url`."""
        table = self.table if rows is None else rows
        for batch in filter(len, table.to_batches(max_chunksize=_BATCH_ROWS)):
            yield batch.append_column("url", self.urls_of(batch))

    def urls_of(self, batch: pa.RecordBatch) -> pa.Array:
        """The URLs of some rows of a snapshot's table."""
        return object_urls(self.snapshot.header.base_url or "", batch["key"], batch["version_id"])

    def files(self) -> Iterator[PlannedFile]:
        """Its own files, in byte order of their paths, one by one."""
        for batch in self.batches():
            entries = Snapshot(pa.table(batch), self.snapshot.header).objects()
            columns = batch["path"].to_pylist(), annex_keys(batch, self).to_pylist(), self.urls_of(batch).to_pylist()
            for entry, path, key, url in zip(entries, *columns, strict=True):
                yield PlannedFile(path=path, entry=entry, annex_key=AnnexKey(key), url=url)


@dataclass(frozen=True, kw_only=True)
class Plans:
    """All datasets of a release, by branch path, parents before children; and what was left out."""

    snapshot: Snapshot
    catalogue: Catalogue
    by_branch: Mapping[str, Plan]
    left_out: tuple[LeftOut, ...]

    def children_first(self) -> Iterator[Plan]:
        """The plans in an order in which a dataset comes after all of its subdatasets."""
        return reversed(list(self.by_branch.values()))


def _restored(
    branch: Branch, children: tuple[Branch, ...], header: SnapshotHeader, rows: pa.Buffer, naming: Naming
) -> Plan:
    table = pa.ipc.open_stream(rows).read_all()
    every: Ranges = ((0, len(table)),) if len(table) else ()
    snapshot = Snapshot(table, header)
    return Plan(branch=branch, children=children, snapshot=snapshot, own=every, subtree=every, naming=naming)


def annex_keys(batch: pa.RecordBatch, plan: Plan) -> pa.Array:
    """The git-annex keys of a batch of `Plan.batches` or `Plan.addressed`."""
    keys = digest_keys(batch)
    if not keys.null_count:
        return keys
    odd = pc.is_null(keys)
    rows = batch.filter(odd)
    entries = Snapshot(pa.table(rows), plan.snapshot.header).objects()
    found = [key_of(entry, url) for entry, url in zip(entries, plan.urls_of(rows).to_pylist(), strict=True)]
    return pc.replace_with_mask(keys, odd, pa.array(found, pa.string()))


def make_plans(
    snapshot: Snapshot,
    catalogue: Catalogue,
    *,
    released: Iterable[str] = (),
    earlier_keys: Sequence[Keys] = (),
) -> Plans:
    """Decide for every object of a snapshot where it goes.

    Args:
        snapshot: the objects.
        catalogue: the tree of branches.
        released: paths of branches that earlier releases had as datasets: they stay datasets, be they empty now.
        earlier_keys: the keys that earlier releases held, oldest release first: a key keeps its path for ever.

    Raises:
        LostObjectsError: the sum of all plans and of what was left out is not the snapshot.
    """
    own, left_out = _assign(snapshot, catalogue)
    kept = rows_of(snapshot.table, _merged(ranges for ranges in own.values()))["key"]
    renamed_files, renamed_folders = find_clashes(kept, earlier_keys)
    # A branch's folder is a mount in another dataset than its objects: `Naming` moves what is called like it.
    renamed_files -= catalogue.branches.keys()
    subtree = {path: _subtree(path, own, catalogue) for path in own}
    present = {path for path, ranges in subtree.items() if ranges} | {""} | set(released)
    for path in list(present):
        while (parent := catalogue.branches[path].parent) is not None:
            present.add(path := parent)
    plans: dict[str, Plan] = {}
    for path, branch in catalogue.branches.items():
        if path not in present:
            continue
        # All declared children, datasets or not: a path must not move when a child gets its first object.
        mounts = tuple(catalogue.branches[child].mount_in_parent for child in branch.children)
        plans[path] = Plan(
            branch=branch,
            children=tuple(catalogue.branches[child] for child in branch.children if child in present),
            snapshot=snapshot,
            own=own[path],
            subtree=subtree[path],
            naming=Naming(
                prefix=branch.prefix,
                mounts=mounts,
                renamed_files=_below(renamed_files | _on_the_way(branch, mounts), branch.prefix),
                renamed_folders=_below(renamed_folders, branch.prefix),
            ),
        )
    planned = sum(len(plan) for plan in plans.values())
    left = sum(entry.rows[1] - entry.rows[0] for entry in left_out)
    if planned + left != len(snapshot):
        raise LostObjectsError(
            f"planned {counted(planned, 'object')} and left out {left}, but the snapshot has {len(snapshot)}: "
            "nothing was written; please report this with the snapshot and the catalogue"
        )
    return Plans(snapshot=snapshot, catalogue=catalogue, by_branch=plans, left_out=tuple(left_out))


def rows_of(table: pa.Table, ranges: Ranges) -> pa.Table:
    """Those rows of a table, without copying them."""
    return pa.concat_tables([table.slice(0, 0), *(table.slice(start, stop - start) for start, stop in ranges)])


def count_rows(ranges: Ranges) -> int:
    """How many rows the ranges hold."""
    return sum(stop - start for start, stop in ranges)


def kept_keys(batches: Iterable[pa.Table], catalogue: Catalogue) -> pa.ChunkedArray:
    """The keys, of tables with the columns `key` and `size`, that a release of that catalogue holds.

    Very many of them are in a file that is mapped, as `spooled` says.
    """

    def kept() -> Iterator[pa.Table]:
        for batch in batches:
            left_out = is_marker(batch)
            for ignored in catalogue.ignore:
                left_out = pc.or_(left_out, pc.starts_with(batch["key"], ignored.prefix))
            kept = batch.select(["key"])
            # Where nothing is left out, as mostly, no key is copied.
            yield (kept.filter(pc.invert(left_out)) if pc.any(left_out).as_py() else kept).cast(_KEYS)

    return spooled(kept(), _KEYS)["key"]


def _assign(snapshot: Snapshot, catalogue: Catalogue) -> tuple[dict[str, Ranges], list[LeftOut]]:
    """The rows that each branch owns, and those left out.

    Sorted rows with one prefix stand together: so a branch is a range of rows, less its children's, less what is
    ignored, less folder markers.
    """
    owners: list[tuple[int, int, str]] = []
    for path, branch in catalogue.branches.items():
        owners.append((*snapshot.prefix_range(branch.prefix), path))
    ignored = [(*snapshot.prefix_range(entry.prefix), entry.reason) for entry in catalogue.ignore]
    markers = [ObjectKey(key) for key in snapshot.table["key"].filter(is_marker(snapshot.table)).to_pylist()]
    marker_rows = [snapshot.first_at_or_after(key) for key in markers]

    edges = {0, len(snapshot)}
    for start, stop, _ in [*owners, *ignored]:
        edges |= {start, stop}
    for row in marker_rows:
        edges |= {row, row + 1}
    bounds = sorted(edges)
    marked = set(marker_rows)
    own: dict[str, list[tuple[int, int]]] = {path: [] for path in catalogue.branches}
    left_out: list[LeftOut] = []
    stack: list[tuple[int, int, str]] = []
    # Branches come in byte order of their paths; by start, then wider first, they nest like brackets.
    waiting = sorted(owners, key=lambda owner: (owner[0], -owner[1], len(owner[2])))
    upcoming = 0
    for start, stop in pairwise(bounds):
        while upcoming < len(waiting) and waiting[upcoming][0] <= start:
            stack.append(waiting[upcoming])
            upcoming += 1
        stack = [owner for owner in stack if owner[1] > start]
        reason = next((why for low, high, why in ignored if low <= start < high), None)
        if reason is None and start in marked:
            reason = FOLDER_MARKER
        if reason is not None:
            left_out.append(LeftOut(rows=(start, stop), reason=reason))
        else:
            own[max(stack, key=lambda owner: len(owner[2].encode()))[2]].append((start, stop))
    return {path: _merged([ranges]) for path, ranges in own.items()}, left_out


def is_marker(table: pa.Table) -> pa.ChunkedArray:
    """Which rows of a table with the columns `key` and `size` are folder markers."""
    return pc.and_(pc.ends_with(table["key"], "/"), pc.fill_null(pc.equal(table["size"], 0), fill_value=True))


def _merged(groups: Iterable[Iterable[tuple[int, int]]]) -> Ranges:
    """The union of disjoint ranges, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(entry for ranges in groups for entry in ranges):
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)


def _subtree(path: str, own: Mapping[str, Ranges], catalogue: Catalogue) -> Ranges:
    return _merged(own[branch.path] for branch in catalogue.walk(path))


def _on_the_way(branch: Branch, mounts: Iterable[str]) -> frozenset[str]:
    """Keys that have the name of a folder in which a child is mounted: the folder was there first, by the catalogue."""
    names: set[str] = set()
    for mount in mounts:
        parts = mount.split("/")
        names.update(branch.prefix + "/".join(parts[:count]) for count in range(1, len(parts)))
    return frozenset(names)


def _below(names: frozenset[str], prefix: str) -> frozenset[str]:
    return frozenset(name for name in names if name.startswith(prefix))
