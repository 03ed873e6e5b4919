"""The report of a build: what is not plainly a file at its key's path, one a line, written to a given stream."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from opendata_pkg.paths import relative_key
from opendata_pkg.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opendata_pkg.plan.plan import Plan, Plans


_COLUMNS = ("what", "dataset", "key", "path", "why")
# What the first column says of a row.
_LEFT_OUT, _RENAMED, _TROUBLE = "left out", "renamed", "name"


def count_report(report: bytes) -> tuple[int, int, int]:
    """How many objects a report says are left out, how many files renamed, how many names trouble some systems."""
    rows = csv.reader(io.StringIO(report.decode(), newline=""))
    counts = Counter(row[0] for row in rows if row)
    return counts[_LEFT_OUT], counts[_RENAMED], counts[_TROUBLE]


def rows_by_dataset(report: bytes) -> dict[str, list[Sequence[str]]]:
    """What a report says of the files of each dataset, by its name."""
    found: dict[str, list[Sequence[str]]] = {}
    for row in csv.reader(io.StringIO(report.decode(), newline="")):
        if len(row) == len(_COLUMNS) and row[0] in {_RENAMED, _TROUBLE}:
            found.setdefault(row[1], []).append(row)
    return found


def write_report(
    stream: BinaryIO, plans: Plans, chosen: Sequence[Plan], known: Mapping[str, Sequence[Sequence[str]]]
) -> tuple[int, int]:
    """Write what is not plainly a file at its key's path: left out, renamed, or named to somebody's trouble.

    `known` has the rows of datasets whose names are those of an earlier report, as `rows_by_dataset` gives them.

    Returns how many files are renamed, and how many names may cause trouble.
    """
    counts: Counter[str] = Counter()
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for entry in plans.left_out:
        for found in plans.snapshot.objects(*entry.rows):
            rows.writerow((_LEFT_OUT, None, escape_line(found.key), None, entry.reason))
    for plan in chosen:
        for row in known[plan.branch.name] if plan.branch.name in known else _rows_of(plan):
            counts[row[0]] += 1
            rows.writerow(row)
    # The stream is its owner's to close.
    text.flush()
    text.detach()
    return counts[_RENAMED], counts[_TROUBLE]


def _rows_of(plan: Plan) -> Iterator[Sequence[str]]:
    """What there is to say of the files of a dataset."""
    # To count what a report says needs neither.
    import pyarrow.compute as pc  # noqa: PLC0415

    from opendata_pkg.plan.portable import maybe_troubled, name_troubles  # noqa: PLC0415

    name, prefix, keys = plan.branch.name, plan.branch.prefix, plan.table["key"]
    odd = pc.not_equal(pc.utf8_slice_codeunits(keys, start=len(prefix)), plan.paths)
    for key, path in zip(keys.filter(odd).to_pylist(), plan.paths.filter(odd).to_pylist(), strict=True):
        yield _RENAMED, name, escape_line(key), path, "the key cannot be a path, or clashes with another name"
    for path, why in name_troubles(maybe_troubled(plan.paths).to_pylist()):
        yield _TROUBLE, name, escape_line(prefix + relative_key(path)), path, why
