"""A citation as DataCite metadata (kernel 4) in JSON: what is needed to register a DOI for it, and to exchange it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opendata_pkg.citation.model import Covers, doi_of
from opendata_pkg.model import InputError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.catalogue.branch import License
    from opendata_pkg.citation.model import Agent, Citation

_UNAVAILABLE = ":unav"
"""DataCite's word for a value that is wanted and not to be had (Metadata Schema, appendix on unknown information)."""


class UndatedError(InputError):
    """DataCite wants a year, and nothing that is cited has a date."""

    def __init__(self, citation: Citation) -> None:
        super().__init__(
            f"DataCite metadata must have a publication year, but no file of {citation.title!r} has a date: "
            "cite a released version, or choose another --format"
        )


def to_datacite(citation: Citation) -> dict[str, Any]:
    """One record. Its `doi` is there only if the cited thing has one; whoever registers a new one adds it.

    Raises:
        UndatedError: nothing is known of when.
    """
    if citation.year is None:
        raise UndatedError(citation)
    sizes = [] if citation.files is None else [counted(citation.files, "file")]
    if citation.size_bytes is not None:
        sizes.append(counted(citation.size_bytes, "byte"))
    record: dict[str, Any] = {
        "doi": citation.doi,
        "url": citation.url,
        "types": {"resourceTypeGeneral": _GENERAL[citation.covers], "resourceType": _WORDS[citation.covers]},
        "creators": [_creator(agent) for agent in citation.authors],
        "titles": [{"title": citation.title}],
        "publisher": {"name": citation.publisher or _UNAVAILABLE},
        "publicationYear": citation.year,
        "version": citation.version,
        "dates": [{"date": citation.date, "dateType": "Issued" if citation.version else "Updated"}],
        "subjects": [{"subject": word} for word in dict.fromkeys(citation.keywords)],
        "sizes": sizes,
        "formats": list(dict.fromkeys(citation.formats)),
        "rightsList": [_rights(terms) for terms in citation.licenses],
        "descriptions": _descriptions(citation),
        "alternateIdentifiers": _alternates(citation),
        "relatedIdentifiers": _related(citation),
        "schemaVersion": "http://datacite.org/schema/kernel-4",
    }
    return {name: value for name, value in record.items() if value not in (None, [])}


_GENERAL = {Covers.RELEASE: "Collection", Covers.DATASET: "Dataset", Covers.SELECTION: "Dataset"}
_WORDS = {
    Covers.RELEASE: "Release of a collection of datasets",
    Covers.DATASET: "DataLad dataset",
    Covers.SELECTION: "Selection of files",
}


def _creator(agent: Agent) -> dict[str, str]:
    if not agent.family:
        return {"name": agent.name, "nameType": "Organizational"}
    given = {"givenName": agent.given} if agent.given else {}
    name = f"{agent.family}, {agent.given}" if agent.given else agent.family
    return {"name": name, "nameType": "Personal", **given, "familyName": agent.family}


def _rights(terms: License) -> dict[str, str]:
    fields = {"rights": terms.title or terms.name, "rightsUri": terms.path, "rightsIdentifier": terms.name}
    return {name: value for name, value in fields.items() if value}


def _descriptions(citation: Citation) -> list[dict[str, str]]:
    found = [{"description": citation.description, "descriptionType": "Abstract"}] if citation.description else []
    if citation.query:
        found.append({"description": f"Selected by {citation.query}", "descriptionType": "Methods"})
    found += [{"description": f"{x.note}: {x.digest}", "descriptionType": "TechnicalInfo"} for x in citation.fixities]
    return found


def _alternates(citation: Citation) -> list[dict[str, str]]:
    """What else names the cited thing, or, of a selection, the dataset commit that it was made from."""
    whose = "git commit of the whole dataset" if citation.covers is Covers.SELECTION else "git commit"
    pairs = (
        ("SWHID", citation.swhid),
        (whose, citation.commit),
        ("opendata address", citation.source),
        *(("opendata digest", fixity.digest) for fixity in citation.fixities),
    )
    return [{"alternateIdentifier": value, "alternateIdentifierType": kind} for kind, value in pairs if value]


def _related(citation: Citation) -> list[dict[str, str]]:
    works = [
        {
            "relatedIdentifier": doi_of(work) or work,
            "relatedIdentifierType": "DOI" if doi_of(work) else "URL",
            "relationType": relation,
        }
        for relation, work in citation.related
    ]
    if citation.dataset_id:
        urn = f"urn:uuid:{citation.dataset_id}"
        relation = "IsPartOf" if citation.covers is Covers.SELECTION else "IsVersionOf"
        works.append({"relatedIdentifier": urn, "relatedIdentifierType": "URN", "relationType": relation})
    return works
