"""Listing files: keys and sizes that somebody wrote down, as CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opendata_pkg.model import InputError, NotFoundError, parse_md5, parse_sha256
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.snapshot.header import parse_time
from opendata_pkg.snapshot.rows import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
REQUIRED = ("key", "size")
COLUMNS = tuple(SCHEMA.names)

_BATCH_ROWS = 20_000
_SIZE = re.compile(r"[0-9]+")
_SPELLING = re.compile(r"[\s_-]")
# Far above any object, and still a whole number in every JSON reader.
_MAX_SIZE_BYTES = (1 << 53) - 1


class BadListingError(InputError):
    """A listing file is not what it must be. `line` is where, counted from 1, or the row of a Parquet file."""

    def __init__(self, path: Path, line: int | None, fault: str) -> None:
        self.path, self.line = path, line
        place = f"{path}" if line is None else f"{path}, {_unit(path)} {line}"
        super().__init__(f"{place}: {fault}")


class EmptyListingError(NotFoundError):
    """A listing file has no rows."""


def is_listing_file(name: str) -> bool:
    """Whether a source's name says that it is a listing file."""
    return name.lower().endswith(SUFFIXES)


def plain_name(name: str) -> str:
    """What all spellings of a column's name have in common: `versionid` of `VersionId`, `version_id`, `version id`."""
    return _SPELLING.sub("", name).lower()


def known_names(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names in a header as they are spelled in `known`, unless that spelling is there too; others stay."""
    spelled = {plain_name(name): name for name in known if name not in names}
    return [spelled.get(plain_name(name), name) for name in names]


def tell_ignored(path: Path, names: Sequence[str], known: Sequence[str], reporter: Reporter) -> None:
    """Name the columns that are not known."""
    if ignored := [name for name in names if name not in known]:
        reporter.message(f"{path}: ignoring columns that mean nothing here: {', '.join(ignored)}")


def read_listing(path: Path, *, reporter: Reporter = SILENT) -> Iterator[pa.Table]:
    """The rows of a listing file in the columns of a snapshot, in the file's order, some ten thousand at a time.

    Columns `key` and `size` must be there; `version_id`, `etag`, `sha256`, `md5`, `last_modified` (ISO 8601 with its
    zone) and `storage_class` may be, also spelled like `VersionId`; others are ignored, and named in a message. An
    empty value is an unknown one, and so is a size beginning with `~`, which is a rounded one. CSV and TSV are UTF-8
    (with or without a byte order mark), with LF or CRLF, quoted as RFC 4180 says. Whether a key stands twice, sorting
    tells: see `key_stands_twice`.

    Raises:
        BadListingError: names the line, what was expected, what was got and what to write instead.
        EmptyListingError: there is a header and nothing else.
        NotFoundError: there is no such file.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no listing file {path}: check its name")
    count = 0
    rows = _rows(path, reporter)
    while taken := list(islice(rows, _BATCH_ROWS)):
        columns = _Columns(path)
        for line, row in taken:
            columns.add(line, row)
        count += len(taken)
        reporter.advance(len(taken))
        yield pa.table([pa.array(columns.values[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
    if not count:
        raise EmptyListingError(f"{path} lists no objects: write one {_unit(path)} an object below its header")


def key_stands_twice(path: Path, key: str) -> BadListingError:
    """The error that says in which two lines of a listing file a key stands: what only reading it again can tell."""
    lines = [line for line, row in _rows(path, SILENT) if row.get("key") == key]
    first, second = lines[:2]
    fault = f"expected each key once, but {key!r} already stood in {_unit(path)} {first}: remove one of them"
    return BadListingError(path, second, fault)


def _rows(path: Path, reporter: Reporter) -> Iterator[tuple[int, dict[str, str | None]]]:
    return _parquet_rows(path, reporter) if path.name.lower().endswith(".parquet") else _text_rows(path, reporter)


def _unit(path: Path) -> str:
    return "row" if path.name.lower().endswith(".parquet") else "line"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Checked values, column by column."""

    path: Path
    values: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, line: int, row: dict[str, str | None]) -> None:
        """Check a row, as texts, and take it in."""
        key = row.get("key")
        if not key:
            raise BadListingError(self.path, line, "expected a key, got an empty one: write it or remove the line")
        for name, values in self.values.items():
            text = row.get(name)
            values.append(self._parse(line, name, text) if text else None)

    def _parse(self, line: int, name: str, text: str) -> Any:
        try:
            return _PARSERS[name](text)
        except (ValueError, OverflowError) as error:
            raise BadListingError(self.path, line, f"column {name}: {error}; {_ADVICE[name]}") from error


def _parse_size(text: str) -> int | None:
    if text.startswith("~"):
        return None
    if not _SIZE.fullmatch(text) or (size := int(text)) > _MAX_SIZE_BYTES:
        raise ValueError(f"expected a whole number of bytes, got {text!r}")
    return size


def _parse_etag(text: str) -> str | None:
    return text.strip('"') or None


_PARSERS: dict[str, Any] = {
    "key": str,
    "version_id": str,
    "size": _parse_size,
    "etag": _parse_etag,
    "sha256": parse_sha256,
    "md5": parse_md5,
    "last_modified": parse_time,
    "storage_class": str,
}
_NOTHING = "or leave it empty if it is not known"
_ADVICE = {
    "size": f"write digits only, {_NOTHING}",
    "sha256": f"write 64 hex digits, {_NOTHING}",
    "md5": f"write 32 hex digits, {_NOTHING}",
    "last_modified": f"write it as 2024-05-31T12:00:00Z, {_NOTHING}",
}


def _header(path: Path, found: Sequence[str], reporter: Reporter) -> list[str]:
    """The names of columns, those that are known as in `COLUMNS`."""
    names = known_names(found, COLUMNS)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        got = ", ".join(repr(name) for name in found[:20]) or "nothing"
        raise BadListingError(
            path,
            None if path.name.lower().endswith(".parquet") else 1,
            f"expected a header with the columns key and size, and any of {', '.join(COLUMNS[1:2] + COLUMNS[3:])}; "
            f"missing {' and '.join(missing)}, got {got}",
        )
    twice = sorted({name for name in names if name in COLUMNS and names.count(name) > 1})
    if twice:
        raise BadListingError(path, 1, f"expected each column once, got {' and '.join(twice)} twice")
    tell_ignored(path, names, COLUMNS, reporter)
    return names


def _text_rows(path: Path, reporter: Reporter) -> Iterator[tuple[int, dict[str, str | None]]]:
    name = path.name.lower().removesuffix(".gz")
    delimiter = "\t" if name.endswith(".tsv") else ","
    with _faults_in_words(path), _open_text(path) as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            names = _header(path, next(reader, []), reporter)
            end = reader.line_num
            for cells in reader:
                line, end = end + 1, reader.line_num
                if not cells:
                    continue
                if len(cells) != len(names):
                    fault = f"expected {len(names)} columns as in the header, got {len(cells)}: quote what holds a "
                    raise BadListingError(path, line, fault + ("tab" if delimiter == "\t" else "comma"))
                yield line, dict(zip(names, cells, strict=True))
        except csv.Error as error:
            if "new-line character" in str(error):
                fault = "a carriage return stands outside quotes: end lines with LF or CRLF, and quote what holds one"
                raise BadListingError(path, reader.line_num, fault) from error
            raise BadListingError(path, reader.line_num, f"expected {name[-3:].upper()}: {error}") from error


# Lines end at LF alone: a lone CR is then an error of csv's, where it would otherwise cut a key in two.
@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    if path.name.lower().endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="\n") as stream:
            yield stream
    else:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            yield stream


@contextmanager
def _faults_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadListingError(path, None, f"expected UTF-8: {error}; save it as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadListingError(path, None, f"expected a whole gzip file: {error}; copy it again") from error


def _parquet_rows(path: Path, reporter: Reporter) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            spelled = dict(zip(_header(path, found, reporter), found, strict=True))
            wanted = [name for name in spelled if name in COLUMNS]
            row = 0
            for batch in file.iter_batches(columns=[spelled[name] for name in wanted]):
                columns = [_as_texts(path, name, batch.column(spelled[name])) for name in wanted]
                for cells in zip(*columns, strict=True):
                    row += 1
                    yield row, dict(zip(wanted, cells, strict=True))
    except (pa.ArrowInvalid, OSError) as error:
        raise BadListingError(path, None, f"expected a whole Parquet file: {error}; copy it again") from error


def _as_texts(path: Path, name: str, column: pa.Array) -> list[str | None]:
    """A column's values as CSV would have them, so that one set of rules checks both."""
    if pa.types.is_floating(column.type):
        # What a table with missing whole numbers becomes in pandas.
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pc.all(pc.equal(column, pc.floor(column))).as_py() is not False:
            column = column.cast(pa.int64())
    try:
        texts: list[str | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowNotImplementedError as error:
        raise BadListingError(path, None, f"column {name}: expected texts or numbers, got {column.type}") from error
    return texts
