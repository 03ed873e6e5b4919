"""`opendata versions`: the releases that a dataset of a store has been in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMIT_WIDTH = 12


def versions(
    branch: Annotated[
        str,
        typer.Argument(
            metavar="[BRANCH]", help="The dataset, by default the root; BRANCH@VERSION if it is gone since."
        ),
    ] = ROOT,
    *,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the versions of a dataset: date, files and bytes with all below it, commit, and whether that is new.

    What was changed between two of them, `opendata diff` tells.
    """
    from opendata_pkg.readers.info import describe_versions
    from opendata_pkg.store.lookup import find_in_releases, parse_dataset
    from opendata_pkg.store.published import PublishedStore, store_of

    out = Output(json=json, quiet=quiet)
    word = parse_dataset(branch)
    opened = PublishedStore.open(store_of(store, catalogue), endpoint_url=endpoint_url, offline=offline)
    _, _, entry = find_in_releases(opened, word)
    found = list(describe_versions(opened, entry.dataset_id))
    out.result(
        {"store": opened.where, "branch": entry.branch or ROOT, "versions": found}, None if json else _draw(found)
    )


def _draw(found: Sequence[dict[str, Any]]) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    # What it was called matters only where it changed.
    renamed = len({version["branch"] for version in found}) > 1
    rows = (
        (
            version["version"],
            version["date"][:10],
            f"{version['subtree_files']:,}",
            human_bytes(version["subtree_bytes"]),
            version["commit"][:_COMMIT_WIDTH],
            "new commit" if version["changed"] else "",
            *([version["branch"]] if renamed else []),
        )
        for version in reversed(found)
    )
    columns = ("version", "date", "files", "size", "commit", "", *(["called"] if renamed else []))
    return draw_table(columns, rows, numbers=("files", "size"))
