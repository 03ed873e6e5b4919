"""`opendata cite`: how to cite a dataset version, a release, some files, or what a lock pins."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from opendata_pkg.catalogue.branch import ROOT
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
from opendata_pkg.model import UsageError


class FormatChoice(StrEnum):
    """The formats of `opendata_pkg.citation.Format`, whose module the help need not wait for."""

    TEXT = "text"
    BIBTEX = "bibtex"
    BIBLATEX = "biblatex"
    CFF = "cff"
    CSL = "csl"
    DATACITE = "datacite"


def cite(
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="BRANCH, BRANCH@VERSION or BRANCH@VERSION:PATH, s3://bucket/prefix, or a snapshot.",
        ),
    ] = None,
    *,
    lock: Annotated[
        Path | None, typer.Option("--lock", metavar="FILE", help="Cite all that this lock pins; needs nothing else.")
    ] = None,
    form: Annotated[
        FormatChoice,
        typer.Option("--format", metavar="FORMAT", help="One of text, bibtex, biblatex, cff, csl and datacite."),
    ] = FormatChoice.TEXT,
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
    """Cite the exact version of a dataset, or the exact files that were used.

    For a lock, the text is a paragraph on the availability of the data, ready to paste, with its references.
    `--json` is CSL-JSON.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.citation import Format, render, to_csl
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.readers.citing import cite as cite_target
    from opendata_pkg.readers.citing import cite_lock

    out = Output(json=json, quiet=quiet)
    rules = rules_of(include, exclude, larger, smaller)
    if lock is None:
        from opendata_pkg.targets.opening import open_target

        target = open_target(
            dataset or ROOT,
            store=store,
            catalogue=catalogue,
            endpoint_url=endpoint_url,
            offline=offline,
            reporter=out,
        )
        citations = [cite_target(target, rules, reporter=out)]
    else:
        from opendata_pkg.lock.lock import Lock

        if dataset is not None or rules.to_dict():
            raise UsageError("a lock says itself what it pins: name a DATASET and rules, or --lock FILE, not both")
        citations = list(cite_lock(Lock(lock)))
    text = None if json else render(citations, Format(form.value), lock=None if lock is None else lock.name)
    out.result(list(map(to_csl, citations)), text)
