"""What a dataset says of itself: Frictionless descriptor and DataLad's files. Pure: text out.

Nothing that goes into a dataset's tree depends on the version, on the snapshot, or on other datasets' objects; what
does is added by `released_descriptor` for the release's folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.documents import dump_json, shipped
from opendata_pkg.urls import aws_bucket
from opendata_pkg.vocabulary import FIRST_PATH, profile_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opendata_pkg.catalogue.branch import Branch, Term
    from opendata_pkg.written import ContentDigest, Totals

SCHEMA_PATH = "_opendata/files.tableschema.json"
SHARD_FOLDER = "_opendata/files/"
README_RESOURCE = {"name": "readme", "path": "README.md", "format": "md", "mediatype": "text/markdown"}

# Metadata stay in git, whatever a reader adds to the clone later; the rest goes to the annex, as DataLad sets it up.
GITATTRIBUTES = """\
* annex.backend=SHA256E
**/.git* annex.largefiles=nothing
.datalad/** annex.largefiles=nothing
_opendata/** annex.largefiles=nothing
CITATION.cff annex.largefiles=nothing
README.md annex.largefiles=nothing
datapackage.json annex.largefiles=nothing
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """What a descriptor says of one CSV file; `first_path`, of a shard, tells readers which paths are in it."""

    name: str
    size_bytes: int
    sha256: str
    first_path: str | None = None


def descriptor(
    branch: Branch,
    *,
    totals: Totals,
    digest: ContentDigest,
    base_url: str,
    shards: Iterable[ShardInfo],
    readme: bool,
) -> dict[str, Any]:
    """The `datapackage.json` in a dataset's tree (Data Package 2.0). `readme`: whether our README.md is there."""
    resources: list[dict[str, Any]] = [
        table_resource(f"files-{shard.name.removesuffix('.csv')}", f"{SHARD_FOLDER}{shard.name}", shard, SCHEMA_PATH)
        | {FIRST_PATH: shard.first_path}
        for shard in shards
    ]
    if readme:
        resources.append(README_RESOURCE)
    bucket, region = aws_bucket(base_url) or (None, None)
    return branch_properties(branch) | {
        "od:storage": _present(baseUrl=base_url, bucket=bucket, region=region, prefix=branch.prefix),
        "od:totals": {
            "files": totals.files,
            "bytes": totals.size_bytes,
            "unknownSizes": totals.unknown_sizes,
            "grades": dict(totals.grades),
        },
        "od:contentDigest": f"sha256:{digest.sha256}",
        "resources": resources,
    }


def branch_properties(branch: Branch) -> dict[str, Any]:
    """What a descriptor says of the branch itself, in its order (docs/reference/profiles.md); all but `resources`."""
    document: dict[str, Any] = {
        "$schema": profile_url(branch.kind),
        "name": branch.name,
        "id": f"urn:uuid:{branch.dataset_id}",
        "title": branch.title,
        "description": branch.description,
        "keywords": list(branch.keywords),
        "licenses": [
            _present(name=x.name, title=x.title, path=x.path) | _present(**{"od:source": x.source})
            for x in branch.licenses
        ],
        "contributors": [contributor(x) for x in branch.contributors],
        "sources": [_present(title=x.title, path=x.path, version=x.version) for x in branch.sources],
        "od:kind": branch.kind,
        "od:branch": branch.path or ROOT,
        "od:species": _terms(branch.species),
        "od:brainRegions": _terms(branch.brain_regions),
        "od:cellClasses": _terms(branch.cell_classes),
        "od:ionChannels": [_present(family=x.family, genes=list(x.genes) or None) for x in branch.ion_channels],
        "od:atlas": branch.atlas
        and _present(version=branch.atlas.version, resolutionMicrometres=branch.atlas.resolution_um),
        "od:formats": [{"format": x.name, "mediatype": x.media_type} for x in branch.formats],
        "od:related": [_present(relationType=x.relation_type, id=x.id, title=x.title) for x in branch.related],
        "od:evidence": branch.evidence and {"kind": branch.evidence.kind, "source": branch.evidence.source},
    }
    # An empty list says nothing, and the official profile refuses it.
    return {name: value for name, value in document.items() if value}


def table_resource(name: str, path: str, file: ShardInfo, schema: str) -> dict[str, Any]:
    """A CSV file as a resource, with its size and digest."""
    return {
        "name": name,
        "type": "table",
        "path": path,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": file.size_bytes,
        "hash": f"sha256:{file.sha256}",
        "schema": schema,
    }


def released_descriptor(document: Mapping[str, Any], *, version: str, created: str) -> dict[str, Any]:
    """The descriptor of a release's folder: the one in the tree with version and date, paths as they are there."""
    released: dict[str, Any] = {}
    for key, value in document.items():
        released[key] = value
        if key == "id":
            released |= {"version": version, "created": created}
    released["resources"] = [
        resource
        | {"path": resource["path"].removeprefix("_opendata/")}
        | ({"schema": SCHEMA_PATH.removeprefix("_opendata/")} if "schema" in resource else {})
        for resource in document["resources"]
    ]
    return released


def contributor(entry: Any) -> dict[str, Any]:
    """A contributor as Data Package 2.0 writes it."""
    return _present(
        title=entry.title,
        roles=list(entry.roles) or None,
        givenName=entry.given_name,
        familyName=entry.family_name,
        organization=entry.organization,
        path=entry.path,
        email=entry.email,
    )


def datalad_config(branch: Branch) -> str:
    """`.datalad/config`: what makes the repository a DataLad dataset."""
    return f'[datalad "dataset"]\n\tid = {branch.dataset_id}\n'


def gitmodules(children: Iterable[tuple[str, Branch]]) -> str:
    """`.gitmodules` of (mount path, child): relative URLs, so that a store works wherever it is served from."""
    parts = []
    for mount, child in children:
        url = f"../{child.name}.git"
        parts.append(
            f'[submodule "{child.name}"]\n\tpath = {_config_value(mount)}\n\turl = {url}\n'
            f"\tdatalad-id = {child.dataset_id}\n\tdatalad-url = {url}\n"
        )
    return "".join(parts)


def table_schema() -> bytes:
    """The Table Schema of inventories, as it goes into every dataset."""
    return (shipped("schemas") / "files.tableschema.json").read_bytes()


def shard_info(name: str, data: bytes, first_path: str | None = None) -> ShardInfo:
    """A CSV file as a descriptor names it."""
    return ShardInfo(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), first_path=first_path)


def render_descriptor(document: Mapping[str, Any]) -> bytes:
    """A descriptor's bytes."""
    return dump_json(document).encode()


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _terms(terms: Iterable[Term]) -> list[dict[str, Any]]:
    return [_present(id=term.id, label=term.label) for term in terms]


def _config_value(text: str) -> str:
    # git-config(1): a value with `#`, `;`, quotes or outer spaces stands in double quotes, `"` and `\` escaped.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
