"""Options that mean the same in every command: annotated types, to be given a default where they are used.

Scripts rely on these words, so they are written down once. A reader's store is a path or a URL (`StoreOption`); a
steward's is a folder to write to (`StoreFolderOption`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no messages.")]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH|URL", envvar="OPENDATA_STORE", help="The published store to read."),
]
StoreFolderOption = Annotated[
    Path,
    typer.Option("--store", metavar="STORE", envvar="OPENDATA_STORE", help="The folder of the store."),
]
CatalogueOption = Annotated[
    Path | None,
    typer.Option(
        "--catalogue",
        metavar="FILE",
        envvar="OPENDATA_CATALOGUE",
        help="The tree of branches; by default the one shipped with opendata, never when a store is given.",
    ),
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="How many transfers at a time.")]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only files matching this gitignore-style glob; may be repeated."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="No files matching this gitignore-style glob; may be repeated."),
]
EndpointUrlOption = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="An S3 server other than Amazon's."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Sign requests as this AWS profile; by default nothing is signed."),
]
