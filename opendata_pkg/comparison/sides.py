"""`diff`: what became of each file between any two of a store's versions, buckets, snapshots and locks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.comparison.differences import Diff, Side, diff_tables
from opendata_pkg.lock.lock import Lock
from opendata_pkg.model import UsageError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.plan.selection import FILES, EmptySelectionError, Rules, select
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.targets.opening import open_target
from opendata_pkg.targets.target import EVERYTHING, Target
from opendata_pkg.targets.words import is_bucket, is_lock, is_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.lock.lock import LockedFile, LockSelection

_LOCKED = ("path", "branch", "version_id", "size", "sha256", "md5")


def diff(
    before: str,
    after: str,
    *,
    rules: Rules = EVERYTHING,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Diff:
    """Compare two of what `open_target` knows, or locks (`….lock`), file by file, by their full paths.

    Of something that is compared with a lock, only the files that the lock's selections mean count, as they would be
    pinned today. One of the two may be without a file; both may not.

    Raises:
        NotFoundError: one of the two does not exist, or the rules give no file of either.
        InputError, SourceError, UsageError: as `open_target` and `Lock` say.
    """
    words = before, after
    if rules != EVERYTHING and any(map(is_lock, words)):
        raise UsageError("a lock says itself which files are meant: leave the selection options out")
    opener = partial(
        open_target,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )

    def opened(word: str) -> _TargetSide | _LockSide:
        if is_lock(word):
            return _LockSide(word, Lock.load(word))
        return _TargetSide(word, opener(word), rules, reporter)

    # Files that say nothing while they are read: both at once. What draws progress comes one after the other.
    jobs = 2 if all(is_snapshot(word) or is_lock(word) for word in words) else 1
    found = dict(map_unordered(opened, dict.fromkeys(words), jobs=jobs))
    first, second = (found[word] for word in words)
    targets = [(side.word, side.target) for side in (first, second) if isinstance(side, _TargetSide)]
    if all(is_snapshot(word) or is_bucket(word) for word in words):
        # Who reads a store needs no Parquet.
        from opendata_pkg.comparison.snapshot_sides import read_side_by_side  # noqa: PLC0415

        read = dict(enumerate(read_side_by_side(*targets, rules=rules)))
    else:
        sides = first, second
        read = dict(map_unordered(lambda one: sides[one].read(sides[1 - one]), (0, 1), jobs=jobs))
    (one, old), (other, new) = read[0], read[1]
    if not one.files and not other.files:
        raise EmptySelectionError(f"no file to compare in {before} and {after}: look at either with opendata find")
    return Diff(before=one, after=other, table=diff_tables(old, new))


def locked_table(files: dict[str, LockedFile], branches: dict[str, str]) -> pa.Table:
    """Locked files by the path that they are compared by; `branches` are those of the lock's selections.

    ETags and dates, which a lock does not have, are no columns: so nothing is made of them.
    """
    rows = [
        (path, branches[file.selection], file.version_id, file.size_bytes, file.sha256, file.md5)
        for path, file in sorted(files.items(), key=lambda item: item[0].encode())
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(_LOCKED)
    fields = [FILES.field(name) if name != "branch" else pa.field(name, pa.string()) for name in _LOCKED]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)], _LOCKED)


@dataclass(frozen=True)
class _TargetSide:
    word: str
    target: Target
    rules: Rules
    reporter: Reporter

    def read(self, other: _TargetSide | _LockSide) -> tuple[Side, pa.Table]:
        rules = EVERYTHING if isinstance(other, _LockSide) else self.rules
        try:
            selection = self.target.select(rules, reporter=self.reporter)
        except EmptySelectionError:
            return _side(self.word, FILES.empty_table(), asdict(self.target.origin)), FILES.empty_table()
        table = _as_pinned(selection.table, other.lock) if isinstance(other, _LockSide) else selection.table
        return _side(self.word, table, asdict(selection.origin)), table


@dataclass(frozen=True)
class _LockSide:
    word: str
    lock: Lock

    def read(self, other: _TargetSide | _LockSide) -> tuple[Side, pa.Table]:
        table = self._table(other)
        return _side(self.word, table, {"source": str(self.lock.path), "selections": list(self.lock.selections)}), table

    def _table(self, other: _TargetSide | _LockSide) -> pa.Table:
        selections = self.lock.selections
        branches = {name: _branch(selection) for name, selection in selections.items()}
        if isinstance(other, _LockSide):
            # Each at its place: a lock may have two versions of one path.
            return locked_table({self.lock.place_of(file): file for file in self.lock.files}, branches)
        found: dict[str, LockedFile] = {}
        # Of two versions of one path, the one that is at its own place.
        for file in sorted(self.lock.files, key=lambda file: selections[file.selection].folder is not None):
            if file.path.startswith(other.target.prefix):
                found.setdefault(file.path, file)
        return locked_table(found, branches)


def _branch(selection: LockSelection) -> str:
    return "" if selection.branch == "." else selection.branch


def _as_pinned(files: pa.Table, lock: Lock) -> pa.Table:
    """The files that the selections of a lock mean, with what a lock would say of them."""
    paths = [pa.array([], pa.string())]
    for selection in lock.selections.values():
        prefix = f"{branch}/" if (branch := _branch(selection)) else ""
        below = files.filter(pc.starts_with(files["path"], prefix)) if prefix else files
        try:
            found = select(below, Rules.from_dict(selection.rules), prefix=prefix, where=str(lock.path))
        except EmptySelectionError:
            continue
        paths.append(found["path"].combine_chunks())
    chosen = files.filter(pc.is_in(files["path"], value_set=pa.concat_arrays(paths)))
    # An overwritable version is none to a lock.
    versions = pc.if_else(pc.equal(chosen["version_id"], "null"), None, chosen["version_id"])
    at = chosen.column_names.index("version_id")
    return chosen.set_column(at, FILES.field("version_id"), versions)


def _side(word: str, table: pa.Table, origin: dict[str, object]) -> Side:
    return Side(word=word, files=table.num_rows, size_bytes=pc.sum(table["size"]).as_py() or 0, origin=origin)
