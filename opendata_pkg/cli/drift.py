"""`opendata drift`: what the bucket has and the catalogue does not, and the reverse."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.cli.options import (
    CatalogueOption,
    EndpointUrlOption,
    JsonOption,
    OfflineOption,
    QuietOption,
    StoreOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.text import counted, visible

if TYPE_CHECKING:
    from opendata_pkg.drift.drift import Drift


def drift(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="A snapshot that scan or hash wrote.")],
    *,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print entries for the new folders, to be pasted into the catalogue.")
    ] = False,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare a bucket with its catalogue: new folders, branches without objects, names that nearly agree.

    With a store and no catalogue, the one of its last release counts. The exit status is 1 when they differ.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.cli.reading import catalogue_of
    from opendata_pkg.drift.drift import find_drift, propose_branches
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.store.published import PublishedStore

    out = Output(json=json, quiet=quiet)
    opened = None if store is None else PublishedStore.open(store, endpoint_url=endpoint_url, offline=offline)
    known = catalogue_of(opened, catalogue)
    found = find_drift(Snapshot.read(snapshot), known)
    proposal = propose_branches(found, known) if propose else None
    new = [asdict(entry) | {"branch": entry.branch or ROOT} for entry in found.new]
    document = asdict(found) | {"new": new} | ({} if proposal is None else {"proposal": proposal})
    out.result(document, proposal if proposal is not None or json else _text(found, known.id))
    if found:
        raise typer.Exit(1)


def _text(found: Drift, catalogue_id: str) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    blocks = []
    if found.new:
        rows = (
            (
                entry.prefix,
                str(entry.objects),
                human_bytes(entry.size_bytes) + (" +?" if entry.unknown_sizes else ""),
                entry.branch or ROOT,
            )
            for entry in found.new
        )
        columns = ("in the bucket only", "objects", "size", "now part of")
        blocks.append(draw_table(columns, rows, numbers=("objects", "size")))
    if found.near_misses:
        near = (visible(f"{entry.prefix} {entry.why}: {entry.like}") for entry in found.near_misses)
        blocks.append("\n".join(["nearly the same names:", *(f"  {line}" for line in near)]) + "\n")
    if found.empty:
        empty = (
            visible(entry.path) + (f"  (and {entry.branches_below} below)" if entry.branches_below else "")
            for entry in found.empty
        )
        blocks.append("\n".join(["branches without objects:", *(f"  {line}" for line in empty)]) + "\n")
    if found.not_judged:
        blocks.append(
            f"not looked at: {counted(found.not_judged, 'branch', 'branches')} outside the prefixes of the snapshot\n"
        )
    objects = sum(entry.objects for entry in found.new)
    empty_count = sum(1 + entry.branches_below for entry in found.empty)
    new = f"{counted(len(found.new), 'new folder')} with {counted(objects, 'object')}"
    total = f"{new}, {counted(empty_count, 'branch', 'branches')} without objects"
    blocks.append(f"{total}\n" if found else f"the bucket is as the catalogue {catalogue_id} says\n")
    return "\n".join(blocks)
