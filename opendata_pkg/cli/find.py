"""`opendata find`: the files of a dataset, bucket or snapshot, with what is known of each."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    ExcludeOption,
    IncludeOption,
    JsonLinesOption,
    JsonOption,
    LargerOption,
    OfflineOption,
    QuietOption,
    SmallerOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.model import Grade
from opendata_pkg.text import counted, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.plan.selection import SelectedFile
    from opendata_pkg.readers.finding import Found

# `sha256:` and as much of it as people compare.
_DIGEST_WIDTH = 19
# The size and the grade, with the blanks behind each.
_BEFORE_DIGEST = 23
_UNKNOWN = "-"


class _Format(StrEnum):
    TABLE = "table"
    PATHS = "paths"
    URLS = "urls"


class _Sort(StrEnum):
    PATH = "path"
    SIZE = "size"


def find(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="BRANCH or BRANCH@VERSION, with :PATH a part of it; s3://bucket/prefix; or a snapshot (….parquet).",
        ),
    ],
    *,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    larger: LargerOption = None,
    smaller: SmallerOption = None,
    grade: Annotated[
        Grade | None,
        typer.Option("--grade", metavar="GRADE", help="Only fixed, verifiable, versioned or mutable files."),
    ] = None,
    sort: Annotated[_Sort, typer.Option("--sort", help="By path, or the largest first.")] = _Sort.PATH,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Print so many at most; all are counted.")
    ] = None,
    form: Annotated[
        _Format, typer.Option("--format", help="A table, paths only, or URLs only; see also --jsonl.")
    ] = _Format.TABLE,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    jsonl: JsonLinesOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the files of a dataset, bucket or snapshot: size, grade, digest, path, URL; nothing is fetched."""
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.readers import finding
    from opendata_pkg.readers.info import describe_file

    out = Output(json=json, quiet=quiet)
    found = finding.find(
        dataset,
        rules=rules_of(include, exclude, larger, smaller),
        grade=grade,
        sort=sort.value,
        limit=limit,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=out,
    )
    if jsonl:
        out.lines(describe_file(file) for file in found.selection.files())
    elif json:
        head = asdict(found.selection.origin) | {"rules": found.selection.rules.to_dict()}
        totals = {"files": found.files, "bytes": found.size_bytes}
        out.result(head | totals | {"found": [describe_file(file) for file in found.selection.files()]})
    else:
        out.texts(_draw(found, form))
        out.message(_totals(found))


def _draw(found: Found, form: _Format) -> Iterator[str]:
    if form is _Format.PATHS:
        # From the column: of a million files, nothing else is looked at.
        for chunk in found.selection.table["path"].chunks:
            yield from chunk.to_pylist()
        return
    width = _digest_width()
    for file in found.selection.files():
        if form is _Format.TABLE:
            yield _line(file, width)
        elif file.url is not None:
            yield file.url


def _digest_width() -> int:
    """As much of a digest as a narrow terminal has room for in the line; what is longer than the line is the path."""
    if not sys.stdout.isatty():
        return _DIGEST_WIDTH
    return max(0, min(_DIGEST_WIDTH, shutil.get_terminal_size().columns - _BEFORE_DIGEST))


def _line(file: SelectedFile, width: int) -> str:
    from opendata_pkg.cli.tables import human_bytes

    size = "?" if file.size_bytes is None else human_bytes(file.size_bytes)
    digest = (file.digest or _UNKNOWN)[:width]
    return f"{size:>9}  {file.grade.value:10}  {digest:{width}}  {visible(file.path)}"


def _totals(found: Found) -> str:
    from opendata_pkg.cli.tables import human_bytes

    shown = len(found.selection)
    more = f"; the first {shown:,} are shown" if shown < found.files else ""
    return f"{counted(found.files, 'file')}, {human_bytes(found.size_bytes)}{more}"
