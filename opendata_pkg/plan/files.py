"""A snapshot's objects as files: keys as paths in one tree, some ten thousand at a time. Pure.

Paths are those of a dataset without subdatasets. What stands in the way of naming rows as they come is that an object
`a` is renamed if there is `a/b` too, which may come much later: it waits until no such key can follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import one_array
from opendata_pkg.columns.spool import in_rows_order, spooled
from opendata_pkg.paths import Naming
from opendata_pkg.plan.clashes import BEHIND_SLASH, find_clashes, may_clash, parents_of
from opendata_pkg.plan.plan import is_marker
from opendata_pkg.plan.selection import FILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.snapshot.header import SnapshotHeader


class Rows(Protocol):
    """Where a snapshot's rows come from: a `Snapshot` in memory, or a `StoredSnapshot`."""

    @property
    def header(self) -> SnapshotHeader:
        """What is known of it as a whole."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes."""

    def __len__(self) -> int:
        """How many objects it holds."""

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Its rows in order; those who take them all know that they are right."""


class Passing:
    """Looks at rows as they pass."""

    def __init__(self) -> None:
        self._newest_us: int | None = None

    def look(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables."""
        for batch in batches:
            found = pc.max(batch["last_modified"].cast(pa.int64())).as_py()
            if found is not None:
                self._newest_us = found if self._newest_us is None else max(found, self._newest_us)
            yield batch

    @property
    def newest_date(self) -> str | None:
        """The day (ISO 8601, UTC) of the newest object so far; None if there is none with a date."""
        if self._newest_us is None:
            return None
        return datetime.fromtimestamp(self._newest_us / 1_000_000, UTC).date().isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Rows of a snapshot, in the columns of `ID_COLUMNS`, whose paths are decided; `renamed` are keys among them.

    `late`: they had to wait, so that rows with greater keys came before; all others come in the order of their keys.
    """

    rows: pa.Table
    renamed: frozenset[str] = frozenset()
    late: bool = False


def settle(batches: Iterable[pa.Table]) -> Iterator[Settled]:
    """The files among rows in the order of their keys, as they come, with what decides their paths."""
    waiting: list[pa.Table] = []
    for rows, following in _with_following(_without_markers(batches)):
        keys = one_array(rows["key"])
        decided, waiting = _decided(waiting, keys, following)
        yield from decided
        near = keys if following is None else pa.concat_arrays([keys, pa.array([following], keys.type)])
        if not may_clash(near):
            yield Settled(rows=rows)
            continue
        renamed, _ = find_clashes(near, ())
        undecided = [] if following is None else [name for name in _beginnings(following) if name not in renamed]
        is_open = pc.is_in(keys, value_set=pa.array(undecided, keys.type))
        waiting += [rows.slice(row, 1) for row in pc.indices_nonzero(is_open).to_pylist()]
        yield Settled(rows=rows.filter(pc.invert(is_open)), renamed=renamed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What decides how objects are told as files, beside themselves."""

    base_url: str | None
    catalogue: Catalogue | None

    def files(self, settled: Settled) -> pa.Table:
        """The objects in `FILES`, in the order of their keys."""
        rows, keys = settled.rows, one_array(settled.rows["key"])
        columns = {
            "path": Naming(prefix="", renamed_files=settled.renamed).paths_of(keys),
            "branch": _owners(keys, self.catalogue),
            "base_url": _constant(self.base_url, len(keys)),
        }
        return pa.table([columns[name] if name in columns else rows[name] for name in FILES.names], FILES)


def in_path_order(pieces: Iterable[pa.Table]) -> pa.Table:
    """Files in the order of the bytes of their paths: only renamed and escaped ones stand elsewhere than their keys."""
    table = spooled(pieces, FILES)
    paths = table["path"]
    if pc.all(pc.less(paths.slice(0, max(len(paths) - 1, 0)), paths.slice(1))).as_py():
        return table
    return in_rows_order(table, pc.sort_indices(paths))


def _without_markers(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for batch in batches:
        markers = is_marker(batch)
        rows = batch.filter(pc.invert(markers)) if pc.any(markers).as_py() else batch
        if len(rows):
            yield rows


def _with_following(batches: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, str | None]]:
    """Each table, and the first key of the next one."""
    rows = next(batches, None)
    while rows is not None:
        later = next(batches, None)
        yield rows, None if later is None else later["key"][0].as_py()
        rows = later


def _decided(
    waiting: Iterable[pa.Table], keys: pa.Array, following: str | None
) -> tuple[list[Settled], list[pa.Table]]:
    """Of the rows that wait, those that `keys`, which come next, decide; and the others."""
    decided: list[Settled] = []
    left: list[pa.Table] = []
    for row in waiting:
        name = row["key"][0].as_py()
        if pc.any(pc.starts_with(keys, f"{name}/")).as_py():
            decided.append(Settled(rows=row, renamed=frozenset([name]), late=True))
        elif following is None or following >= name + BEHIND_SLASH:
            decided.append(Settled(rows=row, late=True))
        else:
            left.append(row)
    return decided, left


def _beginnings(key: str) -> list[str]:
    """The names that can be a folder of this key or of a later one: all that it begins with, up to a `/` or before."""
    return [key[:length] for length in range(1, len(key)) if key < key[:length] + BEHIND_SLASH]


def _owners(keys: pa.Array, catalogue: Catalogue | None) -> pa.Array:
    """For each key the path of the branch that it belongs to: all of a folder's own objects belong to one."""
    if catalogue is None:
        return _constant("", len(keys))
    folders = parents_of(keys).dictionary_encode()
    owners = [catalogue.owner_of(f"{folder}/" if folder else "").path for folder in folders.dictionary.to_pylist()]
    return pa.array(owners, pa.string()).take(folders.indices).dictionary_encode()


def _constant(text: str | None, length: int) -> pa.Array:
    one = pa.array([text], pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.repeat(one.indices[0], length), one.dictionary)
