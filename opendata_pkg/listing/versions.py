"""Which entries of a bucket's listing are its objects, now or at a time of the past. No network: tables in and out."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.spool import spooled
from opendata_pkg.model import InputError, SourceError
from opendata_pkg.snapshot.rows import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

ENTRY_SCHEMA = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("key", "version_id", "size", "etag", "last_modified", "storage_class")),
        pa.field("is_latest", pa.bool_(), nullable=False),
        pa.field("is_marker", pa.bool_(), nullable=False),
    ]
)
"""Columns of a listing: versions and delete markers as the server lists them, newest first for each key."""


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

    `table` has the columns of `ENTRY_SCHEMA`, in the order of keys. `unaddressable` keys had bytes at the time asked
    for that no URL can bring any more.
    """

    table: pa.Table
    older_versions: int
    delete_markers: int
    unaddressable: int = 0


def resolve(batches: Iterable[pa.Table], *, as_of: datetime | None = None, folder: Path | None = None) -> Resolved:
    """The objects of now, or at a time, out of entries in the order of their keys; many of them wait in `folder`.

    Of now: the entries that are the latest of their key; none where that is a delete marker.

    At a time: of each key the newest entry of then; none where that is a delete marker. Entries of one time count in
    the order of the listing. A key without later entries has its latest one: AWS dates a multipart upload by its
    beginning, so that by dates alone an older version could seem to be newer. Versions `null` that are not the latest
    are left out: a plain URL brings other bytes, and so may `?versionId=null` tomorrow. What was deleted for good, or
    overwritten while the bucket kept no versions, a listing cannot show.

    Raises:
        ChangedWhileListingError: a key has two different latest entries, or older ones and no latest.
        NoHistoryError: `as_of`, and no entry has a real version.
    """
    older = markers = unaddressable = 0
    has_versions = False

    def objects() -> Iterator[pa.Table]:
        nonlocal older, markers, unaddressable, has_versions
        for block in _whole_keys(batches):
            entries = _distinct(block)
            latest, lost = _current(entries), 0
            if as_of is not None:
                has_versions = has_versions or bool(pc.any(pc.not_equal(entries["version_id"], "null")).as_py())
                latest, lost = _as_of(entries, latest, as_of)
            found = latest.filter(pc.invert(latest["is_marker"])).select(ENTRY_SCHEMA.names)
            block_markers = pc.sum(entries["is_marker"]).as_py() or 0
            older += len(entries) - block_markers - len(found)
            markers += block_markers
            unaddressable += lost
            yield found.take(pc.sort_indices(found["key"]))

    table = spooled(objects(), ENTRY_SCHEMA, folder=folder)
    if as_of is not None and not has_versions:
        raise NoHistoryError(
            "expected a bucket with versions for --as-of, but this one keeps none: "
            "scan it as it is now, or ask its owner for an older listing"
        )
    return Resolved(table=table, older_versions=older, delete_markers=markers, unaddressable=unaddressable)


def _whole_keys(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same entries, cut between keys: the last of a table waits for more of its entries."""
    held: pa.Table | None = None
    for batch in batches:
        table = batch if held is None else pa.concat_tables([held, batch])
        keys = table["key"]
        start = bisect_left(range(len(table)), keys[-1].as_py(), key=lambda row: keys[row].as_py())
        if start:
            yield table.slice(0, start)
        held = table.slice(start)
    if held is not None:
        yield held


def _as_of(entries: pa.Table, latest: pa.Table, time: datetime) -> tuple[pa.Table, int]:
    """The entries of each key at a time, and how many keys had bytes then that have no address."""
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
    return pa.concat_tables([unchanged, past.filter(pc.invert(is_lost))]), pc.sum(is_lost).as_py() or 0


def _distinct(entries: pa.Table) -> pa.Table:
    """Each entry once, with its `position` in the listing: pages may overlap where keys were added between them."""
    entries = entries.append_column("position", pa.array(range(len(entries)), pa.int64()))
    if not pc.any(_same_as_above(entries["key"])).as_py():
        # Nearly always: no versions but the latest, and pages that did not overlap.
        return entries
    return _first_of_each_key(entries, [("version_id", "ascending"), *_SAME, ("position", "ascending")], whole=True)


_SAME = [(name, "ascending") for name in ENTRY_SCHEMA.names if name not in {"key", "version_id"}]


def _first_of_each_key(entries: pa.Table, order: list[tuple[str, str]], *, whole: bool = False) -> pa.Table:
    """Sorted by key and `order`, the first of each run of equal keys; with `whole`, of equal rows."""
    entries = entries.take(pc.sort_indices(entries, sort_keys=[("key", "ascending"), *order])).combine_chunks()
    if len(entries) < 2:  # noqa: PLR2004 - it takes two to be the same
        return entries
    same = None
    for name in ENTRY_SCHEMA.names if whole else ["key"]:
        equal = _same_as_above(entries[name])
        same = equal if same is None else pc.and_(same, equal)
    is_first = pa.chunked_array([pa.array([True]), *pc.invert(same).chunks])
    return entries.filter(is_first)


def _same_as_above(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each value but the first is that before it."""
    above, below = column.slice(0, len(column) - 1), column.slice(1)
    both_null = pc.and_(pc.is_null(above), pc.is_null(below))
    return pc.or_(both_null, pc.fill_null(pc.equal(above, below), fill_value=False))


def _current(entries: pa.Table) -> pa.Table:
    """The latest entry of each key."""
    latest = entries.filter(entries["is_latest"])
    keys = latest["key"]
    if len(twice := keys.slice(1).filter(_same_as_above(keys))):
        raise ChangedWhileListingError(twice[0].as_py())
    if len(latest) < len(entries):
        without = entries.filter(pc.invert(pc.is_in(entries["key"], keys.combine_chunks())))
        if len(without):
            raise ChangedWhileListingError(without["key"][0].as_py())
    return latest
