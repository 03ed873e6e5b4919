"""README.md of a branch: what it is, in words and links for a person. Pure: text out.

One in a dataset's tree, which says what is in it; one beside the checked-in descriptor, which says where it stands in
the catalogue's tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from opendata_pkg.catalogue.branch import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opendata_pkg.catalogue.branch import Branch, Term
    from opendata_pkg.written import ContentDigest, Totals

_ONTOLOGIES = ("NCBITaxon", "UBERON", "CL")
_EVIDENCE = {"listing": "a listing", "command": "a command or program that reads it", "crawl": "somebody's crawl"}


def dataset_readme(
    branch: Branch, *, totals: Totals, digest: ContentDigest, children: Sequence[tuple[str, Branch]]
) -> str:
    """The README of a dataset's tree. `children` are its subdatasets by the paths at which they are mounted."""
    lines = [*_head(branch), "", "## Files", ""]
    if totals.files:
        unknown = f", {totals.unknown_sizes} of unknown size" if totals.unknown_sizes else ""
        lines += [
            f"{totals.files} files, {totals.size_bytes} bytes{unknown}. `_opendata/files/` lists each with its digest.",
            f"Content digest: `sha256:{digest.sha256}`",
        ]
    else:
        lines.append("No files of its own.")
    lines += [
        *("", "```", "datalad get PATH        # or: git annex get PATH", "```", ""),
        "The data stay in their bucket; what arrives is checked against the digest in the file's key.",
    ]
    if children:
        lines += ["", "## Subdatasets", "", "Install one with `datalad get -n PATH`.", ""]
        lines += [f"- `{mount}`: {child.title}" for mount, child in children]
    return "\n".join([*lines, *_credits(branch)]) + "\n"


def package_readme(branch: Branch, *, parent: Branch | None, children: Sequence[Branch], known_files: int) -> str:
    """The README beside a checked-in descriptor. `known_files` counts the rows of its `files.csv`; 0: there is none."""
    lines = _head(branch)
    if parent is not None:
        up = "/".join([".."] * (branch.mount_in_parent.count("/") + 1))
        lines += ["", f"Part of [{parent.title}]({up}/README.md)."]
    if children:
        lines += ["", "## Branches below", ""]
        lines += [f"- [{child.title}]({quote(child.mount_in_parent)}/README.md)" for child in children]
    if known_files:
        files = "one file that is" if known_files == 1 else f"{known_files} files that are"
        lines += [
            *("", "## Files", ""),
            f"[files.csv](files.csv) names {files} known to be in the bucket, and where that is known from. It is no",
            "listing: there may be more, and what is there now only the bucket can tell.",
        ]
    lines += [
        *("", "## Get it", ""),
        f"In a store, this is the dataset `{branch.name}`: `datalad clone STORE/git/{branch.name}.git`.",
    ]
    return "\n".join([*lines, *_credits(branch)]) + "\n"


def _head(branch: Branch) -> list[str]:
    lines = [f"# {branch.title}", ""]
    if branch.description:
        lines += [branch.description, ""]
    return [*lines, "| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in _facts(branch))]


def _facts(branch: Branch) -> Iterator[tuple[str, str]]:
    if branch.kind:
        yield "Kind", branch.kind
    for name, terms in (
        ("Species", branch.species),
        ("Brain regions", branch.brain_regions),
        ("Cell classes", branch.cell_classes),
    ):
        if terms:
            yield name, ", ".join(_terms(terms))
    if branch.ion_channels:
        families = (
            family.family + (f" ({', '.join(f'`{gene}`' for gene in family.genes)})" if family.genes else "")
            for family in branch.ion_channels
        )
        yield "Ion channels", "; ".join(families)
    if branch.atlas is not None:
        parts = (
            branch.atlas.version and f"version {branch.atlas.version}",
            branch.atlas.resolution_um and f"{branch.atlas.resolution_um} µm",
        )
        yield "Atlas", ", ".join(part for part in parts if part)
    if branch.formats:
        yield "Formats", ", ".join(f"`{each.name}` ({each.media_type})" for each in branch.formats)
    if branch.keywords:
        yield "Keywords", ", ".join(branch.keywords)
    if branch.evidence is not None:
        yield "Known from", f"{_EVIDENCE[branch.evidence.kind]}: {branch.evidence.source}"
    yield "Branch", f"`{branch.path or ROOT}`"
    yield "Dataset", f"`{branch.name}`, id `{branch.dataset_id}`"


def _terms(terms: Iterable[Term]) -> Iterator[str]:
    """Each label once, with all its ids, linked where the ontology has pages."""
    ids: dict[str, list[str]] = {}
    for term in terms:
        ids.setdefault(term.label, []).extend([_linked(term.id)] if term.id else [])
    for label, known in ids.items():
        yield f"{label} ({', '.join(known)})" if known else label


def _linked(term_id: str) -> str:
    ontology, _, number = term_id.partition(":")
    if ontology not in _ONTOLOGIES:
        return term_id
    return f"[{term_id}](http://purl.obolibrary.org/obo/{ontology}_{number})"


def _credits(branch: Branch) -> Iterator[str]:
    if branch.licenses:
        yield from ("", "## Licence", "")
        for terms in branch.licenses:
            name = terms.title or terms.name or terms.path or ""
            said = f" (as said at <{terms.source}>)" if terms.source else ""
            yield f"- [{name}]({terms.path}){said}" if terms.path else f"- {name}{said}"
    if branch.contributors:
        yield from ("", "## Made by", "")
        for maker in branch.contributors:
            name = f"[{maker.title}]({maker.path})" if maker.path else maker.title
            yield f"- {name}" + (f" ({', '.join(maker.roles)})" if maker.roles else "")
    if branch.sources:
        yield from ("", "## Sources", "")
        for source in branch.sources:
            name = f"[{source.title}]({source.path})" if source.path else source.title
            yield f"- {name}" + (f", {source.version}" if source.version else "")
    if branch.related:
        yield from ("", "## Related", "")
        yield from (f"- {work.relation_type} [{work.title or work.id}]({work.id})" for work in branch.related)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
