"""Checking CSV tables of any length repeatst a Table Schema, in one pass and bounded memory.

A table may stand in several files (shards), as inventories do: order and uniqueness hold across all of them. Memory:
some thousand rows, and 8 bytes for each row and unique column that the order of the rows does not already vouch for.
"""

from __future__ import annotations

import csv
import hashlib
import operator
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.faults import Fault, listed, shown, suggest
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from opendata_pkg.validation.table_schema import Field, TableSchema

SHOWN_MAX = 3
"""Faults of one kind in one column of one file that are told one by one; of the others only the number."""

_BLOCK_BYTES = 1 << 20
_ROWS = 2048
_TWINS_MAX = 10_000
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What was seen of a file while it was read: data rows, bytes, and the SHA-256 of all bytes."""

    rows: int
    size_bytes: int
    sha256: str


class TableChecker:
    """Checks the files of one table, in order; then `finish`. `faults()` are all that was found.

    The rows of a table whose primary key is one column must stand in byte order of it: so inventories are written, and
    so a reader can merge and search them.
    """

    def __init__(self, schema: TableSchema) -> None:
        """Begin a table."""
        self.schema = schema
        self.rows = 0
        self.sums: Counter[str] = Counter()
        self.counts: dict[str, Counter[str]] = {field.name: Counter() for field in schema.fields if field.enum}
        self._order_by = schema.primary_key[0] if len(schema.primary_key) == 1 else None
        self._last: str | None = None
        # Python's own 64-bit hashes stand for the values: two of a million values share one once in 10^8 tables.
        self._hashes = {
            field.name: array("q") for field in schema.fields if field.unique and field.name != self._order_by
        }
        self._files: list[tuple[int, str, bool]] = []
        self._found: list[Fault] = []
        self._counted: Counter[tuple[str, str | None, str]] = Counter()

    def faults(self) -> list[Fault]:
        """What was found so far: the first faults of each kind, and how many more there are."""
        more = [
            Fault(file=file, column=column, message=f"{counted(count - SHOWN_MAX, 'more fault')} of this kind: {kind}")
            for (file, column, kind), count in self._counted.items()
            if count > SHOWN_MAX
        ]
        return [*self._found, *more]

    def check(self, stream: BinaryIO, file: str) -> FileFacts:
        """Check one file of the table; its last row may not stand after the first of the next."""
        lines = _Lines(stream)
        chunks = self._parsed(iter(lines), file)
        start = self.rows
        if (first := next(chunks, None)) is None:
            self._add(file, "empty", f"expected a header line with the columns {listed(self.schema.names)}, got none")
        else:
            before, (header, *rows) = first
            positions = self._header(header, file)
            # The header stands on one line, or its names are none of ours.
            for line, chunk in chain([(before + 1, rows)] if rows else [], chunks):
                self._chunk(chunk, positions, len(header), file, line)
        lines.drain()
        self._files.append((start, file, lines.count != self.rows - start + 1))
        for kind, message, remedy in lines.faults():
            self._add(file, kind, message, line=lines.fault_line(kind), remedy=remedy)
        return FileFacts(rows=self.rows - start, size_bytes=lines.size_bytes, sha256=lines.sha256.hexdigest())

    def finish(self) -> None:
        """Find the values that stand twice in columns whose values must be unique."""
        for name, hashes in self._hashes.items():
            for first, again in _twins(hashes):
                file, line = self._place(again)
                first_file, first_line = self._place(first)
                where = "an earlier row" if first_line is None else f"line {first_line}"
                where += "" if file == first_file else f" of {first_file}"
                message = f"expected each value once, got that of {where} again"
                self._add(file, "a value that stands twice", message, line=line, column=name)

    def _place(self, row: int) -> tuple[str, int | None]:
        """The file and line of a row, counted from 0 over all files."""
        start, file, multiline = next(entry for entry in reversed(self._files) if entry[0] <= row)
        return file, None if multiline else row - start + 2

    def _parsed(self, blocks: Iterator[list[bytes]], file: str) -> Iterator[tuple[int, list[list[str]]]]:
        """The rows that can be read, some thousand at a time, each with the line on which the row before them ends."""
        before = 0
        for lines in blocks:
            rows = _plain_rows(lines)
            if rows is None:
                # From here on csv reads, since a value in quotes may go on in the next block.
                rest = chain(lines, chain.from_iterable(blocks))
                yield from self._quoted(csv.reader(map(bytes.decode, rest), strict=True), before, file)
                return
            for start in range(0, len(rows), _ROWS):
                yield before + start, rows[start : start + _ROWS]
            before += len(rows)

    def _quoted(self, reader: Any, start: int, file: str) -> Iterator[tuple[int, list[list[str]]]]:
        """The rows that csv can read, from line `start` on; it goes on with the next line after one that it cannot."""
        while True:
            before = start + reader.line_num
            rows: list[list[str]] = []
            try:
                # `extend` keeps the rows that it got before an error.
                rows.extend(islice(reader, _ROWS))
            except csv.Error as error:
                remedy = 'put a value that holds commas, quotes or line ends in quotes, and write each " in it twice'
                message = f"cannot be read as CSV ({error})"
                self._add(file, "bad quoting", message, line=start + reader.line_num, remedy=remedy)
            except UnicodeDecodeError as error:
                # csv has not seen that line, and does not count it.
                start += 1
                message = f"expected UTF-8, got the byte 0x{error.object[error.start]:02x}"
                self._add(file, "no UTF-8", message, line=start + reader.line_num, remedy="save the file as UTF-8")
            else:
                if not rows:
                    return
            if rows:
                yield before, rows

    def _header(self, header: list[str], file: str) -> list[int | None]:
        """Where each of the schema's columns stands in the rows."""
        names = self.schema.names
        if header == names:
            return list(range(len(names)))
        if len(header) == 1 and (found := next((sign for sign in _SEPARATORS if sign in header[0]), None)):
            self._add(
                file,
                "header",
                f"expected commas between the columns, got {_SEPARATORS[found]}",
                line=1,
                remedy="save the file as CSV with commas",
            )
            return [None] * len(names)
        missing = [name for name in names if name not in header]
        for name in missing:
            self._add(file, f"no {name}", f"expected a column {name}, which is missing", line=1)
        for name in header:
            if name not in names:
                message = f"unknown column {shown(name)}; known are {listed(names)}"
                self._add(file, f"unknown {name}", message, line=1, suggestion=suggest(name, missing))
            elif header.count(name) > 1:
                self._add(file, f"twice {name}", f"expected each column once, got {name} again", line=1)
        if not missing and len(header) == len(names):
            self._add(file, "header", f"expected the columns in the order {', '.join(names)}", line=1)
        return [header.index(name) if name in header else None for name in names]

    def _chunk(
        self, rows: list[list[str]], positions: Sequence[int | None], width: int, file: str, before: int
    ) -> None:
        """Check some rows; `before` is the line on which the row before them ends."""
        self.rows += len(rows)
        if set(map(len, rows)) != {width}:
            rows = self._even(rows, width, file, before)
        columns = list(zip(*rows, strict=True))
        for field, position in zip(self.schema.fields, positions, strict=True):
            if position is not None and position < len(columns):
                self._column(field, columns[position], rows, file, before)

    def _even(self, rows: list[list[str]], width: int, file: str, before: int) -> list[list[str]]:
        """Report rows with too few or too many values, and give them as many as the header has."""
        for index, row in enumerate(rows):
            if len(row) != width:
                line = _line_of(rows, index, before)
                message = f"expected {width} values, got {len(row)}" if row else "expected a row, got an empty line"
                remedy = "a value that holds a comma must stand in quotes" if len(row) > width else None
                self._add(file, "a wrong number of values", message, line=line, remedy=remedy)
        return [(row + [""] * width)[:width] for row in rows]

    def _column(self, field: Field, values: tuple[str, ...], rows: list[list[str]], file: str, before: int) -> None:
        distinct = set(values)
        absent = distinct & self.schema.missing_values
        wrong = field.faults_of(distinct - absent)
        if field.required and absent:
            message = f"expected a value, got {shown(min(absent))}"
            wrong |= dict.fromkeys(absent, (message, None))
        if wrong:
            for index, value in enumerate(values):
                if value in wrong:
                    message, suggestion = wrong[value]
                    kind = message.partition(", got ")[0]
                    line = _line_of(rows, index, before)
                    self._add(file, kind, message, line=line, column=field.name, suggestion=suggestion)
        elif field.type == "integer":
            known = (value for value in values if value not in absent) if absent else values
            self.sums[field.name] += sum(map(int, known))
        if field.enum:
            self.counts[field.name].update(values)
        if (hashes := self._hashes.get(field.name)) is not None:
            hashes.extend(map(hash, values if not absent else _told_apart(values, absent, len(hashes))))
        if field.name == self._order_by:
            self._order(field, values, rows, file, before)

    def _order(self, field: Field, values: tuple[str, ...], rows: list[list[str]], file: str, before: int) -> None:
        """Strictly ascending by code points, which is the order of their UTF-8 bytes: so no value stands twice."""
        preceding = (values[0] if self._last is None else self._last, *values[:-1])
        begins = self._last is None
        self._last = values[-1]
        if all(map(operator.lt, preceding[begins:], values[begins:])):
            return
        for index in range(begins, len(values)):
            if preceding[index] >= values[index]:
                line = _line_of(rows, index, before)
                if preceding[index] == values[index]:
                    kind, message = "a value that stands twice", f"expected each value once, got {shown(values[index])}"
                    message += " again"
                else:
                    kind = "rows out of order"
                    message = f"expected rows in byte order, got {shown(values[index])} after {shown(preceding[index])}"
                self._add(file, kind, message, line=line, column=field.name)

    def _add(
        self,
        file: str,
        kind: str,
        message: str,
        *,
        line: int | None = None,
        column: str | None = None,
        suggestion: str | None = None,
        remedy: str | None = None,
    ) -> None:
        key = (file, column, kind)
        self._counted[key] += 1
        if self._counted[key] <= SHOWN_MAX:
            fault = Fault(file=file, message=message, line=line, column=column, suggestion=suggestion)
            self._found.append(replace(fault, remedy=remedy))


class _Lines:
    """The lines of a file in blocks, as bytes, while hashing all of them and watching how they end.

    `count` is how many lines there were so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0
        self._stream = stream
        self._kinds: dict[str, int] = {}
        self.count = 0
        self._crlf = 0
        self._returns = False

    def __iter__(self) -> Iterator[list[bytes]]:
        rest = self._read()
        if rest.startswith(_UTF16):
            self._kinds["utf-16"] = 1
            return
        if rest.startswith(_BOM):
            self._kinds["bom"] = 1
            rest = rest[len(_BOM) :]
        more = True
        while rest:
            lines = rest.splitlines(keepends=True)
            if more:
                # The last one may go on in the next block, a line feed after its carriage return among others.
                rest = lines.pop()
                if len(rest) > _BLOCK_BYTES:
                    self._kinds["long"] = self.count + len(lines) + 1
                    return
            else:
                rest = b""
            self._watch(lines)
            yield lines
            block = self._read() if more else b""
            more = bool(block)
            rest += block

    def drain(self) -> None:
        """Read what nobody wanted as lines, for its hash."""
        while self._read():
            pass

    def faults(self) -> Iterator[tuple[str, str, str]]:
        """Kind, message and remedy of what is wrong with the file as a whole."""
        if "utf-16" in self._kinds:
            yield "utf-16", "expected UTF-8, got UTF-16", "save the file as UTF-8"
        if "bom" in self._kinds:
            message = "expected plain UTF-8, got a byte order mark (BOM) before the first column's name"
            yield "bom", message, "save the file as UTF-8 without BOM"
        if "crlf" in self._kinds:
            message = f"expected lines that end in LF, got CR LF (Windows line ends) on {self._crlf} of them"
            yield "crlf", message, "save the file with Unix line ends"
        if "long" in self._kinds:
            message = f"expected CSV, got a line of over {_BLOCK_BYTES} bytes"
            yield "long", message, "see what the file is; the rest of it was not checked"

    def fault_line(self, kind: str) -> int:
        """The first line where it was seen."""
        return self._kinds[kind]

    def _read(self) -> bytes:
        block = self._stream.read(_BLOCK_BYTES)
        self.sha256.update(block)
        self._returns = self._returns or b"\r" in block
        self.size_bytes += len(block)
        return block

    def _watch(self, lines: list[bytes]) -> None:
        if self._returns and (crlf := [index for index, line in enumerate(lines) if line.endswith(b"\r\n")]):
            self._kinds.setdefault("crlf", self.count + crlf[0] + 1)
            self._crlf += len(crlf)
        self.count += len(lines)


def _plain_rows(lines: list[bytes]) -> list[list[str]] | None:
    """The rows of some lines; None if that takes more than splitting at commas, which is several times as fast as csv.

    That is so where no quote, carriage return, empty line or broken UTF-8 is.
    """
    block = b"".join(lines)
    if b'"' in block or b"\r" in block:
        return None
    try:
        texts = block.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None
    return None if "" in texts else [text.split(",") for text in texts]


def _told_apart(values: Iterable[str], absent: set[str], start: int) -> Iterator[object]:
    """The values; for one that is absent the number of its row, so that it repeats nothing."""
    return ((start + index,) if value in absent else value for index, value in enumerate(values))


def _line_of(rows: list[list[str]], index: int, before: int) -> int:
    """The line on which a row begins, the row before the first one ending on line `before`."""
    return before + index + 1 + sum(value.count("\n") for row in rows[:index] for value in row)


def _twins(hashes: array[int]) -> Iterator[tuple[int, int]]:
    """Pairs of rows (first, again) with one hash, in the order of the later row; at most `_TWINS_MAX`."""
    values = pa.Array.from_buffers(pa.int64(), len(hashes), [None, pa.py_buffer(hashes)])
    order = pc.sort_indices(values)
    ordered = values.take(order)
    same = pc.equal(ordered.slice(0, max(0, len(ordered) - 1)), ordered.slice(1))
    places = pc.indices_nonzero(same).slice(0, _TWINS_MAX)
    # Arrow's sort is stable: of equal values the earlier row stands first.
    firsts, repeats = order.take(places), order.take(pc.add(places, pa.scalar(1, places.type)))
    yield from sorted(zip(firsts.to_pylist(), repeats.to_pylist(), strict=True), key=operator.itemgetter(1))
