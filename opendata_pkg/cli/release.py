"""`opendata release`: the draft becomes a version."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from opendata_pkg.cli.options import JsonOption, QuietOption, StoreFolderOption
from opendata_pkg.cli.output import Output
from opendata_pkg.model import Grade
from opendata_pkg.text import counted


def release(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Three numbers above the last release's; recommended: YEAR.MONTH.N")
    ],
    *,
    store: StoreFolderOption,
    require_grade: Annotated[
        Grade | None,
        typer.Option("--require-grade", metavar="GRADE", help="Refuse if any file is known less well than this."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Publish the store's draft as a version, which never changes."""
    from opendata_pkg.building import release as releasing
    from opendata_pkg.cli.tables import human_bytes

    out = Output(json=json, quiet=quiet)
    result = releasing.release(version, store, require_grade=require_grade, reporter=out)
    out.result(
        asdict(result),
        f"released {result.version}: {counted(result.files, 'file')}, {human_bytes(result.size_bytes)} "
        f"in {counted(result.datasets, 'dataset')}, {len(result.changed):,} of them changed\n"
        f"root commit {result.commit}\nfrom the snapshot {result.snapshot[:12]} of {result.origin}",
    )
