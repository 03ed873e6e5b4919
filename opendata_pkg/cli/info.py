"""`opendata info`: what is known of a branch, a dataset of a release, or one of its files."""

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
from opendata_pkg.model import UsageError
from opendata_pkg.text import counted, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType
    from rich.text import Text

# Where no terminal says how wide a line may be.
_PLAIN_WIDTH = 100


def info(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="BRANCH, BRANCH@VERSION, or with :PATH a file or folder below it; the root is a dot.",
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
    """Show what is known of a branch: what it holds, on what terms, and where it is from.

    With a store: files, bytes, grades and commit in its last release, or in VERSION, and all its versions.
    """
    from opendata_pkg.cli.reading import look_at
    from opendata_pkg.readers.info import describe_branch, describe_dataset, describe_selection
    from opendata_pkg.store.lookup import find_in_releases, parse_dataset
    from opendata_pkg.targets.words import is_of_store

    out = Output(json=json, quiet=quiet)

    def tell_selection() -> None:
        from opendata_pkg.columns.lean_arrow import import_arrow

        import_arrow()
        from opendata_pkg.targets.opening import open_target

        target = open_target(
            dataset, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=out
        )
        found = describe_selection(target.select(reporter=out))
        out.result(found, None if json else "\n".join(_lines(found)))

    if not is_of_store(dataset):
        tell_selection()
        return
    word = parse_dataset(dataset)
    if store is None:
        if word.path is not None:
            raise UsageError(f"the catalogue alone knows no files such as {word.path}: name a store with --store")
        look = look_at(word, None, catalogue)
        document = describe_branch(look.catalogue, look.branch)
        out.result(document, None if json else _draw(document))
        return
    if word.path is not None:
        tell_selection()
        return
    from opendata_pkg.store.published import PublishedStore

    opened = PublishedStore.open(store, endpoint_url=endpoint_url, offline=offline)
    state, known, entry = find_in_releases(opened, word)
    document = describe_branch(known, known.branches[entry.branch])
    document["release"] = describe_dataset(opened, state, entry)
    out.result(document, None if json else _draw(document))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """What is known of a file or a folder: a line for each thing."""
    for name, value in found.items():
        if isinstance(value, dict):
            said = ", ".join(f"{rule} {given}" for rule, given in value.items())
        else:
            said = "" if value is None else str(value)
        if said:
            yield f"{name}: {visible(said)}"


def _draw(document: dict[str, Any]) -> str:
    """The document as panels: styled and as wide as the terminal, plain and of a fixed width elsewhere."""
    from rich.console import Console, Group
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    document = _visible(document)
    said = document["descriptor"]
    parts: list[RenderableType] = []
    if "description" in said:
        parts.append(Padding(Text(said["description"]), (0, 0, 1, 0)))
    parts.append(_grid(_facts(document)))
    panels: list[RenderableType] = [
        Panel(Group(*parts), title=Text(said["title"], style="bold"), title_align="left", padding=(1, 2))
    ]
    if "release" in document:
        release = document["release"]
        title = Text(f"version {release['version']}", style="bold")
        panels.append(Panel(Group(*_release(release)), title=title, title_align="left", padding=(1, 2)))
    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    with console.capture() as drawn:
        console.print(*panels, sep="\n")
    return "\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n"


def _visible(value: Any) -> Any:
    """A document with every text as people may see it: most is from a store's catalogue, which anybody can write."""
    if isinstance(value, dict):
        return {name: _visible(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_visible(entry) for entry in value]
    return visible(value, lines=True) if isinstance(value, str) else value


def _grid(facts: Iterable[tuple[str, Text]]) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, value)
    return grid


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    said = document["descriptor"]
    yield "branch", Text(document["branch"])
    yield "dataset", Text(f"{said['name']}, id {said['id'].removeprefix('urn:uuid:')}")
    if document["formerly"]:
        yield "formerly", Text(", ".join(document["formerly"]))
    if document["branches"]:
        below = document["branches_below"]
        prefix = "" if document["branch"] == ROOT else f"{document['branch']}/"
        names = ", ".join(path.removeprefix(prefix) for path in document["branches"])
        yield "branches", Text(f"{names} ({below} in all)" if below > len(document["branches"]) else names)
    for field, (label, draw) in _FIELDS.items():
        if field in said:
            value = said[field]
            yield label, Text(", ").join(draw(entry) for entry in (value if isinstance(value, list) else [value]))


def _release(release: dict[str, Any]) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    from opendata_pkg.cli.tables import draw_table, human_bytes

    def amount(files: int, size_bytes: int) -> str:
        return f"{counted(files, 'file')}, {human_bytes(size_bytes)}"

    facts = [
        ("own files", Text(amount(release["files"], release["bytes"]))),
        ("with all below", Text(amount(release["subtree_files"], release["subtree_bytes"]))),
        (
            "grades",
            Text(", ".join(f"{count} {grade}" for grade, count in release["grades"].items() if count) or "none"),
        ),
        ("commit", Text(release["commit"])),
        ("content digest", Text(release["content_digest"])),
    ]
    if release["unknown_sizes"]:
        facts.insert(1, ("of unknown size", Text(str(release["unknown_sizes"]))))
    if release["undigested"]:
        facts.append(("without digest", Text(f"{release['undigested']} of its own files: nobody can check them")))
    yield _grid(facts)
    rows = (
        (
            version["version"],
            version["date"][:10],
            str(version["subtree_files"]),
            human_bytes(version["subtree_bytes"]),
            "new commit" if version["changed"] else "",
        )
        for version in reversed(release["versions"])
    )
    table = draw_table(("version", "date", "files", "size", ""), rows, numbers=("files", "size"))
    yield Padding(Text.from_ansi(table.rstrip()), (1, 0, 0, 0))


def _linked(label: str | None, url: str | None) -> Text:
    """A label that leads to its URL: by a link in a terminal, by the URL itself where there is none."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    shown = label or url or ""
    if url is None or url == shown:
        return Text(shown, style=Style(link=url) if url else "")
    return Text(shown, style=Style(link=url)) if Console().is_terminal else Text(f"{shown} <{url}>")


def _term(term: dict[str, Any]) -> Text:
    prefix, _, number = term.get("id", "").partition(":")
    # Where a term is explained; not all ontologies have such pages.
    has_page = prefix in {"UBERON", "CL", "NCBITaxon"}
    return _linked(term["label"], f"http://purl.obolibrary.org/obo/{prefix}_{number}" if has_page else None)


def _channel(family: dict[str, Any]) -> Text:
    return _linked(family["family"] + (f" ({', '.join(family['genes'])})" if "genes" in family else ""), None)


def _named(entry: dict[str, Any]) -> Text:
    return _linked(entry.get("title") or entry.get("name"), entry.get("path"))


_FIELDS: dict[str, tuple[str, Callable[[Any], Text]]] = {
    "od:kind": ("kind", lambda kind: _linked(kind, None)),
    "od:species": ("species", _term),
    "od:brainRegions": ("regions", _term),
    "od:cellClasses": ("cells", _term),
    "od:ionChannels": ("channels", _channel),
    "od:formats": ("formats", lambda entry: _linked(entry["format"], None)),
    "licenses": ("licence", _named),
    "contributors": ("by", _named),
    "sources": ("source", _named),
    "od:related": ("related", lambda work: _linked(work.get("title"), work["id"])),
    "keywords": ("keywords", lambda word: _linked(word, None)),
}
