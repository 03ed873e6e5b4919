"""The report of a build: what is not plainly a file at its key's path, one a line, written to a given stream."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from opendata_pkg.paths import relative_key
from opendata_pkg.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendata_pkg.plan import Plan, Plans


# What the first column says of a row.
_LEFT_OUT, _RENAMED, _TROUBLE = "left out", "renamed", "name"


def count_report(report: bytes) -> tuple[int, int, int]:
    """How many objects a report says are left out, how many files renamed, how many names trouble some systems."""
    rows = csv.reader(io.StringIO(report.decode(), newline=""))
    counts = Counter(row[0] for row in rows if row)
    return counts[_LEFT_OUT], counts[_RENAMED], counts[_TROUBLE]


def write_report(stream: BinaryIO, plans: Plans, chosen: Sequence[Plan]) -> tuple[int, int]:
    """Write what is not plainly a file at its key's path: left out, renamed, or named to somebody's trouble.

    Returns how many files are renamed, and how many names may cause trouble.
    """
    # To count what a report says needs neither.
    import pyarrow.compute as pc  # noqa: PLC0415

    from opendata_pkg.portable import maybe_troubled, name_troubles  # noqa: PLC0415

    renamed = troubles = 0
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("what", "dataset", "key", "path", "why"))
    for entry in plans.left_out:
        for row in plans.snapshot.objects(*entry.rows):
            rows.writerow((_LEFT_OUT, None, escape_line(row.key), None, entry.reason))
    for plan in chosen:
        prefix = plan.branch.prefix
        keys = plan.table["key"]
        odd = pc.not_equal(pc.utf8_slice_codeunits(keys, start=len(prefix)), plan.paths)
        for key, path in zip(keys.filter(odd).to_pylist(), plan.paths.filter(odd).to_pylist(), strict=True):
            renamed += 1
            why = "the key cannot be a path, or clashes with another name"
            rows.writerow((_RENAMED, plan.branch.name, escape_line(key), path, why))
        for path, why in name_troubles(maybe_troubled(plan.paths).to_pylist()):
            troubles += 1
            rows.writerow((_TROUBLE, plan.branch.name, escape_line(prefix + relative_key(path)), path, why))
    # The stream is its owner's to close.
    text.flush()
    text.detach()
    return renamed, troubles
