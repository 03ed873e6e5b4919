"""Which rows are hashed, and what is found of them: as plain lists would say it."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.digests.checksums import Checksum
from opendata_pkg.scan.hash_rows import Digests, HashSelection, within
from tests.core_support import digest_of, entry_of, snapshot_of

ROWS = st.sets(st.integers(0, 11)).flatmap(lambda rows: st.permutations(sorted(rows)))


@given(ROWS, st.integers(1, 13))
def test_digests_come_to_their_rows(rows, cut):
    """In whatever order they were found and pieces are filled in; other rows stay as they are."""
    table = snapshot_of(*(entry_of(f"{number:02d}", known="md5") for number in range(12))).table
    found = Digests()
    for row in rows:
        found.add(row, Checksum(sha256=digest_of(str(row)), size_bytes=100 + row, md5=None))
    assert len(found) == len(rows)
    pieces = [table.slice(start, cut) for start in range(0, 12, cut)]
    filled = [row for piece in found.fill(pieces) for row in piece.to_pylist()]
    expected = table.to_pylist()
    for row in rows:
        expected[row] |= {"sha256": digest_of(str(row)), "size": 100 + row}
    assert filled == expected


@given(st.lists(st.integers(-1, 5)), st.integers(0, 20))
def test_the_smallest_fit_into_a_budget(sizes, budget):
    """Of one size the first; none of unknown size."""
    rows = [3 * number for number in range(len(sizes))]
    chosen, total = [], 0
    for size, row in sorted((size, row) for row, size in zip(rows, sizes, strict=True) if size >= 0):
        total += size
        if total > budget:
            break
        chosen.append(row)
    found = within(HashSelection(rows=array("q", rows), sizes=array("q", sizes)), budget)
    assert list(found.rows) == sorted(chosen)
    assert list(found.sizes) == [sizes[row // 3] for row in sorted(chosen)]
    assert found.skipped == len(sizes) - len(chosen)
