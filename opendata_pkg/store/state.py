"""What a release or draft holds: its datasets, what they were built from, and what was left out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import FORMAT
from opendata_pkg.model import ObjectId
from opendata_pkg.written import Commits, ContentDigest, Totals, Written

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """One dataset in a release or draft: what was written, and where its artefacts are.

    `artefacts` is a folder of the store, of the release in which the dataset last changed. The subtree's figures cover
    the dataset and all below it. `descriptor` is the SHA-256 of `datapackage.json` there, None in a draft: all that a
    reader transfers is bound by it, since it names the digests of the rest.
    """

    branch: str
    name: str
    dataset_id: str
    parent: str | None
    written: Written
    subtree_files: int
    subtree_bytes: int
    subtree_digest: ContentDigest
    changed: bool
    artefacts: str
    descriptor: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON values."""
        written = self.written
        return {
            "name": self.name,
            "id": self.dataset_id,
            "parent": self.parent,
            "commit": written.commits.main,
            "annex_commit": written.commits.annex,
            "time": written.commits.time,
            "changed": self.changed,
            "artefacts": self.artefacts,
            "descriptor": None if self.descriptor is None else f"sha256:{self.descriptor}",
            "files": written.totals.files,
            "bytes": written.totals.size_bytes,
            "unknown_sizes": written.totals.unknown_sizes,
            "grades": dict(written.totals.grades),
            "content_digest": f"sha256:{written.digest.sha256}",
            "undigested": written.digest.incomplete,
            "subtree_files": self.subtree_files,
            "subtree_bytes": self.subtree_bytes,
            "subtree_digest": f"sha256:{self.subtree_digest.sha256}",
            "subtree_undigested": self.subtree_digest.incomplete,
            "borrowed_urls": written.borrowed,
        }

    @classmethod
    def from_dict(cls, branch: str, document: Mapping[str, Any]) -> DatasetEntry:
        """The inverse of `to_dict`."""

        def digest(prefix: str) -> ContentDigest:
            field = "content_digest" if not prefix else f"{prefix}digest"
            return ContentDigest(
                sha256=document[field].removeprefix("sha256:"), incomplete=document[f"{prefix}undigested"]
            )

        return cls(
            branch=branch,
            name=document["name"],
            dataset_id=document["id"],
            parent=document["parent"],
            written=Written(
                commits=Commits(
                    main=ObjectId(document["commit"]),
                    annex=ObjectId(document["annex_commit"]),
                    time=document["time"],
                ),
                totals=Totals(
                    files=document["files"],
                    size_bytes=document["bytes"],
                    unknown_sizes=document["unknown_sizes"],
                    grades=document["grades"],
                ),
                digest=digest(""),
                borrowed=document["borrowed_urls"],
            ),
            subtree_files=document["subtree_files"],
            subtree_bytes=document["subtree_bytes"],
            subtree_digest=digest("subtree_"),
            changed=document["changed"],
            artefacts=document["artefacts"],
            descriptor=None if document["descriptor"] is None else document["descriptor"].removeprefix("sha256:"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All datasets of a draft or release, by branch path; from which snapshot and catalogue; what was left out.

    `version` is None in a draft until it is being released. `complete` is False for a draft of some branches only.
    """

    version: str | None
    snapshot: str
    catalogue: str
    catalogue_id: str
    complete: bool
    datasets: Mapping[str, DatasetEntry]
    left_out: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON values, `releases/<version>/index.json`."""
        return {
            "format": FORMAT,
            "version": self.version,
            "snapshot": self.snapshot,
            "catalogue": {"id": self.catalogue_id, "sha256": self.catalogue},
            "complete": self.complete,
            "left_out": dict(self.left_out),
            "datasets": {path or ".": entry.to_dict() for path, entry in self.datasets.items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> State:
        """The inverse of `to_dict`."""
        paths = {("" if path == "." else path): entry for path, entry in document["datasets"].items()}
        return cls(
            version=document["version"],
            snapshot=document["snapshot"],
            catalogue=document["catalogue"]["sha256"],
            catalogue_id=document["catalogue"]["id"],
            complete=document["complete"],
            left_out=document["left_out"],
            datasets={path: DatasetEntry.from_dict(path, entry) for path, entry in paths.items()},
        )


def with_version(state: State, version: str) -> State:
    """The draft as the release it becomes: its changed datasets' artefacts stand in that release's folder."""
    return replace(
        state,
        version=version,
        datasets={
            path: replace(entry, artefacts=f"releases/{version}/{entry.name}/") if entry.changed else entry
            for path, entry in state.datasets.items()
        },
    )
