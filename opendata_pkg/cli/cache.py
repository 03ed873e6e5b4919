"""`opendata cache`: what it holds, and making room in it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import JsonOption, MaxSizeOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.model import UsageError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.cache.upkeep import CacheSum, PruneResult


class CacheAction(StrEnum):
    """What can be done with the cache."""

    INFO = "info"
    PRUNE = "prune"


def cache(
    action: Annotated[
        CacheAction, typer.Argument(metavar="info|prune", help="Say what is there, or remove what is not needed.")
    ] = CacheAction.INFO,
    *,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Remove files that were not used for so many days."),
    ] = None,
    max_size: MaxSizeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what the cache of fetched files holds, or make room in it.

    `prune` removes the longest unused files first; without a limit, unfinished downloads only. Others may use the cache
    meanwhile.
    """
    from opendata_pkg.cache.cache import FileCache
    from opendata_pkg.cache.upkeep import prune, sum_up

    output = Output(json=json, quiet=quiet)
    files = FileCache.open()
    if action is CacheAction.INFO:
        if older_than is not None or max_size is not None or dry_run:
            raise UsageError("expected --older-than, --max-size and --dry-run after `cache prune` only")
        found = sum_up(files)
        output.result({**asdict(found), "folder": str(found.folder)}, _describe(found))
        return
    result = prune(files, older_than_days=older_than, max_bytes=max_size, dry_run=dry_run)
    output.result(asdict(result), _describe_prune(result, dry_run=dry_run))


def _describe(found: CacheSum) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    lines = [f"cache {found.folder}", f"files {found.files:,}, {human_bytes(found.size_bytes)}"]
    if found.parts:
        lines.append(f"unfinished downloads {found.parts:,}, {human_bytes(found.part_bytes)}")
    lines += [f"{name} {human_bytes(size)}" for name, size in found.other.items()]
    if found.snapshots:
        columns = ("snapshot", "files", "size")
        rows = ((entry.snapshot, f"{entry.files:,}", human_bytes(entry.size_bytes)) for entry in found.snapshots)
        lines += ["", draw_table(columns, rows, numbers=columns[1:]).rstrip()]
    return "\n".join(lines)


def _describe_prune(result: PruneResult, *, dry_run: bool) -> str:
    from opendata_pkg.cli.tables import human_bytes

    verb = "would remove" if dry_run else "removed"
    return (
        f"{verb} {counted(result.removed, 'file')} and {counted(result.removed_parts, 'unfinished download')}, "
        f"{human_bytes(result.freed_bytes)}\nleft {counted(result.kept, 'file')}, {human_bytes(result.kept_bytes)}"
    )
