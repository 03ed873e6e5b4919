"""A citation for BibTeX: `@misc`, which every style knows, and biblatex's `@dataset`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opendata_pkg.citation.latex import escape, transliterate
from opendata_pkg.citation.model import Covers
from opendata_pkg.citation.text import amount, first_upper, licence_words, proofs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opendata_pkg.citation.model import Agent, Citation

_DIGEST = re.compile(r"(sha256:)([0-9a-f]{32})([0-9a-f]{32})")
_BREAKABLE = r"\1\\allowbreak{}\2\\allowbreak{}\3"
# What would split a name in two, or into parts, unless it stands in braces.
_SPLITS = re.compile(r",|\band\b", re.IGNORECASE)


def to_bibtex(citation: Citation) -> str:
    """An `@misc` entry in ASCII as far as LaTeX has commands for it; needs the package `url` or `hyperref`.

    The address stands in `howpublished`, since the styles that every LaTeX has know no `url`.
    """
    tex = transliterate
    place = [tex(citation.publisher)] if citation.publisher else []
    if citation.link:
        place.append(f"\\url{{{citation.link}}}")
    fields = {
        "author": _authors(citation, tex),
        # In braces twice: styles would write names in small letters.
        "title": f"{{{tex(citation.title)}}}",
        "year": citation.year,
        "howpublished": ", ".join(place),
        "note": _note(citation, tex, version=True),
        "doi": _plain(citation.doi),
    }
    return _entry("misc", citation.key, fields)


def to_biblatex(citation: Citation) -> str:
    """A `@dataset` entry, in Unicode as biber and LuaLaTeX or XeLaTeX read it."""
    fields = {
        "author": _authors(citation, escape),
        "title": f"{{{escape(citation.title)}}}",
        "date": citation.date,
        "version": citation.version,
        "publisher": citation.publisher and f"{{{escape(citation.publisher)}}}",
        "doi": _plain(citation.doi),
        "url": citation.url,
        "addendum": _note(citation, escape, version=False),
        "keywords": ", ".join(escape(word.replace(",", " ")) for word in citation.keywords),
    }
    return _entry("dataset", citation.key, fields)


def _entry(kind: str, key: str, fields: dict[str, str | None]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"]) + "\n"


def _authors(citation: Citation, tex: Callable[[str], str]) -> str:
    return " and ".join(_name(agent, tex) for agent in citation.authors)


def _name(agent: Agent, tex: Callable[[str], str]) -> str:
    if not agent.family or not agent.given:
        # An organisation, or a name in one piece: braces keep it whole.
        return f"{{{tex(agent.family or agent.name)}}}"
    return ", ".join(f"{{{tex(part)}}}" if _SPLITS.search(part) else tex(part) for part in (agent.family, agent.given))


def _note(citation: Citation, tex: Callable[[str], str], *, version: bool) -> str:
    return " ".join(f"{sentence}." for sentence in _sentences(citation, tex, version=version))


def _sentences(citation: Citation, tex: Callable[[str], str], *, version: bool) -> Iterator[str]:
    """What tells these data from others, and their terms."""
    if version and citation.version:
        yield f"Version {citation.version}"
    if citation.covers is Covers.SELECTION and citation.files is not None:
        yield f"Selection of {amount(citation)}"
    for proof in proofs(citation):
        # 71 letters without a blank: TeX may break the line within them, and shows nothing.
        yield _DIGEST.sub(_BREAKABLE, tex(first_upper(proof)))
    yield tex(licence_words(citation.license_names))


def _plain(doi: str | None) -> str | None:
    """A DOI as styles expect it, raw; None if TeX could not read it so: its URL is there all the same."""
    return doi if doi is not None and re.fullmatch(r"[A-Za-z0-9./:;()_-]+", doi) else None
