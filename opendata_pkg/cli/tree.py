"""`opendata tree`: the branches of a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opendata_pkg.branch import ROOT, Branch
from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.cli.options import CatalogueOption, JsonOption, QuietOption
from opendata_pkg.cli.output import Output

if TYPE_CHECKING:
    from rich.tree import Tree

# Wider than any line: a path of S3's 1024 bytes, a title, and the lines that lead to them.
_UNCUT_WIDTH = 100_000


def tree(
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="Show this branch and what is below it.")] = ROOT,
    *,
    catalogue: CatalogueOption = None,
    depth: Annotated[int | None, typer.Option("--depth", metavar="N", min=0, help="Show only N levels below.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the tree of branches: the datasets that the bucket is cut into, with their titles."""
    out = Output(json=json, quiet=quiet)
    shown = shipped_catalogue() if catalogue is None else Catalogue.load(catalogue)
    document = tree_document(shown, shown.resolve(branch), depth)
    # Drawing takes rich, which JSON need not wait for.
    out.result(document, None if json else draw_tree(document))


def tree_document(catalogue: Catalogue, branch: Branch, depth: int | None = None) -> dict[str, Any]:
    """A branch and those below it, nested under `branches`, as JSON values (docs/reference/catalogue.md).

    `depth` counts the levels below that are shown (None: all of them); `branches_below` counts all, shown or not.
    """
    shown = branch.children if depth != 0 else ()
    below = None if depth is None else depth - 1
    return {
        "path": branch.path or ROOT,
        "mount": branch.mount_in_parent or ROOT,
        "name": branch.name,
        "uuid": branch.dataset_id,
        "title": branch.title,
        "description": branch.description,
        "branches_below": sum(1 for _ in catalogue.walk(branch.path)) - 1,
        "branches": [tree_document(catalogue, catalogue.branches[child], below) for child in shown],
    }


def draw_tree(document: dict[str, Any]) -> str:
    """The tree as text: styled, and lines cut to its width, if standard output is a terminal; plain and whole else."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def add_to(above: Tree | None, branch: dict[str, Any]) -> Tree:
        folder = branch["mount"] if above is not None else branch["path"]
        label = Text(folder if folder != ROOT else branch["name"], no_wrap=True, overflow="ellipsis")
        label.append(f"  {branch['title']}", style="dim")
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
