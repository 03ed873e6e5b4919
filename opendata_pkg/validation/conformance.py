"""What frictionless says of a descriptor: the conformance side of `opendata validate`, since users will run it.

It holds tables in memory and takes seconds for 100,000 rows, so that it is asked up to a stated number of rows only.
frictionless never rewrites a descriptor here: it would add and reorder fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.faults import Fault, json_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_ROWS = 10_000
"""Rows of a descriptor's tables up to which frictionless is asked by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """What frictionless found, and whether it was shown the tables, too."""

    faults: tuple[Fault, ...]
    with_tables: bool


def check_conformance(
    file: Path, document: Mapping[str, Any], tables: Mapping[int, int], *, rows_max: int
) -> Conformance:
    """Ask frictionless about a descriptor that our own checks have passed.

    `tables` maps the position of each resource that is a table to its rows; above `rows_max` rows in all, the tables
    are left out.
    """
    # Half a second to import: only this check waits for it.
    from frictionless import FrictionlessException, Package  # noqa: PLC0415

    with_tables = sum(tables.values()) <= rows_max
    kept = [index for index in range(len(document["resources"])) if with_tables or index not in tables]
    shown = {**document, "resources": [document["resources"][index] for index in kept]}
    found: list[tuple[int | None, int | None, str]]
    try:
        report = Package.from_descriptor(shown, basepath=str(file.parent)).validate()
    except FrictionlessException as error:
        found = [(None, None, error.error.message), *((None, None, reason.message) for reason in error.reasons)]
    else:
        found = [(None, None, error.message) for error in report.errors]
        for task in report.tasks:
            place = next((i for i in kept if document["resources"][i].get("name") == task.name), None)
            found += [(place, getattr(error, "row_number", None), error.message) for error in task.errors]
    faults = (
        Fault(
            file=str(file),
            path=None if place is None else json_path(("resources", place)),
            message=f"frictionless says: {message}" + ("" if row is None else f" (row {row})"),
        )
        for place, row, message in found
    )
    return Conformance(faults=tuple(faults), with_tables=with_tables)
