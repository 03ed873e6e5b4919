"""What all that reads a snapshot's rows relies on: keys in order, each once, and values that there can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import bytes_of
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from pathlib import Path

_HEX = b"0123456789abcdef"
_HEX_DIGITS = {"sha256": 64, "md5": 32}
# What `datetime` can hold, in microseconds: from year 1 to the end of year 9999.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_NUMBERS = {
    "size": (0, None, "a size of at least 0 bytes"),
    "last_modified": (_FIRST_US, _LAST_US, "a time of the years 1 to 9999"),
}


class BrokenSnapshotError(InputError):
    """A snapshot's files do not belong together, were cut short, or hold what is no row of a snapshot."""


def impossible_number(rows: pa.RecordBatch | pa.Table) -> tuple[str, str] | None:
    """What was expected of the first size or time that no object has, and what was got; None if all can be."""
    for name, (least, most, expected) in _NUMBERS.items():
        if name not in rows.schema.names:
            continue
        numbers = rows[name].cast(pa.int64())
        found = pc.min_max(numbers)
        low, high = found["min"].as_py(), found["max"].as_py()
        if low is None or (low >= least and (most is None or high <= most)):
            continue
        wrong = pc.less(numbers, least)
        return expected, _first(rows, numbers, wrong if most is None else pc.or_(wrong, pc.greater(numbers, most)))
    return None


def _first(rows: pa.RecordBatch | pa.Table, values: pa.Array | pa.ChunkedArray, wrong: pa.Array) -> str:
    row = pc.index(pc.fill_null(wrong, fill_value=False), value=True).as_py()
    return f"{values[row].as_py()!r} for {rows['key'][row].as_py()!r}"


class RowCheck:
    """Looks at a snapshot's rows as they come; its id does not tell whether who made it knew what a row is."""

    def __init__(self, path: Path) -> None:
        """For the rows of one file, from the first on."""
        self._path = path
        self._last: str | None = None

    def look(self, rows: pa.RecordBatch, *, is_known: bool = False) -> None:
        """Look at the next rows, or (`is_known`: another has looked at these) only how they follow those before.

        Raises:
            BrokenSnapshotError: a key is empty, stands twice, or behind one that it sorts before; a size is negative, a
                digest no lower-case hex of its length, a time none of the years 1 to 9999.
        """
        if not len(rows):
            return
        keys = rows["key"]
        first = keys[0].as_py()
        if not first:
            raise self._broken("a key of at least one character", "an empty one")
        if self._last is not None and self._last.encode() >= first.encode():
            raise self._out_of_order(self._last, first)
        if not is_known:
            self._look_at_order(keys)
            self._look_at_values(rows)
        self._last = keys[-1].as_py()

    def _look_at_order(self, keys: pa.Array) -> None:
        # Arrow compares texts by their bytes.
        rises = pc.less(keys[:-1], keys[1:])
        if not pc.all(rises, min_count=0).as_py():
            row = pc.index(rises, value=False).as_py()
            raise self._out_of_order(keys[row].as_py(), keys[row + 1].as_py())

    def _look_at_values(self, rows: pa.RecordBatch) -> None:
        if (fault := impossible_number(rows)) is not None:
            raise self._broken(*fault)
        for name, digits in _HEX_DIGITS.items():
            texts = rows[name]
            lengths = pc.min_max(pc.binary_length(texts))
            # All together: far quicker than one by one.
            if {lengths["min"].as_py(), lengths["max"].as_py()} <= {None, digits} and _is_hex(texts):
                continue
            wrong = pc.invert(pc.match_substring_regex(texts, f"^[0-9a-f]{{{digits}}}$"))
            raise self._broken(f"{digits} lower-case hex digits as {name}", _first(rows, texts, wrong))

    def _out_of_order(self, before: str, after: str) -> BrokenSnapshotError:
        return self._broken("each key once, in the order of their bytes", f"{after!r} after {before!r}")

    def _broken(self, expected: str, got: str) -> BrokenSnapshotError:
        return BrokenSnapshotError(
            f"{self._path} is no whole snapshot: expected {expected}, got {got}; copy it again, or make it from a list "
            "with opendata scan, which checks and sorts"
        )


def _is_hex(texts: pa.Array) -> bool:
    return not bytes(bytes_of(texts)).translate(None, _HEX) if len(texts) else True
