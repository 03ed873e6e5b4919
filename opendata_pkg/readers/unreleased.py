"""A bucket, or a snapshot, as one dataset: released in a store for the moment by the code that writes every store.

Nothing of that release is to be told to anybody: it has no number that others know, and the store is thrown away. What
stays is the commit, which the same objects give again on every machine.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.branch import NAME_MAX, ROOT, default_name, path_fault
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.citation.text import licence_words
from opendata_pkg.documents import FORMAT
from opendata_pkg.model import Grade, InputError, NotFoundError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.rows import SCHEMA
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.targets.store import open_dataset
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.building.built import BuildResult
    from opendata_pkg.targets.snapshot import SnapshotTarget
    from opendata_pkg.targets.store import StoreTarget

_VERSION = "0.0.0"
# Of the store's root, which is nobody's; and the time of a commit where no object has a date.
_ROOT_ID, _EPOCH = "unreleased", "2000-01-01T00:00:00Z"


class NoDatasetError(InputError):
    """A prefix that cannot be the folder of a dataset."""


class NoFilesError(NotFoundError):
    """There are objects, but none of them is a file."""


def as_dataset(target: SnapshotTarget, store: Path, *, reporter: Reporter = SILENT) -> StoreTarget:
    """The target's objects as a dataset of a new store at the path `store`; paths are relative to the target's folder.

    Branches that its catalogue declares are no datasets of their own: a bucket as it is has no releases of them.

    Raises:
        NoDatasetError: the folder cannot be a dataset's.
        NotFoundError: there are no objects, or none that is a file.
        InputError: a snapshot does not say where readers fetch its objects.
    """
    path = target.folder.removesuffix("/")
    if path and (fault := path_fault(path)) is not None:
        raise NoDatasetError(
            f"{target.where} cannot be a dataset: {fault}; clone a folder above it, with --include for what is meant"
        )
    rows = target.rows
    snapshot = rows if isinstance(rows, Snapshot) else Snapshot.collect(rows.batches(SCHEMA.names), rows.header)
    built = build(snapshot, catalogue_of(target), store, allow_undigested="**", reporter=reporter)
    _say_what_is_known(built, path, target.where, reporter)
    _say_terms(target, reporter)
    release(_VERSION, store, reporter=reporter)
    made = open_dataset(path or ROOT, store, endpoint_url=None, offline=True)
    origin = replace(target.origin, commit=made.origin.commit, date=made.origin.date)
    return replace(made, origin=origin, path=target.path)


def catalogue_of(target: SnapshotTarget) -> Catalogue:
    """A catalogue of one branch, the target's folder; it depends on nothing but the bucket and what was listed of it.

    The dataset's id is a UUIDv5 of the folder's address, and of prefixes that were listed of it, where it was in part.
    """
    header, path = target.rows.header, target.folder.removesuffix("/")
    place = f"s3://{header.bucket}/" if header.bucket else header.base_url or header.source
    parts = sorted(prefix for prefix in header.prefixes if prefix.removesuffix("/") != path)
    title = place + path
    branch: dict[str, Any] = {
        "name": default_name(title.partition("://")[2])[:NAME_MAX].strip("-."),
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join([place + target.folder, *parts]))),
        "title": title,
        "description": "The objects of this address as they were found there: of no release, and without a version.",
    }
    document = {"format": FORMAT, "id": _ROOT_ID, "title": title, "epoch": _EPOCH, "licenses": []}
    document |= {"branches": {path: branch}} if path else branch
    return Catalogue.parse(json.dumps(document, ensure_ascii=False).encode(), target.where)


def _say_terms(target: SnapshotTarget, reporter: Reporter) -> None:
    """Tell the licences that `pin` and `cite` name: not in the dataset, whose commit depends on no catalogue."""
    names = dict.fromkeys(terms.name or terms.title or terms.path for terms in target.select().licenses())
    if target.catalogue is not None and names:
        reporter.message(
            f"{licence_words(name for name in names if name)}, as the catalogue {target.catalogue.id} says; "
            "the clone itself states none"
        )


def _say_what_is_known(built: BuildResult, path: str, where: str, reporter: Reporter) -> None:
    totals = next((entry.totals for entry in built.datasets if entry.branch == path), None)
    if totals is None or not totals.files:
        raise NoFilesError(f"{where} holds no files, only {', '.join(built.left_out)}: name another prefix or snapshot")
    undigested = totals.grades[Grade.VERSIONED.value] + totals.grades[Grade.MUTABLE.value]
    if undigested:
        reporter.message(
            f"without a digest: {undigested:,} of {counted(totals.files, 'file')}, so that nobody can check their "
            f"bytes ({totals.grades[Grade.MUTABLE.value]:,} of them can be overwritten): opendata scan, then opendata "
            "hash, make a snapshot with digests, to clone in place of the bucket"
        )
