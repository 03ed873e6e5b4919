"""What a citation says, whatever the format it is written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from opendata_pkg.catalogue.branch import License, default_name

if TYPE_CHECKING:
    from collections.abc import Mapping

# "The DOI prefix shall be composed of a directory indicator followed by a registrant code" (DOI Handbook, 2.2.2); the
# suffix may hold any printable character.
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)(10\.\d{4,9}(?:\.\d+)*/\S+)", re.IGNORECASE)
# RFC 3986: unreserved and reserved characters, less the brackets, and the `%` of what is encoded already.
_URL_SAFE = "-._~:/?#@!$&'()*+,;=%"
_KEY_DIGITS = 8


class Covers(StrEnum):
    """What is cited."""

    RELEASE = "release"
    DATASET = "dataset"
    SELECTION = "selection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A person (who has a `family` name) or an organisation that made the data. `name` is the whole name."""

    name: str
    family: str | None = None
    given: str | None = None

    def to_dict(self) -> dict[str, str]:
        """The agent as JSON values."""
        fields = {"name": self.name, "family": self.family, "given": self.given}
        return {name: value for name, value in fields.items() if value is not None}


ANONYMOUS = Agent(name="Anonymous")
"""Stands where a format wants an author and nobody is named: nobody is invented."""


class Over(StrEnum):
    """What a digest is over (docs/explanation/identity.md, docs/reference/citations.md); the value says it in words."""

    OWN_FILES = "Content digest of the files of this version"
    SUBTREE = "Content digest of all files of this version, those of subdatasets included"
    SELECTION = "Digest of the selection: what was asked for, and each file with its digest"

    @property
    def words(self) -> str:
        """Two words for it."""
        return "selection digest" if self is Over.SELECTION else "content digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixity:
    """A digest by which anyone can tell whether they have what is cited.

    `digest` is `sha256:HEX`; `incomplete` counts the files whose bytes it cannot vouch for, since they have no digest.
    """

    digest: str
    over: Over
    incomplete: int = 0

    @property
    def note(self) -> str:
        """What it is, and what it cannot vouch for."""
        return f"{self.over}; {self.incomplete} files have no digest" if self.incomplete else str(self.over)

    @property
    def words(self) -> str:
        """The same in a few words, with the digest."""
        gap = f" ({self.incomplete} of the files without a digest)" if self.incomplete else ""
        return f"{self.over.words} {self.digest}{gap}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """All that is known for a citation; what is not known is None or empty, and left out of what is written.

    `authors` are never none. `date` is an ISO day; `url` is http(s), without credentials; `doi` is bare
    (`10.1234/abc`) and names exactly what is cited; `source` is an `s3://` address that `opendata` takes. `query` says
    by which rules files were selected. `commit` is that of the dataset, or of the dataset that a selection is of.
    `files` and `size_bytes` count what is cited; `related` are (DataCite's relation type, URL).
    """

    name: str
    covers: Covers
    title: str
    authors: tuple[Agent, ...] = (ANONYMOUS,)
    licenses: tuple[License, ...] = ()
    fixities: tuple[Fixity, ...] = ()
    dataset_id: str | None = None
    publisher: str | None = None
    version: str | None = None
    date: str | None = None
    url: str | None = None
    doi: str | None = None
    source: str | None = None
    query: str | None = None
    commit: str | None = None
    files: int | None = None
    size_bytes: int | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    related: tuple[tuple[str, str], ...] = ()

    @property
    def year(self) -> str | None:
        """Four digits."""
        return self.date[:4] if self.date else None

    @property
    def swhid(self) -> str | None:
        """The SWHID of the dataset's commit; None of a selection, since it would name more than is cited.

        SWHID specification (ISO/IEC 18670), on revisions: the identifier is computed from the object alone, and is the
        hash that git gives a commit. So it is true whether or not anybody has archived the commit.
        """
        return f"swh:1:rev:{self.commit}" if self.commit and self.covers is not Covers.SELECTION else None

    @property
    def doi_url(self) -> str | None:
        """The DOI as a URL."""
        return f"https://doi.org/{quote(self.doi, safe='/:;().,-_~')}" if self.doi else None

    @property
    def link(self) -> str | None:
        """Where the reader is sent: the DOI if there is one, else the URL."""
        return self.doi_url or self.url

    @property
    def fixity(self) -> Fixity | None:
        """The digest over all that is cited."""
        return self.fixities[-1] if self.fixities else None

    @property
    def key(self) -> str:
        """A word that other entries of a bibliography do not have: of letters, digits, `.` and `-`."""
        parts = ["opendata", self.name, self.version]
        if self.fixity and self.fixity.over is Over.SELECTION:
            parts.append(self.fixity.digest.removeprefix("sha256:")[:_KEY_DIGITS])
        return "-".join(part for part in parts if part)

    @property
    def license_names(self) -> tuple[str, ...]:
        """Each licence by its id, else its title, else its URL."""
        return tuple(dict.fromkeys(filter(None, (x.name or x.title or x.path for x in self.licenses))))

    def reference(self) -> dict[str, Any]:
        """What a lock keeps of a citation beside its text, as JSON values (schemas/internal/lock.json)."""
        fields: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "authors": [agent.to_dict() for agent in self.authors],
            "licenses": [
                {field: value for field in ("name", "title", "path") if (value := getattr(terms, field)) is not None}
                for terms in self.licenses
            ],
            "publisher": self.publisher,
            "date": self.date,
            "url": self.url,
            "doi": self.doi,
            "source": self.source,
        }
        return {name: value for name, value in fields.items() if value not in (None, [])}


def fields_of_reference(document: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `Citation.reference`: arguments of `Citation`. Somebody may have edited it: nothing is raw."""
    return {
        **document,
        "name": default_name(document["name"]) or "files",
        "title": one_line(document["title"]),
        "authors": tuple(Agent(**agent) for agent in document["authors"]),
        "licenses": tuple(License(**terms) for terms in document.get("licenses", ())),
        "url": public_url(document.get("url")),
        "doi": doi_of(f"doi:{document.get('doi', '')}"),
    }


def doi_of(text: str) -> str | None:
    """The bare DOI of a URL such as https://doi.org/10.1234/abc, or of `doi:10.1234/abc`; None if it is none."""
    match = _DOI.fullmatch(unquote(text.strip()))
    return match[1] if match else None


def public_url(text: str | None) -> str | None:
    """An http(s) URL as it may be printed: without user name, password, query and fragment; None if it is none.

    A path of this machine never comes through, nor does a token that somebody was given.
    """
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    return quote(f"{parts.scheme}://{host}{parts.path}", safe=_URL_SAFE)


def one_line(text: str) -> str:
    """`text` on one line: whatever cannot be printed is a space, and no two spaces follow each other."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(shown.split())
