"""A citation as an item of CSL-JSON (1.0.2), which Zotero, pandoc and citeproc read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opendata_pkg.citation.model import Covers
from opendata_pkg.citation.text import licence_words, proofs
from opendata_pkg.text import human_bytes

if TYPE_CHECKING:
    from opendata_pkg.citation.model import Agent, Citation


def to_csl(citation: Citation) -> dict[str, Any]:
    """One item; a file of CSL-JSON is a list of them. What the format has no field for is in `note` and `custom`."""
    said = [*proofs(citation), licence_words(citation.license_names)]
    fixity = citation.fixity
    custom = {
        "commit": citation.commit,
        "swhid": citation.swhid,
        "digest": fixity.digest if fixity else None,
        "filesWithoutDigest": fixity.incomplete if fixity and fixity.incomplete else None,
        "datasetId": citation.dataset_id,
        "licenses": list(citation.license_names) or None,
        "source": citation.source,
        "query": citation.query,
        "covers": citation.covers.value,
    }
    item: dict[str, Any] = {
        "id": citation.key,
        "type": "dataset",
        "title": citation.title,
        "author": [_name(agent) for agent in citation.authors],
        "issued": {"date-parts": [[int(part) for part in citation.date.split("-")]]} if citation.date else None,
        "version": citation.version,
        "publisher": citation.publisher,
        "DOI": citation.doi,
        "URL": citation.link,
        "dimensions": _dimensions(citation),
        "keyword": ", ".join(citation.keywords) or None,
        "abstract": citation.description,
        "note": "; ".join(said),
        "custom": {name: value for name, value in custom.items() if value is not None},
    }
    return {name: value for name, value in item.items() if value is not None}


def _name(agent: Agent) -> dict[str, str]:
    if not agent.family:
        return {"literal": agent.name}
    return {"family": agent.family} | ({"given": agent.given} if agent.given else {})


def _dimensions(citation: Citation) -> str | None:
    if citation.files is None or citation.size_bytes is None:
        return None
    part = "of the dataset's files" if citation.covers is Covers.SELECTION and citation.version else "files"
    return f"{citation.files} {part}, {human_bytes(citation.size_bytes)}"
