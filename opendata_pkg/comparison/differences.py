"""What became of each file between two tables of files: added, removed, changed, moved, regraded. Pure.

Work is done on columns: what did not change never becomes an object of Python's, so that a million files that stayed
cost a tenth of a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.comparison.moves import find_moves, other_rows
from opendata_pkg.model import Grade
from opendata_pkg.plan.changes import compare_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIDE = (
    pa.field("size", pa.int64()),
    pa.field("sha256", pa.string()),
    pa.field("md5", pa.string()),
    pa.field("version_id", pa.string()),
)
CHANGES = pa.schema(
    [
        pa.field("change", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("moved_from", pa.string()),
        pa.field("branch", pa.string()),
        *(pa.field(f"{side}_{column.name}", column.type) for side in ("before", "after") for column in _SIDE),
    ]
)
"""Columns of `Diff.table`: one row a file that is not the same on both sides, sorted by the UTF-8 bytes of its path."""

_BATCH_ROWS = 16_384
# In notebooks: more is what `Diff.table` is for.
_SHOWN = 20


class Kind(StrEnum):
    """What became of a file. `moved`: the same digest, another path; `regraded`: the same content, otherwise known."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    REGRADED = "regraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared: the words for it, what is known of where it is from, and how much it holds."""

    word: str
    files: int
    size_bytes: int
    origin: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The side as JSON values."""
        return {"word": self.word, **self.origin, "files": self.files, "bytes": self.size_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """How many files, and their known bytes: as they are after, and before for those removed."""

    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """The changes in a folder and below it, or in a dataset. A file that moved counts where it is now.

    `bytes_gone` are those of removed files and of changed ones as they were; `bytes_new` of added ones and of changed
    ones as they are.
    """

    where: str
    files: Mapping[Kind, int]
    bytes_new: int
    bytes_gone: int

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        counts = {kind.value: self.files.get(kind, 0) for kind in Kind}
        return {"where": self.where, **counts, "bytes_new": self.bytes_new, "bytes_gone": self.bytes_gone}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one file on one side; sizes in bytes."""

    size_bytes: int | None
    sha256: str | None
    md5: str | None
    version_id: str | None

    @property
    def grade(self) -> Grade:
        """How surely its bytes are these (docs/explanation/identity.md)."""
        real = self.version_id is not None and self.version_id != "null"
        if self.sha256 is None and self.md5 is None:
            return Grade.VERSIONED if real else Grade.MUTABLE
        return Grade.FIXED if real else Grade.VERIFIABLE

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON."""
        return {
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "md5": self.md5,
            "version_id": self.version_id,
            "grade": self.grade.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What became of one file. `before` is None if it was added, `after` if it was removed."""

    kind: Kind
    path: str
    moved_from: str | None
    before: Known | None
    after: Known | None

    def to_dict(self) -> dict[str, Any]:
        """The change as JSON values; what does not apply is left out."""
        document: dict[str, Any] = {"change": self.kind.value, "path": self.path}
        if self.moved_from is not None:
            document["moved_from"] = self.moved_from
        for name, known in (("before", self.before), ("after", self.after)):
            if known is not None:
                document[name] = known.to_dict()
        return document


@dataclass(frozen=True)
class Diff:
    """What became of the files of `before`, or since then: `table` has a row for each that is not the same."""

    before: Side
    after: Side
    table: pa.Table

    def __len__(self) -> int:
        """How many files are not the same."""
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        """What was compared, and how many files became what: not its rows."""
        counted = (f"{total.files:,} {kind.value}" for kind, total in self.totals.items() if total.files)
        return f"<Diff {self.before.word} → {self.after.word}: {', '.join(counted) or 'no differences'}>"

    def changes(self, limit: int | None = None) -> Iterator[FileChange]:
        """The changes one by one, in the order of their paths; at most `limit`."""
        for batch in self.table.slice(0, limit).to_batches(max_chunksize=_BATCH_ROWS):
            columns = {name: batch.column(name).to_pylist() for name in CHANGES.names}
            sides = [
                zip(*(columns[f"{side}_{column.name}"] for column in _SIDE), strict=True)
                for side in ("before", "after")
            ]
            rows = zip(columns["change"], columns["path"], columns["moved_from"], *sides, strict=True)
            for change, path, moved_from, before, after in rows:
                kind = Kind(change)
                yield FileChange(
                    kind=kind,
                    path=path,
                    moved_from=moved_from,
                    before=None if kind is Kind.ADDED else _known(before),
                    after=None if kind is Kind.REMOVED else _known(after),
                )

    @cached_property
    def totals(self) -> Mapping[Kind, Total]:
        """How many files became what, and their bytes: every kind, in the order of `Kind`."""
        table = self.table
        of = pc.if_else(pc.equal(table["change"], Kind.REMOVED), table["before_size"], table["after_size"])
        sums = pa.table({"change": table["change"], "size": of}).group_by("change")
        found = sums.aggregate([([], "count_all"), ("size", "sum")]).to_pylist()
        by_kind = {row["change"]: Total(files=row["count_all"], size_bytes=row["size_sum"] or 0) for row in found}
        return {kind: by_kind.get(kind.value, Total()) for kind in Kind}

    @property
    def same(self) -> int:
        """How many files are the same on both sides."""
        return self.after.files - sum(total.files for kind, total in self.totals.items() if kind is not Kind.REMOVED)

    def by_dataset(self) -> tuple[FolderChanges, ...]:
        """The changes of each dataset that has some (`.` is the root), in the order of their paths."""
        branches = pc.if_else(pc.equal(self.table["branch"], ""), ".", pc.fill_null(self.table["branch"], "?"))
        return _grouped(self.table, branches)

    def by_folder(self, most: int = 30) -> tuple[FolderChanges, ...]:
        """The changes of folders, as deep as at most `most` of them tell it all; at least those at the top."""
        folders = pc.replace_substring_regex(self.table["path"], r"[^/]*\z", "")
        found = _grouped(self.table, pc.if_else(pc.equal(folders, ""), "./", folders))
        deepest = max((one.where.count("/") for one in found), default=0)
        return next((up for depth in range(deepest, 1, -1) if len(up := _up_to(found, depth)) <= most), None) or _up_to(
            found, 1
        )

    def to_dict(self) -> dict[str, Any]:
        """The diff as JSON values, without the changes themselves."""
        totals = {kind.value: {"files": total.files, "bytes": total.size_bytes} for kind, total in self.totals.items()}
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "same": self.same,
            "totals": totals,
        }

    def _repr_html_(self) -> str:
        """Totals, then folders, as notebooks show them."""
        heads = "".join(f"<th>{kind}</th>" for kind in Kind)
        counts = "".join(f"<td>{total.files:,}</td>" for total in self.totals.values())
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(one.where)}</td>"
            + "".join(f"<td>{one.files[kind]:,}</td>" if kind in one.files else "<td></td>" for kind in Kind)
            + "</tr>"
            for one in self.by_folder(_SHOWN)
        )
        return (
            f"<table><caption>{escape(self.before.word)} → {escape(self.after.word)}: {self.same:,} files the same"
            f"</caption><tr><th></th>{heads}</tr>{rows}<tr><th>all</th>{counts}</tr></table>"
        )


def diff_tables(before: pa.Table, after: pa.Table) -> pa.Table:
    """The changes (as `CHANGES` has them) between two tables of files with the columns of `selection.FILES`.

    Both are sorted by the UTF-8 bytes of `path`, and have each path once. What counts as changed or regraded is said in
    opendata_pkg.plan.changes; of columns that only one of them has, nothing is made. A file moved if one that was
    removed and one that was added have the same digest, by SHA-256, else by MD5 and size: each is paired once, those
    with the same name first, then in the order of their paths.
    """
    rows = compare_rows(before, after, by="path")
    gone, come = before.take(rows.removed), after.take(rows.added)
    moved_gone, moved_come = find_moves(gone, come)
    parts = [
        _part(Kind.ADDED, None, _without(come, moved_come)),
        _part(Kind.REMOVED, _without(gone, moved_gone), None),
        _part(Kind.CHANGED, before.take(rows.changed[0]), after.take(rows.changed[1])),
        _part(Kind.MOVED, gone.take(moved_gone), come.take(moved_come)),
        _part(Kind.REGRADED, before.take(rows.regraded[0]), after.take(rows.regraded[1])),
    ]
    table = pa.concat_tables(parts)
    return table.take(pc.sort_indices(table["path"].combine_chunks())).combine_chunks()


def _part(kind: Kind, before: pa.Table | None, after: pa.Table | None) -> pa.Table:
    here = after if after is not None else before
    assert here is not None  # noqa: S101 - one of them always is given
    length = here.num_rows
    columns = [pa.repeat(pa.scalar(kind.value), length), here["path"]]
    moved_from = before["path"] if kind is Kind.MOVED and before is not None else pa.nulls(length, pa.string())
    columns += [moved_from, here["branch"].cast(pa.string())]
    for side in (before, after):
        columns += [pa.nulls(length, one.type) if side is None else side[one.name] for one in _SIDE]
    return pa.table(columns, schema=CHANGES)


def _without(table: pa.Table, rows: pa.Array) -> pa.Table:
    return table.take(other_rows(table.num_rows, rows)) if len(rows) else table


def _known(values: tuple[Any, ...]) -> Known:
    size, sha256, md5, version_id = values
    return Known(size_bytes=size, sha256=sha256, md5=md5, version_id=version_id)


def _grouped(table: pa.Table, where: pa.ChunkedArray) -> tuple[FolderChanges, ...]:
    sums = (
        pa.table({"where": where, **{name: table[name] for name in ("change", "before_size", "after_size")}})
        .group_by(["where", "change"])
        .aggregate([([], "count_all"), ("before_size", "sum"), ("after_size", "sum")])
    )
    found = [
        FolderChanges(
            where=row["where"],
            files={(kind := Kind(row["change"])): row["count_all"]},
            bytes_new=(row["after_size_sum"] or 0) if kind in {Kind.ADDED, Kind.CHANGED} else 0,
            bytes_gone=(row["before_size_sum"] or 0) if kind in {Kind.REMOVED, Kind.CHANGED} else 0,
        )
        for row in sums.to_pylist()
    ]
    return _merged((one.where, one) for one in found)


def _up_to(found: tuple[FolderChanges, ...], depth: int) -> tuple[FolderChanges, ...]:
    """The folders of at most that many components; those deeper count in theirs."""
    return _merged(("".join(part + "/" for part in one.where.split("/")[:-1][:depth]), one) for one in found)


def _merged(found: Iterator[tuple[str, FolderChanges]]) -> tuple[FolderChanges, ...]:
    by_where: dict[str, FolderChanges] = {}
    for where, one in found:
        had = by_where.get(where, FolderChanges(where=where, files={}, bytes_new=0, bytes_gone=0))
        files = {kind: count for kind in Kind if (count := had.files.get(kind, 0) + one.files.get(kind, 0))}
        by_where[where] = FolderChanges(
            where=where,
            files=files,
            bytes_new=had.bytes_new + one.bytes_new,
            bytes_gone=had.bytes_gone + one.bytes_gone,
        )
    return tuple(by_where[where] for where in sorted(by_where, key=str.encode))
