"""`opendata validate`: documents against their schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import JsonOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.text import counted, visible

if TYPE_CHECKING:
    from opendata_pkg.validation.validate import Report

# Of the kinds of documents whose plural takes more than an s.
_PLURALS = {
    "JSON that says a thing twice": "JSON that says a thing twice",
    "broken JSON": "broken JSON",
    "inventory": "inventories",
    "release index": "release indexes",
    "store index": "store indexes",
    "table of a descriptor": "tables of descriptors",
    "unknown": "unknown",
}


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Catalogues, descriptors, inventories, snapshots, indexes, or folders of them; by default packages/.",
        ),
    ] = None,
    *,
    conformance_rows: Annotated[
        int,
        typer.Option("--conformance-rows", metavar="N", min=0, help="Show frictionless tables of up to N rows, too."),
    ] = 10_000,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check documents: against their schemas, the files they name, and what frictionless says.

    Every fault is told, with its place, what was expected, and what to change; then the exit status is 1.
    The bytes of data files are not looked at.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.validation import validate as validating

    out = Output(json=json, quiet=quiet)
    report = validating.validate(paths or (), conformance_rows=conformance_rows, reporter=out)
    document = {
        "checked": report.checked,
        "faults": [fault.to_dict() for fault in report.faults],
        "tables_not_shown_to_frictionless": list(report.not_shown),
    }
    out.result(document, None if json else _text(report, conformance_rows))
    if report.faults:
        raise typer.Exit(1)


def _text(report: Report, conformance_rows: int) -> str:
    lines = [visible(str(fault)) for fault in report.faults]
    if report.not_shown:
        lines.append(
            f"not shown to frictionless: tables of {counted(len(report.not_shown), 'descriptor')} with more than "
            f"{counted(conformance_rows, 'row')}; our own checks read them whole"
        )
    kinds = ", ".join(counted(count, kind, _PLURALS.get(kind)) for kind, count in sorted(report.checked.items()))
    found = counted(len(report.faults), "fault") if report.faults else "no faults"
    return "\n".join([*lines, f"checked {kinds}: {found}"])
