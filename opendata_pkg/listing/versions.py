"""Which entries of a bucket's listing are its objects, now or at a time of the past. No network: tables in and out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.model import InputError, SourceError
from opendata_pkg.snapshot import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

ENTRY_SCHEMA = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("key", "version_id", "size", "etag", "last_modified", "storage_class")),
        pa.field("is_latest", pa.bool_(), nullable=False),
        pa.field("is_marker", pa.bool_(), nullable=False),
    ]
)
"""Columns of a listing: versions and delete markers as the server lists them, newest first for each key."""

Entry = tuple["str", "str | None", "int | None", "str | None", "datetime | None", "str | None", bool, bool]
"""One row of `ENTRY_SCHEMA`."""

_BATCH_ROWS = 20_000


class ChangedWhileListingError(SourceError):
    """The pages of a listing contradict each other: the bucket changed between them."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the bucket changed while it was being listed (at {key!r}): scan again")


class NoHistoryError(InputError):
    """A time of the past was asked of a bucket that keeps no versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Objects out of a listing's entries.

    `table` has the columns of `ENTRY_SCHEMA`. `unaddressable` keys had bytes at the time asked for that no URL can
    bring any more.
    """

    table: pa.Table
    older_versions: int
    delete_markers: int
    unaddressable: int = 0


def entries_to_table(entries: Iterable[Entry]) -> pa.Table:
    """Entries as columns, packed as they come: a listing in memory takes some 150 bytes an entry, not a kilobyte."""
    batches, pending = [], []
    for entry in entries:
        pending.append(entry)
        if len(pending) == _BATCH_ROWS:
            batches.append(_to_batch(pending))
            pending = []
    if pending:
        batches.append(_to_batch(pending))
    return pa.Table.from_batches(batches, ENTRY_SCHEMA)


def resolve_current(entries: pa.Table) -> Resolved:
    """The objects of now: the entries that are the latest of their key; none where that is a delete marker.

    Raises:
        ChangedWhileListingError: a key has two different latest entries, or older ones and no latest.
    """
    entries = _distinct(entries)
    latest = _current(entries)
    return _resolved(entries, latest)


def resolve_as_of(entries: pa.Table, time: datetime) -> Resolved:
    """The objects at `time`: of each key the newest entry of then; none where that is a delete marker.

    Entries of one time count in the order of the listing. A key without later entries has its latest one: AWS dates a
    multipart upload by its beginning, so that by dates alone an older version could seem to be newer.

    Versions `null` that are not the latest are left out: a plain URL brings other bytes, and so may `?versionId=null`
    tomorrow. What was deleted for good, or overwritten while the bucket kept no versions, a listing cannot show.

    Raises:
        ChangedWhileListingError: a key has two different latest entries, or older ones and no latest.
        NoHistoryError: no entry has a real version.
    """
    entries = _distinct(entries)
    latest = _current(entries)
    if not pc.any(pc.not_equal(entries["version_id"], "null")).as_py():
        raise NoHistoryError(
            "expected a bucket with versions for --as-of, but this one keeps none: "
            "scan it as it is now, or ask its owner for an older listing"
        )
    moment = pa.scalar(time.astimezone(UTC), ENTRY_SCHEMA.field("last_modified").type)
    is_later = pc.greater(entries["last_modified"], moment)
    changed_keys = entries.filter(is_later)["key"].unique()
    unchanged = latest.filter(pc.invert(pc.is_in(latest["key"], changed_keys)))
    past = entries.filter(pc.and_(pc.invert(is_later), pc.is_in(entries["key"], changed_keys)))
    past = _first_of_each_key(
        past, [("last_modified", "descending"), ("is_latest", "descending"), ("position", "ascending")]
    )
    overwritable = pc.fill_null(pc.equal(past["version_id"], "null"), fill_value=True)
    is_lost = pc.and_(overwritable, pc.invert(pc.or_(past["is_latest"], past["is_marker"])))
    chosen = pa.concat_tables([unchanged, past.filter(pc.invert(is_lost))])
    return _resolved(entries, chosen, pc.sum(is_lost).as_py() or 0)


def _to_batch(entries: list[Entry]) -> pa.RecordBatch:
    columns = zip(*entries, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, ENTRY_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ENTRY_SCHEMA)


def _resolved(entries: pa.Table, chosen: pa.Table, unaddressable: int = 0) -> Resolved:
    markers = pc.sum(entries["is_marker"]).as_py() or 0
    table = chosen.filter(pc.invert(chosen["is_marker"])).select(ENTRY_SCHEMA.names)
    return Resolved(
        table=table,
        older_versions=len(entries) - markers - len(table),
        delete_markers=markers,
        unaddressable=unaddressable,
    )


def _distinct(entries: pa.Table) -> pa.Table:
    """Each entry once, with its `position` in the listing: pages may overlap where keys were added between them."""
    entries = entries.append_column("position", pa.array(range(len(entries)), pa.int64()))
    return _first_of_each_key(entries, [("version_id", "ascending"), *_SAME, ("position", "ascending")], whole=True)


_SAME = [(name, "ascending") for name in ENTRY_SCHEMA.names if name not in {"key", "version_id"}]


def _first_of_each_key(entries: pa.Table, order: list[tuple[str, str]], *, whole: bool = False) -> pa.Table:
    """Sorted by key and `order`, the first of each run of equal keys; with `whole`, of equal rows."""
    entries = entries.take(pc.sort_indices(entries, sort_keys=[("key", "ascending"), *order])).combine_chunks()
    if len(entries) < 2:  # noqa: PLR2004 - it takes two to be the same
        return entries
    same = None
    for name in ENTRY_SCHEMA.names if whole else ["key"]:
        column = entries[name]
        above, below = column.slice(0, len(column) - 1), column.slice(1)
        both_null = pc.and_(pc.is_null(above), pc.is_null(below))
        equal = pc.or_(both_null, pc.fill_null(pc.equal(above, below), fill_value=False))
        same = equal if same is None else pc.and_(same, equal)
    is_first = pa.chunked_array([pa.array([True]), *pc.invert(same).chunks])
    return entries.filter(is_first)


def _current(entries: pa.Table) -> pa.Table:
    """The latest entry of each key."""
    latest = entries.filter(entries["is_latest"])
    keys = latest["key"]
    if len(unique := keys.unique()) < len(keys):
        counts = keys.value_counts()
        twice = next(entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1)
        raise ChangedWhileListingError(twice)
    without = entries.filter(pc.invert(pc.is_in(entries["key"], unique)))
    if len(without):
        raise ChangedWhileListingError(without["key"][0].as_py())
    return latest
