"""A branch: a node of the catalogue's tree, what is said of it, and the rules of its path, name and id."""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.paths import MAX_PART_BYTES, Naming, fold
from opendata_pkg.vocabulary import KINDS, SPECIAL_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:opendata:catalogue")
"""Of all dataset ids that a catalogue does not state itself; never to be changed."""

ROOT = "."
"""How people write the root branch, whose path is the empty string."""

NAME_MAX = 200
RESERVED_NAMES = frozenset({"index.json", "packs.json", "report.csv"})
"""What a release's folder holds beside a folder for each dataset."""
"""Letters of a name: `<name>.git` must be a file's name, with room for what git and web servers append."""

# S3 allows 1024 bytes a key, and a branch has keys below it.
_PATH_MAX_BYTES = 1022
# Ours at a dataset's root, beside those that `paths` keeps. An object of the bucket may take our file's place there, a
# subdataset may not.
_RESERVED = frozenset({"readme.md", "citation.cff"})
_UNRENAMED = Naming(prefix="")
# Control characters, lone surrogates, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """Terms of use, as in Data Package 2.0: `name` is an SPDX or Open Definition id, `path` a URL; one is there.

    `source` is the URL at which it is said that these terms hold.
    """

    name: str | None = None
    title: str | None = None
    path: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """A person or organisation that contributed, as in Data Package 2.0."""

    title: str
    roles: tuple[str, ...] = ()
    given_name: str | None = None
    family_name: str | None = None
    organization: str | None = None
    path: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the data come from, as in Data Package 2.0."""

    title: str
    path: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A word of an ontology: `id` such as `NCBITaxon:10090`, `UBERON:0000955`, `MBA:997` or `CL:0000540`."""

    label: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IonChannels:
    """A family of ion channels and the symbols of its genes, where `*` stands for any letters or digits."""

    family: str
    genes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """The version of the atlas that the data belong to, and the edge of its voxels in micrometres."""

    version: str | None = None
    resolution_um: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of files: the usual extension in lower case, and its media type."""

    name: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """A work that the data are related to: `relation_type` in DataCite's words, `id` a URL."""

    relation_type: str
    id: str
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How a branch is known to be in the bucket: by a `listing`, a `command` or a `crawl`; `source` says where."""

    kind: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A node of the tree. What it did not state is inherited from its nearest declared ancestor, or absent.

    `path` is the S3 folder without a slash at its ends; empty: the root. `name` is the git repository's, `dataset_id`
    the DataLad id; neither changes once released. `parent` is the path of the nearest declared ancestor (None: this is
    the root); `children` are the paths of the branches whose parent this is, in UTF-8 byte order. `formerly` are paths
    it once had; these, title, description and `evidence` are never inherited.
    """

    path: str
    name: str
    dataset_id: str
    title: str
    description: str | None
    parent: str | None
    children: tuple[str, ...]
    licenses: tuple[License, ...]
    contributors: tuple[Contributor, ...]
    sources: tuple[Source, ...]
    formerly: tuple[str, ...]
    kind: str | None = None
    species: tuple[Term, ...] = ()
    brain_regions: tuple[Term, ...] = ()
    cell_classes: tuple[Term, ...] = ()
    ion_channels: tuple[IonChannels, ...] = ()
    atlas: Atlas | None = None
    formats: tuple[Format, ...] = ()
    keywords: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    evidence: Evidence | None = None

    @property
    def prefix(self) -> str:
        """What the keys at or below this branch begin with: the path and a slash, or nothing for the root."""
        return f"{self.path}/" if self.path else ""

    @property
    def mount_in_parent(self) -> str:
        """Where this dataset is a subdataset of its parent: the path relative to it; empty for the root."""
        return self.path.removeprefix(f"{self.parent}/") if self.parent else self.path


_MOUSE = "NCBITaxon:10090"
_RECORDS: Mapping[str, type] = {
    "licenses": License,
    "contributors": Contributor,
    "sources": Source,
    "species": Term,
    "brain_regions": Term,
    "cell_classes": Term,
    "ion_channels": IonChannels,
    "related": Related,
}
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def shared_fields(fields: Mapping[str, Any], parent: Branch | None, media_types: Mapping[str, str]) -> dict[str, Any]:
    """What a branch has in common with those above it, until it states its own, as `Branch` takes it.

    `fields` are as written, checked; a list there takes the place of the inherited one, an empty one clears it.
    """
    shared: dict[str, Any] = {}
    for name, record in _RECORDS.items():
        if name in fields:
            shared[name] = tuple(record(**_as_arguments(item)) for item in fields[name])
    if "formats" in fields:
        shared["formats"] = tuple(Format(name=name, media_type=media_types[name]) for name in fields["formats"])
    if "keywords" in fields:
        shared["keywords"] = tuple(fields["keywords"])
    if "kind" in fields:
        shared["kind"] = fields["kind"]
    if "atlas" in fields:
        shared["atlas"] = Atlas(**fields["atlas"]) if fields["atlas"] else None
    if parent is not None:
        names = (*_RECORDS, "formats", "keywords", "kind", "atlas")
        shared = {name: getattr(parent, name) for name in names} | shared
    else:
        shared = dict.fromkeys(("licenses", "contributors", "sources"), ()) | shared
    return shared


def vocabulary_fault(branch: Branch) -> tuple[tuple[str, ...], str] | None:
    """What a branch says that cannot be together: the fields it may be written in, and a sentence; None if all can.

    A kind has some fields and not others; ids of the mouse's atlas are for mice.
    """
    if (kind := KINDS.get(branch.kind or "")) is not None:
        stated = {field for field in SPECIAL_FIELDS | kind.required if getattr(branch, field)}
        for field in sorted((stated & SPECIAL_FIELDS) - kind.fields):
            fault = f"a branch of kind {branch.kind} has no {field}: take it out, or state it empty if it is inherited"
            return (field, "kind"), fault
        for field in sorted(kind.required - stated):
            return (field, "kind"), f"expected {field} of a branch of kind {branch.kind}, got none, not even inherited"
    mouse_only = [term.id for term in branch.brain_regions if term.id and term.id.startswith("MBA:")]
    if mouse_only and branch.species and all(term.id != _MOUSE for term in branch.species):
        species = branch.species[0].label
        fault = f"{mouse_only[0]} is of the Allen Mouse Brain Atlas, but the species is {species}: state UBERON ids"
        return ("brain_regions", "species"), fault
    return None


def _as_arguments(item: Mapping[str, Any]) -> dict[str, Any]:
    """Data Package's `givenName` is our `given_name`, and lists are tuples."""
    return {
        _CAMEL_HUMP.sub("_", key).lower(): tuple(value) if isinstance(value, list) else value
        for key, value in item.items()
    }


def default_name(path: str) -> str:
    """The name of a branch that states none: its path in lower case, `/` as `.`, and `-` for whatever no name has.

    Empty for a path without a letter or digit that a name can have.
    """
    return re.sub(r"[^a-z0-9.-]+", "-", path.lower().replace("/", ".")).strip("-.")


def default_dataset_id(catalogue_id: str, path: str) -> str:
    """The DataLad id of a branch that states none: UUIDv5 of `NAMESPACE` and `<catalogue id>/<path>`."""
    return str(uuid.uuid5(NAMESPACE, f"{catalogue_id}/{path}"))


def path_fault(path: str) -> str | None:
    """Why no branch can have that path, as half a sentence; None if it can.

    A branch is a folder of S3 keys, a submodule of git and a word of selections (`BRANCH@VERSION:PATH`) at once.
    """
    if len(path.encode(errors="replace")) > _PATH_MAX_BYTES:
        return f"expected a path of at most {_PATH_MAX_BYTES} bytes"
    return next((fault for component in path.split("/") if (fault := _component_fault(component))), None)


def _component_fault(component: str) -> str | None:
    faults = (
        (component in {"", ".", ".."}, f"expected names between single slashes, got {component!r} as one of them"),
        (any(sign in component for sign in "@:\\"), "expected no `@`, `:` or backslash in it"),
        (any(unicodedata.category(sign) in _UNPRINTABLE for sign in component), "expected no control characters in it"),
        (
            len(component.encode(errors="replace")) > MAX_PART_BYTES,
            f"expected at most {MAX_PART_BYTES} bytes between slashes",
        ),
        # git: "submodule path … may be interpreted as a command-line option".
        (component.startswith("-"), f"expected no `-` at the beginning of {component!r}: git takes it for an option"),
        # Where a child is mounted, a key of that name gets its first character escaped: `%` is escaped already.
        (component.startswith("%"), f"expected no `%` at the beginning of {component!r}: renamed files begin so"),
    )
    fault = next((fault for is_fault, fault in faults if is_fault), None)
    # `%` is escaped wherever it stands; any other change of the name says that the name is not free.
    if not fault and (
        fold(component) in _RESERVED or _UNRENAMED.mount_path(component) != component.replace("%", "%25")
    ):
        return f"{component!r} is a name kept for git, DataLad or opendata"
    return fault
