"""Two snapshots side by side: the memory that it takes to compare them does not grow with what is the same in both."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.comparison.differences import Side
from opendata_pkg.plan.changes import differences
from opendata_pkg.plan.files import Passing, Settled, in_path_order
from opendata_pkg.targets.snapshot import SnapshotTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opendata_pkg.plan.selection import Rules
    from opendata_pkg.targets.target import Target


def read_side_by_side(
    before: tuple[str, Target], after: tuple[str, Target], *, rules: Rules
) -> tuple[tuple[Side, pa.Table], tuple[Side, pa.Table]]:
    """What is known of both, given as words and `SnapshotTarget`s, and their files in `FILES` that differ.

    Rows are matched by their keys, as they are read: what is the same by that, and is not renamed, has the same path
    too. Those whose paths depend on others are among the files in any case.
    """
    old, new = _Read(*before, rules), _Read(*after, rules)
    found = list(differences(old.rows(), new.rows()))
    return (
        (old.summary(), old.files(one.gone for one in found)),
        (new.summary(), new.files(one.new for one in found)),
    )


class _Read:
    """One of two snapshots that are compared while they are read."""

    def __init__(self, word: str, target: Target, rules: Rules) -> None:
        assert isinstance(target, SnapshotTarget)  # noqa: S101 - words of this form mean snapshots
        self._word, self._target, self._rules = word, target, target.asked(rules)
        self._passing, self._aside = Passing(), list[Settled]()
        self._files = self._size_bytes = 0

    def rows(self) -> Iterator[pa.Table]:
        """The objects that rules mean, in the order of their keys; those whose paths depend on others are put aside."""
        for settled in self._target.objects(self._rules, self._passing):
            rows = settled.rows
            self._files += len(rows)
            self._size_bytes += pc.sum(rows["size"]).as_py() or 0
            if settled.late:
                self._aside.append(settled)
                continue
            if settled.renamed:
                renamed = pc.is_in(rows["key"], value_set=pa.array(sorted(settled.renamed), pa.string()))
                self._aside.append(replace(settled, rows=rows.filter(renamed)))
                rows = rows.filter(pc.invert(renamed))
            yield rows

    def files(self, rows: Iterable[pa.Table]) -> pa.Table:
        """Some of its rows, and those put aside, as files."""
        settled = [*(Settled(rows=table) for table in rows), *self._aside]
        return in_path_order(map(self._target.tree.files, settled))

    def summary(self) -> Side:
        """What it is and holds, after all of its rows were read."""
        origin = replace(self._target.origin, date=self._passing.newest_date)
        return Side(word=self._word, files=self._files, size_bytes=self._size_bytes, origin=asdict(origin))
