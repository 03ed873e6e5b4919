"""A citation as people read it: one line; and what a paper says of where its data are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.citation.model import Citation, Covers, one_line
from opendata_pkg.text import counted, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def to_text(citation: Citation) -> str:
    """One line in DataCite's order: who, year, title, version, publisher, where; then proof and terms.

    DataCite Metadata Schema: "Creator (PublicationYear): Title. Version. Publisher. ResourceType. Identifier".
    """
    proof = "; ".join(proofs(citation))
    said = [
        f"{authors_text(citation)} ({citation.year or 'n.d.'}).",
        f"{citation.title}{_which(citation)} [Data set].",
        citation.publisher and f"{citation.publisher.removesuffix('.')}.",
        f"{citation.link}." if citation.link else "",
        f"{first_upper(proof)}." if proof else "",
        f"{licence_words(citation.license_names)}.",
    ]
    return one_line(" ".join(filter(None, said)))


def authors_text(citation: Citation) -> str:
    """The authors as a bibliography lists them: `Lovelace, A.; Example Institute`, with persons' names in full."""
    return "; ".join(
        f"{agent.family}, {agent.given}" if agent.family and agent.given else agent.family or agent.name
        for agent in citation.authors
    )


def proofs(citation: Citation) -> list[str]:
    """Commit, identifier and digest: what tells the cited bytes from others."""
    found = []
    origin = f"from {citation.source}" if citation.source else ""
    if citation.commit:
        whose = f"dataset commit {citation.swhid or citation.commit}"
        origin = f"{whose} {origin}" if citation.covers is not Covers.SELECTION else f"from {whose} {origin}"
    if citation.query:
        origin = f"selected by {citation.query} {origin}"
    if origin:
        found.append(origin.strip())
    if citation.fixity:
        found.append(citation.fixity.words)
    return found


def licence_words(names: Iterable[str]) -> str:
    """The licences by name; that none is stated is said too: it does not mean that everything is allowed."""
    known = list(names)
    if not known:
        return "No licence is stated"
    return f"{'Licence' if len(known) == 1 else 'Licences'}: {', '.join(known)}"


def availability(citations: Sequence[Citation], *, lock: str) -> str:
    """A paragraph of data availability, ready to paste, and the references that it names by number.

    `lock` is the name of the lock's file.
    """
    parts = [
        f"{amount(citation)} of {citation.title}{_version(citation)}"
        + (f" ({citation.fixity.words})" if citation.fixity else "")
        + f", {_terms(citation)} [{number}]"
        for number, citation in enumerate(citations, 1)
    ]
    names = dict.fromkeys(name for citation in citations for name in citation.license_names)
    gap = sum(citation.fixity.incomplete for citation in citations if citation.fixity)
    again = f"`opendata sync --lock {lock}` brings exactly these files again and checks each against its digest."
    sentences = [
        f"This work uses {_join(parts)}.",
        f"{licence_words(names)}.",
        f"The file {lock} names each of these files with its size, digest and addresses; {again}",
        f"Of {gap} of them no digest is known: they can be fetched, not checked." if gap else "",
    ]
    paragraph = one_line(" ".join(sentences))
    references = [f"[{number}] {to_text(citation)}" for number, citation in enumerate(citations, 1)]
    return "\n".join([paragraph, "", *references]) + "\n"


def _which(citation: Citation) -> str:
    said = [f"version {citation.version}"] if citation.version else []
    if citation.covers is Covers.SELECTION and citation.files is not None:
        said.append(amount(citation))
    if citation.version is None and citation.date:
        said.append(f"as of {citation.date}")
    return f" ({'; '.join(said)})" if said else ""


def _version(citation: Citation) -> str:
    if citation.version:
        return f", version {citation.version}"
    return f", as of {citation.date}" if citation.date else ""


def amount(citation: Citation) -> str:
    """How many files and bytes are cited: `12 files, 3.4 MB`."""
    files = "files" if citation.files is None else counted(citation.files, "file")
    return files if citation.size_bytes is None else f"{files}, {human_bytes(citation.size_bytes)}"


def _terms(citation: Citation) -> str:
    names = citation.license_names
    return f"under {' and '.join(names)}" if names else "for which no licence is stated"


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{'; '.join(parts[:-1])}; and {parts[-1]}"


def first_upper(text: str) -> str:
    """The text as it begins a sentence."""
    return text[:1].upper() + text[1:]
