"""`opendata clone`: a DataLad dataset at a released version, or of a bucket as it is."""

from __future__ import annotations

from dataclasses import asdict
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
    from opendata_pkg.readers.cloning import CloneResult
    from opendata_pkg.readers.getting import GetResult


def clone(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="[BRANCH][@VERSION][:PATH] of a store, s3://bucket/prefix or a snapshot."
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The new folder; by default the branch's name, or the prefix's."),
    ] = None,
    *,
    contents: Annotated[bool, typer.Option("--get", help="Also bring the contents of what is meant.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Install the subdatasets that hold what is meant.")
    ] = False,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Check out only what is meant; for datasets of very many files.")
    ] = False,
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
    """Clone a dataset: a plain DataLad dataset at a released version of a store, or of a bucket as it is.

    All files are there as links, and contents come with --get, opendata get or datalad get. A path and globs say
    which contents and subdatasets are meant; without any, all.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import rules_of
    from opendata_pkg.readers.cloning import check_folder
    from opendata_pkg.readers.cloning import clone as clone_dataset
    from opendata_pkg.targets.opening import open_target

    out = Output(json=json, quiet=quiet)
    check_folder(dataset, folder)
    target = open_target(
        dataset, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=out
    )
    rules = rules_of(include, exclude, larger, smaller)
    made = clone_dataset(target, folder, rules=rules, recursive=recursive, sparse=sparse, offline=offline, reporter=out)
    if made.elsewhere:
        out.message(f"in subdatasets, which --recursive installs: {counted(made.elsewhere, 'file')}")
    got = None
    if contents:
        from opendata_pkg.readers.getting import get

        got = get([made.folder.resolve()], only=made.wanted, jobs=jobs, offline=offline, reporter=out)
    out.result(_to_document(made, got), _describe(made, got, target.where))
    if got is not None:
        got.check_complete()


def _to_document(made: CloneResult, got: GetResult | None) -> dict[str, Any]:
    document = {
        "folder": str(made.folder),
        "branch": made.branch,
        "version": made.version,
        "commit": made.datasets[0].commit,
        "datasets": [asdict(dataset) for dataset in made.datasets],
        "selected": None if made.selected is None else len(made.selected),
        "elsewhere": made.elsewhere,
    }
    return document if got is None else document | {"got": got.to_dict()}


def _describe(made: CloneResult, got: GetResult | None, where: str) -> str:
    subdatasets = len(made.datasets) - 1
    lines = [
        f"{where} in {made.folder}" + (f", with {counted(subdatasets, 'subdataset')}" if subdatasets else ""),
        f"commit {made.datasets[0].commit}",
    ]
    if made.version is None:
        lines.append(
            "of no release: others get this commit as long as the objects are the same; opendata build makes a store, "
            "whose versions can be cited, opendata pin a lock"
        )
    if got is not None:
        lines.append(describe_got(got))
    else:
        lines.append(f"contents: opendata get PATH, or datalad get PATH, in {made.folder}")
    return "\n".join(lines)


def describe_got(got: GetResult) -> str:
    """One line of what was brought."""
    words = [f"{counted(got.files, 'file')}, {human_bytes(got.size_bytes)}"]
    if got.here:
        words.append(f"here before {got.here:,}")
    if got.failures:
        words.append(f"failed {len(got.failures):,}")
    return f"got {', '.join(words)}"
