"""`opendata diff`: what became of each file between two versions, buckets, snapshots or locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    ExcludeOption,
    IncludeOption,
    JsonLinesOption,
    JsonOption,
    OfflineOption,
    QuietOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.comparison.differences import Diff, FileChange, FolderChanges, Known

# What a person reads; if there are more, figures by folder come first, and a few lines for example.
_LINES = 40
_EXAMPLES = 15
_SIDE_HELP = "A version (BRANCH@VERSION), s3://bucket/prefix, a snapshot (….parquet) or a lock (….lock)"


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=f"{_SIDE_HELP}.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same, as it is now.")],
    *,
    stat: Annotated[bool, typer.Option("--stat", help="Print figures by dataset and folder, no files.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with status 1 if anything differs.")] = False,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    jsonl: JsonLinesOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare two versions, buckets, snapshots or locks: files added, removed, changed, moved or regraded.

    Moved: the same digest at another path. Regraded: the same content, of which more or other is known, such as a
    better digest or a new version. Compared with a lock, only what the lock's selections mean counts.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.comparison.sides import diff as compare

    out = Output(json=json, quiet=quiet)
    found = compare(
        before,
        after,
        rules=rules_of(include, exclude, None, None),
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=out,
    )
    if jsonl:
        out.lines(change.to_dict() for change in found.changes())
    elif json:
        out.result(found.to_dict() | (_figures(found) if stat else _changes(found)))
    else:
        out.result(None, draw_diff(found, stat=stat))
    if exit_code and len(found):
        raise typer.Exit(1)


def draw_diff(found: Diff, *, stat: bool = False) -> str:
    """A diff as people read it: figures by folder if there are many changes, some lines, and the totals."""
    blocks = []
    many = len(found) > _LINES
    if stat:
        datasets = found.by_dataset()
        blocks += [_table("dataset", datasets)] if len(datasets) > 1 else []
    if len(found) and (stat or many):
        blocks.append(_table("folder", found.by_folder()))
    if not stat and len(found):
        blocks.append("\n".join(map(_line, found.changes(_EXAMPLES if many else None))) + "\n")
    if not stat and many:
        blocks.append(f"and {len(found) - _EXAMPLES:,} more: all with --jsonl, or --json\n")
    blocks.append(_totals(found))
    return "\n".join(blocks)


def _figures(found: Diff) -> dict[str, object]:
    return {
        "datasets": [one.to_dict() for one in found.by_dataset()],
        "folders": [one.to_dict() for one in found.by_folder()],
    }


def _changes(found: Diff) -> dict[str, object]:
    return {"changes": [change.to_dict() for change in found.changes()]}


def _table(where: str, rows: Iterable[FolderChanges]) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes
    from opendata_pkg.comparison.differences import Kind

    rows = tuple(rows)
    kinds = [kind for kind in Kind if any(kind in one.files for one in rows)]
    numbers = (*(kind.value for kind in kinds), "new", "gone")
    cells = (
        (
            one.where,
            *(f"{count:,}" if (count := one.files.get(kind, 0)) else "" for kind in kinds),
            human_bytes(one.bytes_new) if one.bytes_new else "",
            human_bytes(one.bytes_gone) if one.bytes_gone else "",
        )
        for one in rows
    )
    return draw_table((where, *numbers), cells, numbers=numbers)


def _line(change: FileChange) -> str:
    was = f"{change.moved_from} → " if change.moved_from is not None else ""
    return visible(f"{change.kind.value:8}  {was}{change.path}  {_what(change.before, change.after)}".rstrip())


def _what(before: Known | None, after: Known | None) -> str:
    """The size; where both are known, what is other: the size, else the grade, digest or version."""
    from opendata_pkg.cli.tables import human_bytes

    def size(known: Known) -> str:
        return "?" if known.size_bytes is None else human_bytes(known.size_bytes)

    if before is None or after is None:
        known = after or before
        return "" if known is None else f"({size(known)})"
    told = [(size(before), size(after)), (before.grade.value, after.grade.value)]
    differing = [f"{old} → {new}" for old, new in told if old != new]
    return f"({', '.join(differing)})" if differing else f"({size(after)})"


def _totals(found: Diff) -> str:
    from opendata_pkg.cli.tables import human_bytes

    parts = [
        f"{total.files:,} {kind.value} ({human_bytes(total.size_bytes)})"
        for kind, total in found.totals.items()
        if total.files
    ]
    told = ", ".join(parts) if parts else "no differences"
    return f"{told}; {found.same:,} the same: {found.before.word} → {found.after.word}\n"
