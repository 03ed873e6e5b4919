"""`opendata registry`: what plain pooch needs to fetch files."""

from __future__ import annotations

from typing import Annotated

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    ExcludeOption,
    IncludeOption,
    JsonOption,
    LargerOption,
    OfflineOption,
    QuietOption,
    SmallerOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.text import counted


def registry(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="[BRANCH][@VERSION][:PATH] of a store, s3://bucket/prefix or a snapshot."
        ),
    ],
    *,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    larger: LargerOption = None,
    smaller: SmallerOption = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print a pooch registry: a line with name, digest and URL for each file.

    `pooch.Pooch.load_registry` reads it back exactly. Files without a digest are left out, since it has no line
    for them, and counted.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.dataset.registry import registry_line
    from opendata_pkg.targets.opening import open_target

    output = Output(json=json, quiet=quiet)
    target = open_target(
        dataset, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=output
    )
    files = list(target.select(rules_of(include, exclude, larger, smaller), reporter=output).files())
    known = [file for file in files if file.digest is not None]
    if left_out := len(files) - len(known):
        output.message(f"left out for want of a digest: {left_out:,} of {counted(len(files), 'file')}")
    document = {
        "registry": {file.path: file.digest for file in known},
        "urls": {file.path: file.url for file in known if file.url is not None},
        "left_out": left_out,
    }
    lines = (registry_line(file.path, file.digest, file.url) for file in known)
    output.result(document, "".join(line for line in lines if line is not None) or None)
