"""`opendata build`: a snapshot as the draft of the next release."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opendata_pkg.cli.options import CatalogueOption, JsonOption, QuietOption, StoreFolderOption
from opendata_pkg.cli.output import Output
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.building.built import BuildResult, DatasetSummary


def build(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="A snapshot that scan or hash wrote.")],
    *,
    store: StoreFolderOption,
    catalogue: CatalogueOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="BRANCH", help="Build only this branch and those below; cannot be released."),
    ] = None,
    allow_undigested: Annotated[
        str | None,
        typer.Option(
            "--allow-undigested",
            metavar="[=GLOB]",
            help="Let files (with =GLOB: those whose keys match it) go without a digest; nobody can check their bytes.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be built, and write nothing.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the draft of the store's next release from a snapshot: DataLad datasets, inventories, registries."""
    from opendata_pkg.building import build as building

    out = Output(json=json, quiet=quiet)
    try:
        if not building.is_released(store, snapshot):
            # Else nobody may need it.
            from opendata_pkg.columns.lean_arrow import import_arrow

            import_arrow()
        result = building.build(
            building.snapshot_for(store, snapshot),
            building.catalogue_for(store, catalogue),
            store,
            only=only or (),
            allow_undigested=allow_undigested,
            dry_run=dry_run,
            reporter=out,
        )
    except (InputError, NotFoundError):
        building.say_what_is_left(store, out)
        raise
    out.result(build_document(result), None if json else _text(result, store, partial=bool(only)))


def build_document(result: BuildResult) -> dict[str, Any]:
    """A build's result as JSON values."""
    return {
        "snapshot": result.snapshot,
        "catalogue": result.catalogue,
        "datasets": [
            {
                "branch": entry.branch or ".",
                "name": entry.name,
                "files": entry.totals.files,
                "bytes": entry.totals.size_bytes,
                "unknown_sizes": entry.totals.unknown_sizes,
                "grades": dict(entry.totals.grades),
                **asdict(entry.changes),
                "commit": entry.commit,
                "changed_commit": entry.changed,
            }
            for entry in result.datasets
        ],
        "left_out": dict(result.left_out),
        "renamed": result.renamed,
        "name_troubles": result.troubles,
        "report": None if result.report is None else str(result.report),
    }


def _text(result: BuildResult, store: Path, *, partial: bool) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    rows = [_row(entry, human_bytes) for entry in result.datasets]
    lines = [
        draw_table(
            ("dataset", "files", "size", "added", "changed", "removed", "regraded", "grades"),
            rows,
            numbers=("files", "size", "added", "changed", "removed", "regraded"),
        ).rstrip()
    ]
    files = sum(entry.totals.files for entry in result.datasets)
    size_bytes = sum(entry.totals.size_bytes for entry in result.datasets)
    new = sum(bool(entry.changed) for entry in result.datasets)
    amount = f"{counted(len(result.datasets), 'dataset')}, {counted(files, 'file')}, {human_bytes(size_bytes)}"
    lines.append(amount if result.report is None else f"{amount}; {new:,} of the datasets with a new commit")
    lines += [f"left out: {count} ({reason})" for reason, count in result.left_out.items()]
    if result.renamed:
        lines.append(f"renamed, since their keys cannot be paths: {counted(result.renamed, 'file')}")
    if result.troubles:
        lines.append(f"names that trouble some systems: {result.troubles}")
    if result.report is None:
        lines.append("dry run: nothing was written")
    else:
        lines.append(f"one by one: {result.report}")
        last = "a draft of some branches only, which cannot be released" if partial else "built, not released"
        lines.append(last if partial else f"{last}; publish it with: opendata release VERSION --store {store}")
    return "\n".join(lines)


def _row(entry: DatasetSummary, human_bytes: Any) -> tuple[str, ...]:
    grades = " ".join(f"{count} {grade}" for grade, count in entry.totals.grades.items() if count)
    unknown = " +?" if entry.totals.unknown_sizes else ""
    changes = entry.changes
    return (
        entry.branch or entry.name,
        str(entry.totals.files),
        f"{human_bytes(entry.totals.size_bytes)}{unknown}",
        *(str(count or "") for count in (changes.added, changes.changed, changes.removed, changes.regraded)),
        grades,
    )
