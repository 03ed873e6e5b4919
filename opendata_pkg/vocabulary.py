"""The words that descriptors are written in: kinds of data with the fields each has, and media types of formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILES_URL = "https://opendata-pkg.invalid/schemas/1.0/"
"""What the ids of our profiles begin with. `.invalid` is nobody's, for ever (RFC 6761): docs/reference/profiles.md."""

DATA_PACKAGE_URL = "https://datapackage.org/profiles/2.0/datapackage.json"
"""The official profile of Data Package 2.0, which has no `$id` of its own."""

GENERAL_PROFILE = "branch"
"""The profile of a branch without a kind, or of a kind that only its own catalogue knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of data. `fields` are those of a branch that not every kind has; `required` is what it cannot do without.

    Both are spelled as in a catalogue. The kind's profile in schemas/profiles says the same of descriptors.
    """

    description: str
    fields: frozenset[str]
    required: frozenset[str] = frozenset()


SPECIAL_FIELDS = frozenset({"cell_classes", "ion_channels", "atlas"})
"""Fields of a branch that only some kinds have."""

_CELLS = frozenset({"cell_classes"})
_CHANNELS = frozenset({"ion_channels"})

KINDS: Mapping[str, Kind] = {
    "morphology": Kind(
        description="Reconstructed shapes of cells: trees of points with radii.", fields=_CELLS, required=_CELLS
    ),
    "electrophysiology": Kind(description="Recordings of the electrical activity of cells.", fields=_CELLS | _CHANNELS),
    "ion-channel": Kind(
        description="Recordings of ion channels, by family.", fields=_CELLS | _CHANNELS, required=_CHANNELS
    ),
    "imaging": Kind(description="Microscope images of brain tissue.", fields=_CELLS),
    "atlas": Kind(
        description="Volumes and ontologies that share one space: what is where in a brain.",
        fields=frozenset({"atlas"}),
        required=frozenset({"species", "brain_regions"}),
    ),
    "density": Kind(
        description="How many cells, boutons or cells of a type there are, and where.", fields=_CELLS | {"atlas"}
    ),
    "transcriptomics": Kind(description="Gene expression of cells or tissue.", fields=_CELLS),
    "neuron-model": Kind(
        description="Models of neurons and of their parts: shape, electrical behaviour, synapses, ion channels.",
        fields=_CELLS | _CHANNELS,
    ),
    "circuit": Kind(description="Models of networks of cells and of their connectivity.", fields=_CELLS),
    "simulation": Kind(description="Simulations of models: configurations, results and their analysis.", fields=_CELLS),
    "media": Kind(description="Images and videos made to be looked at.", fields=_CELLS | _CHANNELS),
    "literature": Kind(description="Data taken from the literature.", fields=_CELLS | _CHANNELS),
    "collection": Kind(description="A folder of branches of several kinds.", fields=SPECIAL_FIELDS),
}
"""Kinds that have a profile of their own. A catalogue may add more under `kinds:`, with the general profile."""

MEDIA_TYPES: Mapping[str, str] = {
    "abf": "application/abf",
    "asc": "application/asc",
    "csv": "text/csv",
    "h5": "application/x-hdf5",
    "hoc": "application/hoc",
    "jpg": "image/jpeg",
    "json": "application/json",
    "mod": "application/mod",
    "mp4": "video/mp4",
    "nrrd": "application/nrrd",
    "nwb": "application/nwb",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "swc": "application/swc",
    "tif": "image/tiff",
    "tsv": "text/tab-separated-values",
    "txt": "text/plain",
    "xml": "application/xml",
    "zip": "application/zip",
}
"""Media types by format, a file's extension in lower case. Those of neuroscience have none registered with IANA: these
are what the Open Brain Institute's platform uses. A catalogue may add others under `media_types:`."""


def profile_url(kind: str | None) -> str:
    """The `$schema` of a descriptor of that kind."""
    return f"{PROFILES_URL}{kind if kind in KINDS else GENERAL_PROFILE}.json"


FIRST_PATH = "od:firstPath"
"""The path in a shard's first row: shards come in path order, so a reader of some paths needs only some of them."""
