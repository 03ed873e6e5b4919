"""A citation in the Citation File Format 1.2.0, as CITATION.cff.

YAML is written as JSON scalars, which are YAML too, so that no name can be misread.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from opendata_pkg.citation.model import Citation, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# As the schema of CFF 1.2.0 has it; the DOI handbook allows more.
_DOI = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
# What JSON lets stand in a string and YAML takes for a line end, or for no character at all.
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_cff(citation: Citation) -> str:
    """A whole CITATION.cff. Of a dataset's tree it is part of the commit: its bytes never change for what it was."""
    head = ["cff-version: 1.2.0", "type: dataset", "message: If you use these data, please cite them as below."]
    return "\n".join([*head, *_body(citation)]) + "\n"


def collection_to_cff(citations: Sequence[Citation], *, title: str) -> str:
    """One CITATION.cff of several works: the format has one at the top, the others are its `references`."""
    authors = dict.fromkeys(agent for citation in citations for agent in citation.authors)
    whole = Citation(name="", covers=citations[0].covers, title=title, authors=tuple(authors))
    lines = [
        "cff-version: 1.2.0",
        "type: dataset",
        "message: If you use these data, please cite each of the references.",
    ]
    lines += [f"title: {_scalar(title)}", *_authors(whole), "references:"]
    for citation in citations:
        # In references, the same thing is of type `data`.
        first, *others = ["type: data", *_body(citation), *_publisher(citation)]
        lines += [f"  - {first}", *(f"    {line}" for line in others)]
    return "\n".join(lines) + "\n"


def _body(citation: Citation) -> Iterator[str]:
    yield f"title: {_scalar(citation.title)}"
    yield from _authors(citation)
    identifiers = list(_identifiers(citation))
    if identifiers:
        yield "identifiers:"
        yield from identifiers
    names = [terms.name for terms in citation.licenses if terms.name]
    if names:
        yield "license:"
        yield from (f"  - {_scalar(name)}" for name in names)
    links = [terms.path for terms in citation.licenses if terms.path and not terms.name]
    if links and not names:
        # The format has room for one licence that has no SPDX id.
        yield f"license-url: {_scalar(links[0])}"
    for field, value in (
        ("version", citation.version),
        ("date-released", citation.date),
        ("commit", citation.commit),
        ("doi", citation.doi if citation.doi and _DOI.fullmatch(citation.doi) else None),
        ("url", citation.url),
        ("abstract", citation.description and one_line(citation.description)),
    ):
        if value:
            yield f"{field}: {_scalar(value)}"
    keywords = list(dict.fromkeys(filter(None, map(one_line, citation.keywords))))
    if keywords:
        yield "keywords:"
        yield from (f"  - {_scalar(word)}" for word in keywords)


def _authors(citation: Citation) -> Iterator[str]:
    yield "authors:"
    for agent in citation.authors:
        if agent.family:
            yield f"  - family-names: {_scalar(agent.family)}"
            if agent.given:
                yield f"    given-names: {_scalar(agent.given)}"
        else:
            yield f"  - name: {_scalar(agent.name)}"


def _identifiers(citation: Citation) -> Iterator[str]:
    if citation.dataset_id:
        yield from _identifier("other", f"urn:uuid:{citation.dataset_id}", "The dataset, in all its versions")
    for fixity in citation.fixities:
        # As a scalar in quotes: this one may hold a number of files.
        yield from _identifier("other", fixity.digest, _scalar(fixity.note))
    if citation.swhid:
        yield from _identifier("swh", citation.swhid, "The commit of the dataset")
    if citation.doi and citation.doi_url and not _DOI.fullmatch(citation.doi):
        yield from _identifier("url", citation.doi_url, "DOI")
    if citation.source:
        yield from _identifier("other", citation.source, "Where opendata reads it")


def _identifier(kind: str, value: str, description: str) -> Iterator[str]:
    yield f"  - type: {kind}"
    yield f"    value: {_scalar(value)}"
    yield f"    description: {description}"


def _publisher(citation: Citation) -> Iterator[str]:
    if citation.publisher:
        yield "publisher:"
        yield f"  name: {_scalar(citation.publisher)}"


def _scalar(text: str) -> str:
    whole = json.dumps(_SURROGATE.sub("\ufffd", text), ensure_ascii=False)
    return _NOT_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", whole)
