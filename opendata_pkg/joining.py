"""Joining: digests that were computed elsewhere come into a snapshot, by key and versionId. Nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.listing.digest_files import DIGEST_BYTES, read_digest_file
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opendata_pkg.snapshot import Snapshot


_STATE = ["version_id", "size", "etag"]


class DigestsDisagreeError(InputError):
    """Two sources give one object different digests."""

    def __init__(self, key: str, name: str, known: str, said: str) -> None:
        self.key = key
        super().__init__(
            f"{key!r}: expected one {name}, got {known} and {said}: one of them is of other bytes; "
            "scan the bucket again, or remove the wrong entry"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    """The snapshot with the digests, and what became of the files' entries.

    `filled` objects learnt a digest. `matched` entries are of objects of the snapshot, `other_state` ones of another
    version, size or ETag, `not_listed` ones of no object in it; `unusable` ones were no digest of an object's bytes.
    """

    snapshot: Snapshot
    filled: int
    matched: int
    other_state: int
    not_listed: int
    unusable: int


def join_digests(snapshot: Snapshot, paths: Sequence[Path]) -> JoinResult:
    """Fill in the digests that files have and the snapshot lacks.

    An entry belongs to the object of its key if what it says of version, size and ETag is not otherwise in the
    snapshot. An entry that says no version is taken for any.

    Raises:
        DigestsDisagreeError: an object has another digest already, or the entries give it two.
        OpenDataError: as `read_digest_file` says.
    """
    files = [read_digest_file(path, bucket=snapshot.header.bucket) for path in paths]
    entries = pa.concat_tables([file.table for file in files])
    rows = _rows_of(entries["key"], snapshot.table["key"])
    listed = entries.append_column("row", rows).filter(pc.is_valid(rows))
    matched = listed.filter(_is_same_state(listed, snapshot.table.select(_STATE).take(listed["row"])))
    matched = matched.take(pc.sort_indices(matched["row"])).combine_chunks()
    columns = {}
    learnt = pa.repeat(False, len(snapshot))
    for name in DIGEST_BYTES:
        column, is_new = _fill(snapshot.table[name].combine_chunks(), matched, name)
        if pc.any(is_new).as_py():
            columns[name] = column
            learnt = pc.or_(learnt, is_new)
    filled = pc.sum(learnt).as_py() or 0
    names = ", ".join(path.name for path in paths)
    notes = (f"digests of {filled} objects were taken from {names}",) if filled else ()
    return JoinResult(
        snapshot=snapshot.with_columns(columns, notes) if columns else snapshot,
        filled=filled,
        matched=len(matched),
        other_state=len(listed) - len(matched),
        not_listed=len(entries) - len(listed),
        unusable=sum(file.unusable for file in files),
    )


def _rows_of(keys: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where each key stands in a snapshot's column; null if it does not. Arrow looks through up to 2 GiB at a time."""
    rows, start = pa.chunked_array([pa.nulls(len(keys), pa.int32())]), 0
    for chunk in known.chunks:
        rows = pc.coalesce(rows, pc.add(pc.index_in(keys, value_set=chunk), pa.scalar(start, pa.int32())))
        start += len(chunk)
    return rows


def _is_same_state(entries: pa.Table, known: pa.Table) -> pa.ChunkedArray:
    same = pc.fill_null(pc.equal(entries["version_id"], pc.fill_null(known["version_id"], "null")), fill_value=True)
    for name in ("size", "etag"):
        same = pc.and_(same, pc.fill_null(pc.equal(entries[name], known[name]), fill_value=True))
    return same


def _fill(known: pa.Array, matched: pa.Table, name: str) -> tuple[pa.Array, pa.Array]:
    """A snapshot's column with what the entries say, sorted by row, and which rows are new."""
    said = matched.filter(pc.is_valid(matched[name])).combine_chunks()
    rows, digests = said["row"].combine_chunks(), said[name].combine_chunks()
    before = known.take(rows)
    if (at := pc.index(pc.not_equal(digests, before), value=True).as_py()) >= 0:
        raise DigestsDisagreeError(said["key"][at].as_py(), name, before[at].as_py(), digests[at].as_py())
    if len(rows) > 1:
        same_row = pc.equal(rows.slice(0, len(rows) - 1), rows.slice(1))
        differ = pc.and_(same_row, pc.not_equal(digests.slice(0, len(rows) - 1), digests.slice(1)))
        if (at := pc.index(differ, value=True).as_py()) >= 0:
            raise DigestsDisagreeError(said["key"][at].as_py(), name, digests[at].as_py(), digests[at + 1].as_py())
        is_first = pa.concat_arrays([pa.array([True]), pc.invert(same_row)])
        rows, digests = rows.filter(is_first), digests.filter(is_first)
    is_said = pc.is_in(pa.array(range(len(known)), rows.type), rows)
    return pc.replace_with_mask(known, is_said, digests), pc.and_(is_said, pc.is_null(known))
