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
    entries = entries.append_column("entry", pa.array(range(len(entries)), pa.int64()))
    own = snapshot.table.select(entries.column_names[:-1])
    own = own.append_column("row", pa.array(range(len(own)), pa.int64()))
    of_keys = entries.join(own, "key", join_type="inner", right_suffix="_known")
    matched = of_keys.filter(_is_same_state(of_keys))
    columns = {}
    learnt = pa.array([False] * len(own))
    for name in DIGEST_BYTES:
        column, is_new = _fill(own[name], matched, name)
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
        other_state=len(of_keys) - len(matched),
        not_listed=len(entries) - len(of_keys),
        unusable=sum(file.unusable for file in files),
    )


def _is_same_state(pairs: pa.Table) -> pa.ChunkedArray:
    same = pc.fill_null(pc.equal(pairs["version_id"], pc.fill_null(pairs["version_id_known"], "null")), fill_value=True)
    for name in ("size", "etag"):
        same = pc.and_(same, pc.fill_null(pc.equal(pairs[name], pairs[f"{name}_known"]), fill_value=True))
    return same


def _fill(own: pa.ChunkedArray, matched: pa.Table, name: str) -> tuple[pa.ChunkedArray, pa.Array]:
    """The snapshot's column with what the entries say, and which rows are new; sorted by row all along."""
    said = matched.filter(pc.is_valid(matched[name]))
    disagree = said.filter(pc.fill_null(pc.not_equal(said[name], said[f"{name}_known"]), fill_value=False))
    if len(disagree):
        first = disagree.slice(0, 1).to_pylist()[0]
        raise DigestsDisagreeError(first["key"], name, first[f"{name}_known"], first[name])
    # Each pair of a row and its digest once; a row that is left twice was given two.
    pairs = said.group_by(["row", "key", name]).aggregate([]).sort_by([("row", "ascending"), (name, "ascending")])
    rows = pairs["row"].combine_chunks()
    if len(rows) > 1:
        twice = pc.equal(rows.slice(0, len(rows) - 1), rows.slice(1))
        if pc.any(twice).as_py():
            one, other = pairs.slice(pc.index(twice, value=True).as_py(), 2).to_pylist()
            raise DigestsDisagreeError(one["key"], name, one[name], other[name])
    own = own.combine_chunks()
    numbers = pa.array(range(len(own)), pa.int64())
    is_said = pc.is_in(numbers, rows)
    return pc.replace_with_mask(own, is_said, pairs[name].combine_chunks()), pc.and_(is_said, pc.is_null(own))
