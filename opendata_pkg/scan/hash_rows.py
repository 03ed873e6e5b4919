"""Rows of a snapshot that are to be hashed, and what is found of them: as numbers and bytes, of which millions fit."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import INT64_MAX
from opendata_pkg.snapshot.rows import with_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opendata_pkg.digests.checksums import Checksum


class Digests:
    """SHA-256s and sizes by rows of a snapshot: of ten million objects, half a gigabyte."""

    def __init__(self) -> None:
        self._rows, self._sizes, self._digests = array("q"), array("q"), bytearray()

    def __len__(self) -> int:
        """How many rows have one."""
        return len(self._rows)

    def add(self, row: int, checksum: Checksum) -> None:
        """Take the checksum of a row in, which has none yet; rows come in any order."""
        self._rows.append(row)
        self._sizes.append(checksum.size_bytes)
        self._digests += bytes.fromhex(checksum.sha256)

    def fill(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """A snapshot's rows with the digests and sizes of those that are here."""
        order = pc.sort_indices(pa.array(self._rows, pa.int64()))
        rows = pa.array(self._rows, pa.int64()).take(order)
        start = done = 0
        for batch in batches:
            stop = bisect_left(range(len(rows)), start + len(batch), done, key=lambda at: rows[at].as_py())
            places = order.slice(done, stop - done).to_pylist()
            is_found = pc.is_in(pa.array(range(start, start + len(batch)), rows.type), rows.slice(done, stop - done))
            new = {
                "sha256": pa.array([self._digests[32 * at : 32 * at + 32].hex() for at in places], pa.string()),
                "size": pa.array([self._sizes[at] for at in places], pa.int64()),
            }
            start, done = start + len(batch), stop
            yield with_columns(batch, {name: pc.replace_with_mask(batch[name], is_found, new[name]) for name in new})


@dataclass(frozen=True, slots=True)
class HashSelection:
    """Rows to read in ascending order, with their sizes (-1: unknown); what the cache knows; how many did not fit."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    cached: Digests = field(default_factory=Digests)
    skipped: int = 0

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes."""
        return sum(size for size in self.sizes if size >= 0)


def within(selection: HashSelection, max_bytes: int) -> HashSelection:
    """The smallest of the objects whose sizes are known, up to a sum of `max_bytes`."""
    sizes = pa.array(selection.sizes, pa.int64())
    # Stable: of one size, the first rows come first.
    order = pc.sort_indices(sizes)
    order = order.filter(pc.greater_equal(sizes.take(order), 0))
    fits = pc.less_equal(pc.cumulative_sum(sizes.take(order)), min(max_bytes, INT64_MAX))
    places = order.filter(fits)
    places = places.take(pc.sort_indices(places))
    return HashSelection(
        rows=array("q", pa.array(selection.rows, pa.int64()).take(places).to_pylist()),
        sizes=array("q", sizes.take(places).to_pylist()),
        cached=selection.cached,
        skipped=len(selection.rows) - len(places),
    )
