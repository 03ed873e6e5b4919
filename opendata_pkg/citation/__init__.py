"""Citations: what is to be said of a dataset version, of a release or of some files, and in which formats. Pure.

`Citation` holds what is to be said; `of_tree`, `of_dataset` and `of_selection` gather it; `render` writes it in one of
the formats.
"""

from __future__ import annotations

from opendata_pkg.citation.bibtex import to_biblatex, to_bibtex
from opendata_pkg.citation.cff import to_cff
from opendata_pkg.citation.csl import to_csl
from opendata_pkg.citation.datacite import UndatedError, to_datacite
from opendata_pkg.citation.gather import citation_text, of_dataset, of_selection, of_tree, reference_of
from opendata_pkg.citation.model import ANONYMOUS, Agent, Citation, Covers, Fixity, Over
from opendata_pkg.citation.render import Format, render
from opendata_pkg.citation.text import availability, to_text

__all__ = [
    "ANONYMOUS",
    "Agent",
    "Citation",
    "Covers",
    "Fixity",
    "Format",
    "Over",
    "UndatedError",
    "availability",
    "citation_text",
    "of_dataset",
    "of_selection",
    "of_tree",
    "reference_of",
    "render",
    "to_biblatex",
    "to_bibtex",
    "to_cff",
    "to_csl",
    "to_datacite",
    "to_text",
]
