"""What became of each object between two states. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.snapshot import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.model import S3Object


class Change(StrEnum):
    """What became of one object. `regraded`: the same content, of which more or other is known now."""

    SAME = "same"
    REGRADED = "regraded"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCounts:
    """How many files of a dataset came, went, have other content, or the same content otherwise known."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    regraded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The rows of two tables that are not alike in both: `gone` from the one before, `new` in the one after."""

    gone: pa.Table
    new: pa.Table

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(len(self.gone) or len(self.new))


_RECORDED = [name for name in SCHEMA.names if name != "storage_class"]
"""What a dataset records of an object. Storage class is no part of it: no byte changes with it."""


def difference(before: pa.Table, after: pa.Table) -> Difference:
    """What is not recorded alike in two tables of a snapshot's columns, each with every key once."""
    if before.select(_RECORDED).equals(after.select(_RECORDED)):
        return Difference(gone=before.slice(0, 0), new=after.slice(0, 0))
    places = pc.index_in(after["key"], before["key"].combine_chunks())
    same = pc.is_valid(places)
    matched = before.select(_RECORDED).take(places)
    for name in _RECORDED[1:]:
        both_unknown = pc.and_(pc.is_null(after[name]), pc.is_null(matched[name]))
        same = pc.and_(same, pc.or_(both_unknown, pc.fill_null(pc.equal(after[name], matched[name]), fill_value=False)))
    kept = after["key"].filter(same).combine_chunks()
    return Difference(gone=before.filter(pc.invert(pc.is_in(before["key"], kept))), new=after.filter(pc.invert(same)))


def compare(before: S3Object, after: S3Object) -> Change:
    """What became of an object's content: by a digest both have, else by size, else by what S3 says of it."""
    if before.sha256 is not None and after.sha256 is not None:
        other = before.sha256 != after.sha256
    elif before.md5 is not None and after.md5 is not None:
        other = before.md5 != after.md5
    elif None not in (before.size_bytes, after.size_bytes) and before.size_bytes != after.size_bytes:
        other = True
    elif before.etag is not None and after.etag is not None:
        other = before.etag != after.etag
    else:
        other = before.last_modified != after.last_modified
    if other:
        return Change.CHANGED
    return Change.SAME if _known(before) == _known(after) else Change.REGRADED


def count_changes(before: Iterable[S3Object], after: Iterable[S3Object]) -> ChangeCounts:
    """Counts over two lists of objects, matched by key."""
    old = {entry.key: entry for entry in before}
    added = changed = regraded = 0
    for entry in after:
        match = old.pop(entry.key, None)
        if match is None:
            added += 1
        elif (became := compare(match, entry)) is Change.CHANGED:
            changed += 1
        elif became is Change.REGRADED:
            regraded += 1
    return ChangeCounts(added=added, changed=changed, removed=len(old), regraded=regraded)


def _known(entry: S3Object) -> tuple[object, ...]:
    """What a dataset records of an object. Storage class is no part of it: no byte changes with it."""
    return entry.size_bytes, entry.version_id, entry.etag, entry.sha256, entry.md5, entry.last_modified
