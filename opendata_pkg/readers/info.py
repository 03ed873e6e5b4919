"""What is known of a branch: by its catalogue, and by the releases of a store. JSON values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.dataset.descriptor import branch_properties
from opendata_pkg.snapshot.header import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.catalogue.branch import Branch
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.selection import SelectedFile, Selection
    from opendata_pkg.store.published import PublishedStore
    from opendata_pkg.store.state import DatasetEntry, State


def describe_branch(catalogue: Catalogue, branch: Branch) -> dict[str, Any]:
    """A branch as its catalogue has it; `descriptor` is what a data package says of it (docs/reference/profiles.md)."""
    return {
        "branch": branch.path or ROOT,
        "mount": branch.mount_in_parent or ROOT,
        "parent": None if branch.parent is None else branch.parent or ROOT,
        "branches": list(branch.children),
        "branches_below": sum(1 for _ in catalogue.walk(branch.path)) - 1,
        "formerly": list(branch.formerly),
        "descriptor": branch_properties(branch),
    }


def describe_dataset(store: PublishedStore, state: State, entry: DatasetEntry) -> dict[str, Any]:
    """A dataset as it is in one release, and in which releases it has been; `changed` tells those with a new commit."""
    return {
        "version": state.version,
        "date": None if state.version is None else store.date_of(state.version),
        "snapshot": state.snapshot,
        "commit": entry.written.commits.main,
        "content_digest": f"sha256:{entry.written.digest.sha256}",
        "undigested": entry.written.digest.incomplete,
        "subtree_digest": f"sha256:{entry.subtree_digest.sha256}",
        "subtree_undigested": entry.subtree_digest.incomplete,
        "artefacts": entry.artefacts,
        **figures(entry),
        "versions": list(describe_versions(store, entry.dataset_id)),
    }


def describe_versions(store: PublishedStore, dataset_id: str) -> Iterator[dict[str, Any]]:
    """The releases that a dataset has been in, oldest first; `branch` is what it was called then (`.`: the root)."""
    for release in store.index()["releases"]:
        version = release["version"]
        found = by_id(store.release(version)).get(dataset_id)
        if found is not None:
            yield {
                "version": version,
                "date": release["date"],
                "branch": found.branch or ROOT,
                "changed": found.changed,
                "commit": found.written.commits.main,
                **figures(found),
            }


def figures(entry: DatasetEntry) -> dict[str, Any]:
    """How much a dataset holds: its own files with their grades, and all at or below it."""
    totals = entry.written.totals
    return {
        "files": totals.files,
        "bytes": totals.size_bytes,
        "unknown_sizes": totals.unknown_sizes,
        "grades": dict(totals.grades),
        "subtree_files": entry.subtree_files,
        "subtree_bytes": entry.subtree_bytes,
    }


def describe_selection(selection: Selection) -> dict[str, Any]:
    """Where a selection is from, how much it holds, and its digest; of a single file, all that is known of it."""
    origin = selection.origin
    document = {
        "branch": origin.branch,
        "version": origin.version,
        "source": origin.source,
        "rules": selection.rules.to_dict(),
        "files": len(selection),
        "bytes": selection.size_bytes,
        "digest": selection.digest,
    }
    return document | describe_file(next(selection.files())) if len(selection) == 1 else document


def describe_file(file: SelectedFile) -> dict[str, Any]:
    """One file of a selection as JSON values; what is not known is None."""
    return {
        "path": file.path,
        "branch": file.branch or ROOT,
        "key": file.key,
        "bytes": file.size_bytes,
        "sha256": file.sha256,
        "md5": file.md5,
        "etag": file.etag,
        "version_id": file.version_id,
        "last_modified": None if file.last_modified is None else format_time(file.last_modified),
        "grade": file.grade.value,
        "url": file.url,
    }


def by_id(state: State) -> dict[str, DatasetEntry]:
    """The datasets of a release by what never changes of them, whatever their branches are called by now."""
    return {entry.dataset_id: entry for entry in state.datasets.values()}
