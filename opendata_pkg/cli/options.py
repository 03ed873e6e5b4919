"""Options that mean the same in every command: annotated types, to be given a default where they are used.

Scripts rely on these words, so they are written down once. A reader's store is a path or a URL (`StoreOption`); a
steward's is a folder to write to (`StoreFolderOption`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendata_pkg.text import parse_size


def _size(text: str | int) -> int:
    """What `--larger` and `--smaller` take; typer also hands over what has been read already."""
    try:
        return parse_size(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout instead of text.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--jsonl", help="Print one JSON document a line on stdout: for long results, as they come.")
]
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
LargerOption = Annotated[
    int | None,
    typer.Option("--larger", metavar="SIZE", parser=_size, help="Only files larger than this, such as 1.5MB."),
]
SmallerOption = Annotated[
    int | None,
    typer.Option("--smaller", metavar="SIZE", parser=_size, help="Only files smaller than this, such as 20kB."),
]
OfflineOption = Annotated[
    bool,
    typer.Option("--offline", envvar="OPENDATA_OFFLINE", help="Use what was read before; never touch the network."),
]
LockOption = Annotated[Path, typer.Option("--lock", metavar="FILE", help="The lock.")]
EndpointUrlOption = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="An S3 server other than Amazon's."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Sign requests as this AWS profile; by default nothing is signed."),
]
MaxSizeOption = Annotated[
    int | None,
    typer.Option("--max-size", metavar="SIZE", parser=_size, help="Keep at most this, such as 50GB."),
]
