"""`find`: the files of a dataset, bucket or snapshot that rules mean, without fetching any."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import INT64_MAX
from opendata_pkg.columns.spool import in_rows_order
from opendata_pkg.model import Grade, NotFoundError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.targets.opening import open_target
from opendata_pkg.targets.target import EVERYTHING

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.plan.selection import Rules, Selection

Order = Literal["path", "size"]


class NoneOfGradeError(NotFoundError):
    """The rules give files, but none of the grade that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found: how many files and bytes in all, and in `selection` those to be shown, in the order asked for."""

    selection: Selection
    files: int
    size_bytes: int


def find(
    word: str,
    *,
    rules: Rules = EVERYTHING,
    grade: Grade | None = None,
    sort: Order = "path",
    limit: int | None = None,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Found:
    """Files of what `open_target` knows: by rules and grade; by path, or the largest first; at most `limit` of them.

    Raises:
        NoneOfGradeError: no file has the grade; names those that there are.
        OpenDataError: as `open_target` and `Target.select` say.
    """
    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    selection = target.select(rules, reporter=reporter)
    table = selection.table
    if grade is not None:
        grades = grades_of(table)
        table = table.filter(pc.equal(grades, grade.value))
        if not table.num_rows:
            counts = Counter({row["values"]: row["counts"] for row in grades.value_counts().to_pylist()})
            there = ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
            raise NoneOfGradeError(f"no file of {target.where} is {grade.value} by these rules: there are {there}")
    limit = None if limit is None else min(limit, INT64_MAX)
    files, size_bytes = table.num_rows, pc.sum(table["size"]).as_py() or 0
    if sort == "size":
        # Stable: files of one size stay in the order of their paths. Unknown sizes come last.
        table = in_rows_order(table, pc.sort_indices(table, [("size", "descending")]).slice(0, limit))
    return Found(selection=replace(selection, table=table.slice(0, limit)), files=files, size_bytes=size_bytes)


def grades_of(table: pa.Table) -> pa.ChunkedArray:
    """The grade of each file of a table in `FILES`, by `model.grade_of`'s rule."""
    real = pc.fill_null(pc.not_equal(table["version_id"], "null"), fill_value=False)
    digested = pc.or_(pc.is_valid(table["sha256"]), pc.is_valid(table["md5"]))
    known = pc.if_else(real, Grade.FIXED.value, Grade.VERIFIABLE.value)
    return pc.if_else(digested, known, pc.if_else(real, Grade.VERSIONED.value, Grade.MUTABLE.value))
