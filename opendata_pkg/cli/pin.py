"""`opendata pin`: write what a paper uses into a lock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    ExcludeOption,
    IncludeOption,
    JobsOption,
    JsonOption,
    LargerOption,
    LockOption,
    OfflineOption,
    QuietOption,
    SmallerOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.lock.lock import LOCK_NAME
from opendata_pkg.text import counted, human_bytes

if TYPE_CHECKING:
    from opendata_pkg.comparison.differences import Diff
    from opendata_pkg.readers.pinning import PinResult

_SHOWN_MAX = 20


def pin(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="BRANCH or BRANCH@VERSION, with :PATH a part of it; s3://bucket/prefix; or a snapshot (….parquet).",
        ),
    ],
    *,
    lock: LockOption = Path(LOCK_NAME),
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="The selection's name in the lock; by default its last folder."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Replace the selection of that name; shows what changes, then asks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    larger: LargerOption = None,
    smaller: SmallerOption = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    jobs: JobsOption = 16,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write exact files into opendata.lock: the lock is all that a reader needs to have the same bytes later.

    Files without a digest are fetched and hashed. Says which files the bucket could overwrite.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.readers.pinning import pin as pin_files
    from opendata_pkg.readers.pinning import refuse

    out = Output(json=json, quiet=quiet)

    def confirm(called: str, change: Diff) -> bool:
        out.finish()
        if not quiet or not yes:
            sys.stderr.write(_draw(called, change))
        if yes:
            return True
        if not sys.stdin.isatty():
            return refuse(called, change)
        return typer.confirm(f"Update {called}?", default=False, err=True)

    result = pin_files(
        dataset,
        lock=lock,
        rules=rules_of(include, exclude, larger, smaller),
        name=name,
        update=update,
        confirm=confirm,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        jobs=jobs,
        reporter=out,
    )
    for sentence in _warnings(result):
        out.message(sentence)
    out.result(result.to_dict(), _describe(result))


def _draw(name: str, change: Diff) -> str:
    from opendata_pkg.cli.tables import draw_table

    totals = ", ".join(f"{total.files:,} {kind}" for kind, total in change.totals.items() if total.files)
    lines = [f"selection {name}: {totals}; {change.same:,} the same"]
    rows = []
    for one in change.changes(_SHOWN_MAX):
        known = one.after or one.before
        size = "" if known is None or known.size_bytes is None else human_bytes(known.size_bytes)
        rows.append((one.kind.value, one.path, size))
    lines.append(draw_table(("change", "file", "size"), rows, numbers=("size",)).rstrip())
    if len(change) > _SHOWN_MAX:
        lines.append(f"and {len(change) - _SHOWN_MAX:,} more")
    return "\n".join(lines) + "\n"


def _warnings(result: PinResult) -> list[str]:
    found = []
    if result.overwritable:
        found.append(
            f"warning: {result.overwritable:,} of {counted(result.files, 'file')} can be overwritten in the bucket: "
            "a change will be noticed by the digest, but the bytes of today will be gone; keep a copy if you depend on "
            "them"
        )
    if result.only_md5:
        found.append(
            f"note: known by MD5 only, which guards against accidents, not malice: {counted(result.only_md5, 'file')}"
        )
    return found


def _describe(result: PinResult) -> str:
    entry = result.selection
    amount = f"{counted(result.files, 'file')}, {human_bytes(result.size_bytes)}"
    where = entry.source if entry.version is None else f"{entry.branch}@{entry.version}"
    if result.written:
        head = f"pinned {amount} of {where} as {entry.name} in {result.lock}"
    elif result.change is not None and len(result.change):
        head = f"nothing was changed in {result.lock}"
    else:
        head = f"{entry.name} is in {result.lock} as it is: {amount} of {where}"
    lines = [head, "grades: " + ", ".join(f"{count:,} {grade}" for grade, count in result.grades.items() if count)]
    if result.hashed:
        lines.append(f"hashed {counted(result.hashed, 'file')}, {human_bytes(result.hashed_bytes)}, now in the cache")
    if entry.folder is not None:
        lines.append(f"its files go to the folder {entry.folder}, since the lock has other files at their paths")
    lines += [f"selection digest {entry.digest}", "next: opendata sync"]
    if str(result.lock) != LOCK_NAME:
        lines[-1] += f" --lock {result.lock}"
    return "\n".join(lines)
