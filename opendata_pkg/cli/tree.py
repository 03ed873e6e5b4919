"""`opendata tree`: the branches of a catalogue, or the datasets of a store's release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opendata_pkg.catalogue.branch import ROOT, Branch
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
    from collections.abc import Mapping

    from rich.tree import Tree

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.store.state import DatasetEntry

# Wider than any line: a path of S3's 1024 bytes, a title, and the lines that lead to them.
_UNCUT_WIDTH = 100_000


def tree(
    branch: Annotated[
        str, typer.Argument(metavar="BRANCH[@VERSION]", help="Show this branch and what is below it.")
    ] = ROOT,
    *,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    depth: Annotated[int | None, typer.Option("--depth", metavar="N", min=0, help="Show only N levels below.")] = None,
    endpoint_url: EndpointUrlOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the tree of branches: the datasets that the bucket is cut into, with their titles.

    With a store: how many files and bytes its last release, or VERSION, has at and below each.
    """
    from opendata_pkg.cli.reading import look_at
    from opendata_pkg.store.lookup import parse_dataset

    out = Output(json=json, quiet=quiet)
    look = look_at(parse_dataset(branch), store, catalogue, endpoint_url=endpoint_url, offline=offline)
    if look.state is None:
        document = tree_document(look.catalogue, look.branch, depth)
    else:
        from opendata_pkg.readers.info import by_id

        document = {"version": look.state.version} | tree_document(
            look.catalogue, look.branch, depth, datasets=by_id(look.state)
        )
    # Drawing takes rich, which JSON need not wait for.
    out.result(document, None if json else draw_tree(document))


def tree_document(
    catalogue: Catalogue,
    branch: Branch,
    depth: int | None = None,
    *,
    datasets: Mapping[str, DatasetEntry] | None = None,
) -> dict[str, Any]:
    """A branch and those below it, nested under `branches`, as JSON values (docs/reference/catalogue.md).

    `depth` counts the levels below that are shown (None: all of them); `branches_below` counts all, shown or not.
    `datasets` are those of a release by id; each branch then has its `figures`, None without objects.
    """
    shown = branch.children if depth != 0 else ()
    below = None if depth is None else depth - 1
    document: dict[str, Any] = {
        "path": branch.path or ROOT,
        "mount": branch.mount_in_parent or ROOT,
        "name": branch.name,
        "uuid": branch.dataset_id,
        "title": branch.title,
        "description": branch.description,
        "branches_below": sum(1 for _ in catalogue.walk(branch.path)) - 1,
    }
    if datasets is not None:
        from opendata_pkg.readers.info import figures

        entry = datasets.get(branch.dataset_id)
        document["figures"] = None if entry is None else figures(entry)
    document["branches"] = [
        tree_document(catalogue, catalogue.branches[child], below, datasets=datasets) for child in shown
    ]
    return document


def draw_tree(document: dict[str, Any]) -> str:
    """The tree as text: styled, and lines cut to its width, if standard output is a terminal; plain and whole else."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from opendata_pkg.cli.tables import human_bytes

    def add_to(above: Tree | None, branch: dict[str, Any]) -> Tree:
        folder = branch["mount"] if above is not None else branch["path"]
        label = Text(visible(folder if folder != ROOT else branch["name"]), no_wrap=True, overflow="ellipsis")
        if above is None and "version" in document:
            label.append(f"@{document['version']}", style="bold")
        label.append(f"  {visible(branch['title'])}", style="dim")
        if (held := branch.get("figures")) is not None:
            label.append(
                f"  {counted(held['subtree_files'], 'file')}, {human_bytes(held['subtree_bytes'])}", style="green"
            )
        elif "figures" in branch:
            label.append("  no objects", style="dim italic")
        if branch["branches_below"] and not branch["branches"]:
            label.append(f"  … {branch['branches_below']} below", style="dim italic")
        node = Tree(label) if above is None else above.add(label)
        for child in branch["branches"]:
            add_to(node, child)
        return node

    console = Console()
    if not console.is_terminal:
        console.width = _UNCUT_WIDTH
    with console.capture() as drawn:
        console.print(add_to(None, document))
    return drawn.get()
