"""`opendata fetch`: files without git."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    ExcludeOption,
    IncludeOption,
    JobsOption,
    JsonOption,
    LargerOption,
    OfflineOption,
    QuietOption,
    SmallerOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.text import counted, human_bytes

if TYPE_CHECKING:
    from opendata_pkg.readers.fetching import FetchResult


def fetch(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="[BRANCH][@VERSION][:PATH] of a store, s3://bucket/prefix or a snapshot."
        ),
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Put each file here too, at its path relative to the branch."),
    ] = None,
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
    """Bring files without git, each checked against its digest, and print where they are.

    They are kept in the cache, where plain pooch finds them too; the same command goes on where it was stopped. A file
    of other content that stands in the way is left alone.
    """
    from opendata_pkg.cache.bringing import early_helper

    output, began = Output(json=json, quiet=quiet), time.monotonic()
    with early_helper(1 if offline else jobs) as early:
        from opendata_pkg.columns.lean_arrow import import_arrow

        import_arrow()
        from opendata_pkg.readers.fetching import fetch as fetch_files

        result = fetch_files(
            dataset,
            include=include or (),
            exclude=exclude or (),
            larger=larger,
            smaller=smaller,
            store=store,
            catalogue=catalogue,
            endpoint_url=endpoint_url,
            to=to,
            jobs=jobs,
            offline=offline,
            reporter=output,
            early=early,
        )
    output.result(_document(result), "".join(f"{path}\n" for path in result.paths.values()) or None)
    if not json:
        output.message(_totals(result, time.monotonic() - began))
    result.check_complete()


def _totals(result: FetchResult, seconds: float) -> str:
    size_bytes = sum(result.got[path].size_bytes for path in result.paths)
    came = f"{result.downloaded:,} downloaded, {human_bytes(result.downloaded_bytes)}"
    return f"{counted(len(result.paths), 'file')}, {human_bytes(size_bytes)}; {came}, in {seconds:.1f} s"


def _document(result: FetchResult) -> dict[str, Any]:
    return {
        "snapshot": result.snapshot,
        "downloaded": result.downloaded,
        "downloaded_bytes": result.downloaded_bytes,
        "files": [
            {
                "path": path,
                "local": str(local),
                "size": result.got[path].size_bytes,
                "sha256": result.got[path].sha256,
            }
            for path, local in result.paths.items()
        ],
        "failed": [{"path": failure.wanted.name, "error": str(failure.error)} for failure in result.failures],
    }
