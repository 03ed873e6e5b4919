"""What a dataset says of itself: Frictionless descriptor, README, CITATION.cff and DataLad's files. Pure: text out.

Nothing that goes into a dataset's tree depends on the version, on the snapshot, or on other datasets' objects; what
does is added by `released_descriptor` and `citation` for the release's folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import dump_json, shipped
from opendata_pkg.urls import aws_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opendata_pkg.catalogue import Branch
    from opendata_pkg.inventory import ContentDigest, Totals

SCHEMA_PATH = "_opendata/files.tableschema.json"
SHARD_FOLDER = "_opendata/files/"
_PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"

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
    """What a descriptor says of one shard."""

    name: str
    size_bytes: int
    sha256: str


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
        {
            "name": f"files-{shard.name.removesuffix('.csv')}",
            "type": "table",
            "path": f"{SHARD_FOLDER}{shard.name}",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "bytes": shard.size_bytes,
            "hash": f"sha256:{shard.sha256}",
            "schema": SCHEMA_PATH,
        }
        for shard in shards
    ]
    if readme:
        resources.append({"name": "readme", "path": "README.md", "format": "md", "mediatype": "text/markdown"})
    document: dict[str, Any] = {
        "$schema": _PROFILE,
        "name": branch.name,
        "id": f"urn:uuid:{branch.dataset_id}",
        "title": branch.title,
    }
    if branch.description:
        document["description"] = branch.description
    # An empty list says nothing, and the official profile refuses it.
    lists = {
        "licenses": [_present(name=x.name, title=x.title, path=x.path) for x in branch.licenses],
        "contributors": [contributor(x) for x in branch.contributors],
        "sources": [_present(title=x.title, path=x.path, version=x.version) for x in branch.sources],
    }
    document |= {field: values for field, values in lists.items() if values}
    document["od:branch"] = branch.path or "."
    bucket, region = aws_bucket(base_url) or (None, None)
    document["od:storage"] = _present(baseUrl=base_url, bucket=bucket, region=region, prefix=branch.prefix)
    document["od:totals"] = {
        "files": totals.files,
        "bytes": totals.size_bytes,
        "unknownSizes": totals.unknown_sizes,
        "grades": dict(totals.grades),
    }
    document["od:contentDigest"] = f"sha256:{digest.sha256}"
    document["resources"] = resources
    return document


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


def readme(branch: Branch, *, totals: Totals, digest: ContentDigest, children: Iterable[str]) -> str:
    """A README.md that tells a person what this is and how to get files out of it."""
    lines = [f"# {branch.title}", ""]
    if branch.description:
        lines += [branch.description, ""]
    lines.append(f"Branch `{branch.path or '.'}`, dataset `{branch.name}`, id `{branch.dataset_id}`.")
    lines.append("")
    if totals.files:
        unknown = f", {totals.unknown_sizes} of unknown size" if totals.unknown_sizes else ""
        lines.append(
            f"{totals.files} files, {totals.size_bytes} bytes{unknown}. `_opendata/files/` lists each with its digest."
        )
        lines.append(f"Content digest: `sha256:{digest.sha256}`")
    else:
        lines.append("No files of its own.")
    lines += ["", "## Get files", "", "```", "datalad get PATH        # or: git annex get PATH", "```", ""]
    lines.append("The data stay in their bucket; what arrives is checked against the digest in the file's key.")
    mounted = list(children)
    if mounted:
        lines += ["", "## Subdatasets", "", "Install one with `datalad get -n PATH`.", ""]
        lines += [f"- `{path}`" for path in mounted]
    if branch.licenses:
        lines += ["", "## Licence", ""]
        lines += [f"- {x.title or x.name or x.path}" + (f": {x.path}" if x.path else "") for x in branch.licenses]
    return "\n".join(lines) + "\n"


def citation(branch: Branch, *, digest: ContentDigest, version: str | None = None, date: str | None = None) -> str:
    """A CITATION.cff (1.2.0). Without version and date: the one in the tree, which no release changes by itself.

    YAML is written as JSON scalars, which are YAML too, so that no name can be misread.
    """
    note = f"; {digest.incomplete} files have no digest" if digest.incomplete else ""
    lines = [
        "cff-version: 1.2.0",
        "type: dataset",
        "message: If you use these data, please cite them as below.",
        f"title: {_scalar(branch.title)}",
        "authors:",
    ]
    creators = [x for x in branch.contributors if "creator" in x.roles] or list(branch.contributors)
    for entry in creators:
        if entry.family_name:
            lines.append(f"  - family-names: {_scalar(entry.family_name)}")
            if entry.given_name:
                lines.append(f"    given-names: {_scalar(entry.given_name)}")
        else:
            lines.append(f"  - name: {_scalar(entry.title)}")
    if not creators:
        # CFF wants an author; nobody is named, and none is invented.
        lines.append("  - name: Anonymous")
    lines += [
        "identifiers:",
        "  - type: other",
        f"    value: {_scalar(f'urn:uuid:{branch.dataset_id}')}",
        "    description: The dataset, in all its versions",
        "  - type: other",
        f"    value: {_scalar(f'sha256:{digest.sha256}')}",
        f"    description: {_scalar(f'Content digest of the files of this version{note}')}",
    ]
    spdx = [x.name for x in branch.licenses if x.name]
    if spdx:
        lines.append("license:")
        lines += [f"  - {_scalar(name)}" for name in spdx]
    if version:
        lines.append(f"version: {_scalar(version)}")
    if date:
        lines.append(f"date-released: {_scalar(date)}")
    return "\n".join(lines) + "\n"


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


def shard_info(name: str, data: bytes) -> ShardInfo:
    """A shard as a descriptor names it."""
    return ShardInfo(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def render_descriptor(document: Mapping[str, Any]) -> bytes:
    """A descriptor's bytes."""
    return dump_json(document).encode()


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _scalar(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _config_value(text: str) -> str:
    # git-config(1): a value with `#`, `;`, quotes or outer spaces stands in double quotes, `"` and `\` escaped.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
