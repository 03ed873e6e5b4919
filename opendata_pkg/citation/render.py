"""Citations as a person asks for them: one or several, in one of the formats."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from opendata_pkg.citation.bibtex import to_biblatex, to_bibtex
from opendata_pkg.citation.cff import collection_to_cff, to_cff
from opendata_pkg.citation.csl import to_csl
from opendata_pkg.citation.datacite import to_datacite
from opendata_pkg.citation.text import availability, to_text
from opendata_pkg.documents import dump_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendata_pkg.citation.model import Citation


class Format(StrEnum):
    """The formats of citations, as the command line calls them."""

    TEXT = "text"
    BIBTEX = "bibtex"
    BIBLATEX = "biblatex"
    CFF = "cff"
    CSL = "csl"
    DATACITE = "datacite"


def render(citations: Sequence[Citation], form: Format, *, lock: str | None = None) -> str:
    """The text of a file of that format. `lock` is the name of the lock that they are of, None if they are of none.

    The text for a lock is a paragraph on the availability of the data; DataCite's is one record, for a lock a list.

    Raises:
        UndatedError: DataCite wants a year, and there is none.
    """
    if form is Format.TEXT:
        return f"{to_text(citations[0])}\n" if lock is None else availability(citations, lock=lock)
    if form in {Format.BIBTEX, Format.BIBLATEX}:
        write = to_bibtex if form is Format.BIBTEX else to_biblatex
        return "\n".join(map(write, citations))
    if form is Format.CFF:
        several = len(citations) > 1
        return collection_to_cff(citations, title=f"The data of {lock}") if several else to_cff(citations[0])
    if form is Format.CSL:
        return dump_json(list(map(to_csl, citations)))
    records = list(map(to_datacite, citations))
    return dump_json(records[0] if lock is None else records)
