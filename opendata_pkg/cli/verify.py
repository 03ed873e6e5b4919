"""`opendata verify`: bytes against what is recorded of them."""

from __future__ import annotations

import os
from pathlib import Path
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
)
from opendata_pkg.cli.output import Output


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A clone, or the folder of files; by default data, beside the lock."),
    ] = None,
    *,
    lock: Annotated[
        Path | None,
        typer.Option("--lock", metavar="FILE", help="Against the files of this lock; by default opendata.lock here."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="DATASET",
            help="Against BRANCH, BRANCH@VERSION, or with :PATH, of a store; s3://bucket/prefix; or a snapshot file.",
        ),
    ] = None,
    # Without the environment's store: `opendata verify` in a folder with a lock means the lock, whatever is set there.
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="PATH|URL",
            help="The store of --against (then also OPENDATA_STORE); without it, a folder: the store to verify.",
        ),
    ] = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Build all releases of the store again, and compare every commit and digest."),
    ] = False,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    larger: LargerOption = None,
    smaller: SmallerOption = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Trust files that nobody wrote to since sync; in a clone, files by size."),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="How many files to read at a time; by default as cores."),
    ] = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Verify bytes: every file against its digest; what is missing, changed or extra is named.

    DIR is a clone, or the folder that sync filled; --against takes any folder of copies, by path, then by digest.
    --store verifies a store itself. Status 1 if anything is missing, changed or unreadable. Nothing is written.
    """
    from opendata_pkg.digests.file_digests import DEFAULT_JOBS
    from opendata_pkg.verification.verifying import verify as verify_bytes

    out = Output(json=json, quiet=quiet)
    rules = None
    has_rules = include or exclude or larger is not None or smaller is not None
    if has_rules or against is not None or store is not None:
        # Only here: Arrow and selections take a while to import, and locks need none.
        from opendata_pkg.columns.lean_arrow import import_arrow

        import_arrow()
    if has_rules:
        from opendata_pkg.cli.reading import rules_of

        rules = rules_of(include, exclude, larger, smaller)
    if against is not None and store is None:
        store = os.environ.get("OPENDATA_STORE") or None
    result = verify_bytes(
        folder,
        lock=lock,
        against=against,
        store=store,
        rebuild=rebuild,
        rules=rules,
        fast=fast,
        jobs=jobs or DEFAULT_JOBS,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=out,
    )
    out.result(result.to_dict(), str(result))
    if not result.ok:
        raise typer.Exit(1)
