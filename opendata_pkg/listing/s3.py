"""Listing an S3 bucket: with versions where that is allowed, and only those versions that readers can fetch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from botocore.exceptions import ClientError

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.bucket import AccessDeniedError, error_code, error_status
from opendata_pkg.listing.checkpoint import Checkpoint, remove_checkpoint
from opendata_pkg.listing.near import near_prefixes
from opendata_pkg.listing.pages import BadMarkerError, watch
from opendata_pkg.listing.spread import list_entries
from opendata_pkg.listing.versions import (
    ENTRY_SCHEMA,
    ChangedWhileListingError,
    NoHistoryError,
    Resolved,
    resolve,
)
from opendata_pkg.model import NotFoundError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.snapshot.rows import SCHEMA
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from opendata_pkg.listing.bucket import Bucket

Versions = Literal["auto", "yes", "no"]
"""Whether to list versions: if it is allowed, in any case, or not at all."""

# Answers that mean "you may not" or "I cannot", as opposed to "it went wrong".
_NOT_ALLOWED_STATUSES = {403, 405, 501}
_NOT_FOUND_STATUS = 404


class NothingThereError(NotFoundError):
    """A bucket, or a prefix of it, has no object."""


class VersionsNotAllowedError(AccessDeniedError):
    """Versions were asked for, and the server does not give them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Listing:
    """The objects of a bucket as rows in the columns of a snapshot, in the order of keys, and how they were found.

    `started` is when the listing began, where it went on with one that was interrupted.
    """

    table: pa.Table
    method: Literal["ListObjectVersions", "ListObjectsV2"]
    started: datetime | None = None
    older_versions: int = 0
    delete_markers: int = 0
    unaddressable: int = 0
    notes: tuple[str, ...] = ()


def list_bucket(
    bucket: Bucket,
    *,
    prefixes: Sequence[str] = (),
    versions: Versions = "auto",
    as_of: datetime | None = None,
    jobs: int = 1,
    checkpoint: Path | None = None,
    folder: Path | None = None,
    reporter: Reporter = SILENT,
) -> S3Listing:
    """List the objects whose keys begin with any of `prefixes` (all, if there are none), `jobs` requests at a time.

    Pages are kept in the file `checkpoint` as they come, and a listing that is there already is gone on with. The file
    stays until `remove_checkpoint`, unless what was listed cannot be used. What is too much for memory waits in
    `folder`, in files without a name.

    Raises:
        OtherListingError: the checkpoint is of a listing with other options.
        NothingThereError: a prefix has no object; names those that are spelled alike.
        VersionsNotAllowedError: `versions="yes"` or `as_of`, and they may not be listed or read.
        NoHistoryError: `as_of`, and the bucket keeps no versions.
        ChangedWhileListingError: its pages contradict each other.
        SourceError: the server refused or did not answer.
    """
    wanted = tuple(prefixes) or ("",)
    watch(bucket)
    notes: list[str] = []
    with_versions = versions != "no" and _can_list_versions(bucket, wanted[0])
    if not with_versions and (versions == "yes" or as_of is not None):
        raise VersionsNotAllowedError(
            f"{bucket.where} does not let {_who(bucket)} list versions (s3:ListBucketVersions): "
            + ("scan it as it is now, without --as-of" if as_of is not None else "scan with --versions no")
        )
    if versions == "auto" and not with_versions:
        notes.append(f"versions may not be listed by {_who(bucket)}: the current objects were, without version ids")
    reporter.start(f"listing {bucket.where}", unit="objects")
    apart = without_covered(wanted)
    started = None
    with SortedRows(ENTRY_SCHEMA, folder=folder) as entries:
        listing = partial(
            list_entries, bucket, apart, entries, with_versions=with_versions, jobs=jobs, reporter=reporter
        )
        if checkpoint is None:
            listing()
        else:
            options = {"bucket": bucket.where, "prefixes": apart, "versions": with_versions}
            with Checkpoint.open(checkpoint, options, reporter=reporter) as keeper:
                started = keeper.started
                try:
                    listing(keeper=keeper)
                except BadMarkerError as error:
                    raise BadMarkerError(f"{error}: delete {checkpoint} to begin the scan anew") from error
        reporter.finish()
        try:
            found = resolve(entries.batches(), as_of=as_of, folder=folder)
            _check_not_empty(bucket, found.table, wanted, as_of)
        except (ChangedWhileListingError, NoHistoryError, NothingThereError):
            # Going on would end in the same way.
            if checkpoint is not None:
                remove_checkpoint(checkpoint)
            raise
    table, version_notes = _drop_unreadable_versions(bucket, found.table, as_of) if with_versions else (found.table, ())
    return S3Listing(
        table=_as_snapshot_columns(table),
        method="ListObjectVersions" if with_versions else "ListObjectsV2",
        started=started,
        older_versions=found.older_versions,
        delete_markers=found.delete_markers,
        unaddressable=found.unaddressable,
        notes=(*notes, *version_notes, *_history_notes(found), *_prefix_notes(table, wanted)),
    )


def without_covered(prefixes: Iterable[str]) -> list[str]:
    """The prefixes that no other one covers, so that nothing is listed twice."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


def are_versions_readable(statuses: Sequence[tuple[int, int]], *, is_anonymous_scan: bool) -> tuple[bool, str | None]:
    """Whether URLs with versionIds are of use, and a note on it.

    `statuses` are what anybody gets (HTTP) for sample objects: with their versionId, and plain. Reading versions is a
    permission of its own (s3:GetObjectVersion), which buckets that let everybody list them may not give.
    """
    telling = [(versioned, plain) for versioned, plain in statuses if versioned != _NOT_FOUND_STATUS]
    if all(versioned < 400 for versioned, _ in telling):  # noqa: PLR2004 - HTTP: errors begin there
        return True, None
    if is_anonymous_scan or any(plain < 400 for _, plain in telling):  # noqa: PLR2004
        return False, "versions can be listed but not read without credentials: version ids were left out"
    return True, "the objects cannot be read without credentials: neither can the URLs of this snapshot"


def _who(bucket: Bucket) -> str:
    return "anonymous users" if bucket.is_anonymous else f"profile {bucket.profile}"


def _can_list_versions(bucket: Bucket, prefix: str) -> bool:
    with bucket.errors_in_words():
        try:
            bucket.client.list_object_versions(Bucket=bucket.name, Prefix=prefix, MaxKeys=1)
        except ClientError as error:
            if error_status(error) in _NOT_ALLOWED_STATUSES or error_code(error) == "NotImplemented":
                return False
            raise
    return True


def _as_snapshot_columns(table: pa.Table) -> pa.Table:
    nothing = {name: pa.nulls(len(table), pa.string()) for name in ("sha256", "md5")}
    columns = [nothing[name] if name in nothing else table[name] for name in SCHEMA.names]
    return pa.table(columns, schema=SCHEMA)


def _drop_unreadable_versions(
    bucket: Bucket, table: pa.Table, as_of: datetime | None
) -> tuple[pa.Table, tuple[str, ...]]:
    real = pc.indices_nonzero(pc.not_equal(table["version_id"], "null"))
    if not len(real):
        return table, ("the objects have no version ids: they can be overwritten without a trace",)
    # A permission may hold for a part of the bucket only, so three far from each other are tried.
    rows = [real[place].as_py() for place in sorted({0, len(real) // 2, len(real) - 1})]
    anybody = bucket.as_anybody()
    statuses = [_head_statuses(anybody, table["key"][row].as_py(), table["version_id"][row].as_py()) for row in rows]
    readable, note = are_versions_readable(statuses, is_anonymous_scan=bucket.is_anonymous)
    if not readable:
        if as_of is not None:
            raise VersionsNotAllowedError(
                f"{bucket.where} lets everybody list versions but not read them (s3:GetObjectVersion): "
                f"the bytes of {format_time(as_of)} have no address. Scan without --as-of, or ask its owner"
            )
        index = ENTRY_SCHEMA.names.index("version_id")
        table = table.set_column(index, ENTRY_SCHEMA.field(index), pa.nulls(len(table), pa.string()))
    return table, () if note is None else (note,)


def _head_statuses(bucket: Bucket, key: str, version_id: str) -> tuple[int, int]:
    def status(**version: str) -> int:
        with bucket.errors_in_words():
            try:
                request: dict[str, Any] = {"Bucket": bucket.name, "Key": key, **version}
                return int(bucket.client.head_object(**request)["ResponseMetadata"]["HTTPStatusCode"])
            except ClientError as error:
                return error_status(error)

    return status(VersionId=version_id), status()


def _history_notes(found: Resolved) -> tuple[str, ...]:
    if not found.unaddressable:
        return ()
    note = (
        f"left out: {counted(found.unaddressable, 'key')} with bytes at that time that no address can bring any more "
        "(versions `null`, since overwritten)"
    )
    return (note,)


def _prefix_notes(table: pa.Table, prefixes: Sequence[str]) -> tuple[str, ...]:
    """Say where a prefix without a final slash caught more than the folder that was probably meant."""
    notes = []
    for prefix in prefixes:
        if not prefix or prefix.endswith("/"):
            continue
        keys = table["key"]
        below = pc.or_(pc.equal(keys, prefix), pc.starts_with(keys, f"{prefix}/"))
        others = keys.filter(pc.and_(pc.starts_with(keys, prefix), pc.invert(below)))
        if len(others) and len(others) < len(table):
            notes.append(
                f"prefix {prefix!r} also took {counted(len(others), 'object')} beside that folder, such as "
                f"{others[0].as_py()!r}: for the folder alone write {prefix + '/'!r}"
            )
    return tuple(notes)


def _check_not_empty(bucket: Bucket, table: pa.Table, prefixes: Sequence[str], as_of: datetime | None) -> None:
    for prefix in prefixes:
        if pc.any(pc.starts_with(table["key"], prefix)).as_py():
            continue
        when = "" if as_of is None else f" at {format_time(as_of)}"
        if not prefix:
            raise NothingThereError(f"{bucket.where} has no objects{when}: check the bucket's name")
        near = near_prefixes(bucket, prefix)
        advice = "spelled alike: " + ", ".join(near) if near else "nothing there is spelled alike"
        raise NothingThereError(f"{bucket.where} has no object whose key begins with {prefix!r}{when}; {advice}")
