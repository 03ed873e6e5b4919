"""Digests that somebody computed elsewhere: files of them, and reports of S3 Batch Operations ("Compute checksum").

A report is CSV without a header, though people put one in. Amazon S3's user guide gives its schema as "Bucket, Key,
VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage", with keys URL-encoded and the checksum as JSON in the
last column. Its own examples have the two codes the other way round, so neither is looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from opendata_pkg.listing.s3_inventory import BadKeyError, decode_keys
from opendata_pkg.listing.table import SUFFIXES, is_listing_file, known_names, plain_name, tell_ignored
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ENTRY_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("md5", pa.string()),
    ]
)
"""Columns of digests. What is null was not said; at least one digest is not."""

DIGEST_BYTES = {"sha256": 32, "md5": 16}
_REPORT = ("bucket", "key", "version_id", "status", "code_1", "code_2", "message")
_REPORT_HEADER = ["bucket", "key", "versionid", "taskstatus", "errorcode", "httpstatuscode", "resultmessage"]
_STATUSES = {"succeeded", "failed"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_MESSAGE = {
    "hex": r'"checksum_?[hH]ex"\s*:\s*"(?P<found>[^"]*)"',
    "base64": r'"checksum_?[bB]ase64"\s*:\s*"(?P<found>[^"]*)"',
    "algorithm": r'"checksum_?[aA]lgorithm"\s*:\s*"(?P<found>[^"]*)"',
    "type": r'"checksum_?[tT]ype"\s*:\s*"(?P<found>[^"]*)"',
    "etag": r'"[eE][tT]ag"\s*:\s*"(?:\\")?(?P<found>[^"\\]*)',
}


class BadDigestFileError(InputError):
    """A file of digests is not what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRows:
    """Digests in the columns of `ENTRY_SCHEMA`; `unusable` entries were of failed tasks, parts or other algorithms."""

    table: pa.Table
    unusable: int = 0


def read_digests(path: Path, *, bucket: str | None = None, reporter: Reporter = SILENT) -> Iterator[DigestRows]:
    """Read a report of S3 Batch Operations, or CSV, TSV or Parquet with `key` and `sha256` or `md5`, part by part.

    `version_id`, `size` and `etag` may be there too, and say of which state of the object the digest is. Names of
    columns may also be spelled like `VersionId`; other columns are ignored, and named in a message. Digests are hex in
    any case, or base64. `bucket` is the one that a report must be of.

    Raises:
        BadDigestFileError: it is none of these, or an entry has no key, or a digest that is none.
        NotFoundError: there is no such file.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file of digests {path}: check its name")
    if not is_listing_file(path.name):
        raise BadDigestFileError(f"{path}: expected a file of digests to end in one of {' '.join(SUFFIXES)}")
    try:
        if path.name.lower().endswith(".parquet"):
            with pq.ParquetFile(path) as file:
                names = _header(path, file.schema_arrow.names, reporter)
                for batch in file.iter_batches():
                    yield _plain(path, _strings(pa.Table.from_batches([batch]).rename_columns(names)))
        else:
            yield from _read_parts(path, bucket, reporter)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise BadDigestFileError(f"{path} cannot be read: {error}; copy it again, or mend it") from error
    except BadKeyError as error:
        raise BadDigestFileError(f"{path}: {error}") from error


def _read_parts(path: Path, bucket: str | None, reporter: Reporter) -> Iterator[DigestRows]:
    """A text's first row tells what it is: a report, or the names of columns."""
    names, is_report = list[str](), False
    for part in _read_text(path):
        table = part
        if not names:
            first = [str(column[0].as_py()) for column in part.columns]
            has_header = [plain_name(name) for name in first] == _REPORT_HEADER
            is_report = has_header or (len(first) == len(_REPORT) and first[3].lower() in _STATUSES)
            names = list(_REPORT) if is_report else _header(path, first, reporter)
            table = part.slice(1) if has_header or not is_report else part
        table = table.rename_columns(names)
        if not is_report:
            yield _plain(path, table)
        elif len(table):
            bucket = bucket or str(table["bucket"][0].as_py())
            yield _report(path, table, bucket)


def _read_text(path: Path) -> Iterator[pa.Table]:
    """All cells as texts, the first row among them."""
    name = path.name.lower()
    delimiter = "\t" if ".tsv" in name else ","
    compression = "gzip" if name.endswith(".gz") else None
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with pa.input_stream(str(path), compression=compression) as stream:
        width = len(pa.csv.open_csv(stream, parse_options=parse).schema)
    columns = [f"f{number}" for number in range(width)]
    with pa.input_stream(str(path), compression=compression) as stream:
        reader = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(column_names=columns),
            parse_options=parse,
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _strings(table: pa.Table) -> pa.Table:
    names = [name for name in table.column_names if name in ENTRY_SCHEMA.names]
    return pa.table({name: table[name].cast(pa.string()) for name in names})


def _header(path: Path, found: Sequence[str], reporter: Reporter) -> list[str]:
    """The names of columns, those that are known as in `ENTRY_SCHEMA`."""
    names = known_names(found, ENTRY_SCHEMA.names)
    if "key" not in names or not any(name in names for name in DIGEST_BYTES):
        raise BadDigestFileError(
            f"{path}: expected a header with the column key and sha256 or md5, or a report of S3 Batch Operations; "
            f"got {', '.join(found[:20]) or 'nothing'}"
        )
    if twice := [name for name in ENTRY_SCHEMA.names if names.count(name) > 1]:
        raise BadDigestFileError(f"{path}: expected each column once, got {' and '.join(twice)} twice")
    tell_ignored(path, names, ENTRY_SCHEMA.names, reporter)
    return names


def _plain(path: Path, table: pa.Table) -> DigestRows:
    columns = {name: _empty_to_null(table[name]) for name in table.column_names if name in ENTRY_SCHEMA.names}
    return _checked(path, columns, len(table), unusable=0)


def _report(path: Path, table: pa.Table, bucket: str) -> DigestRows:
    others = table.filter(pc.not_equal(table["bucket"], bucket))
    if len(others):
        raise BadDigestFileError(
            f"{path}: expected a report on bucket {bucket}, got one on {others['bucket'][0].as_py()}: "
            "name the report of this snapshot's bucket"
        )
    said = {name: _extract(table["message"], pattern) for name, pattern in _MESSAGE.items()}
    algorithm = pc.utf8_lower(said["algorithm"])
    # A checksum of type COMPOSITE is one of the checksums of parts, not of the object's bytes.
    usable = pc.and_(pc.equal(pc.utf8_lower(table["status"]), "succeeded"), pc.equal(said["type"], "FULL_OBJECT"))
    usable = pc.fill_null(pc.and_(usable, pc.is_in(algorithm, pa.array(list(DIGEST_BYTES)))), fill_value=False)
    in_hex, in_base64 = (_empty_to_null(texts) for texts in (said["hex"], _unescaped(said["base64"])))
    keys = decode_keys(table["key"])
    both = pc.and_(usable, pc.and_(pc.is_valid(in_hex), pc.is_valid(in_base64)))
    _check_agree(path, *(texts.filter(both).to_pylist() for texts in (keys, in_hex, in_base64)))
    digest = pc.coalesce(in_hex, in_base64)
    columns = {
        "key": keys.filter(usable),
        "version_id": _empty_to_null(table["version_id"]).filter(usable),
        "etag": _empty_to_null(said["etag"]).filter(usable),
        **{
            name: pc.if_else(pc.equal(algorithm, name), digest, pa.scalar(None, pa.string())).filter(usable)
            for name in DIGEST_BYTES
        },
    }
    count = pc.sum(usable).as_py() or 0
    return _checked(path, columns, count, unusable=len(table) - count)


def _check_agree(path: Path, keys: list[str], in_hex: list[str], in_base64: list[str]) -> None:
    """That both ways in which a report states a checksum state the same."""
    for key, text, other in zip(keys, in_hex, in_base64, strict=True):
        if _from_base64(other).hex() != text.lower():
            raise BadDigestFileError(
                f"{path}: {key!r}: expected one checksum, got {text} in hex and {other} in base64, which is another: "
                "it was altered; copy the report again"
            )


def _from_base64(text: str) -> bytes:
    """Its bytes; none if it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _checked(path: Path, columns: dict[str, Any], count: int, *, unusable: int) -> DigestRows:
    keys = columns["key"]
    if keys.null_count:
        raise BadDigestFileError(
            f"{path}: expected a key in each row, got {counted(keys.null_count, 'row')} without one"
        )
    for name, width in DIGEST_BYTES.items():
        if name in columns:
            columns[name] = _as_hex(path, name, width, keys, columns[name])
    if "etag" in columns:
        columns["etag"] = pc.utf8_trim(columns["etag"], '"')
    if "size" in columns:
        columns["size"] = _as_sizes(path, keys, columns["size"])
    table = pa.table(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in ENTRY_SCHEMA
        ],
        schema=ENTRY_SCHEMA,
    )
    has_digest = pc.or_(pc.is_valid(table["sha256"]), pc.is_valid(table["md5"]))
    without = count - (pc.sum(has_digest).as_py() or 0)
    return DigestRows(table=table.filter(has_digest), unusable=unusable + without)


def _as_sizes(path: Path, keys: pa.ChunkedArray, sizes: pa.ChunkedArray) -> pa.ChunkedArray:
    is_wrong = pc.invert(pc.match_substring_regex(sizes, "^[0-9]{1,18}$"))
    if (row := pc.index(is_wrong, value=True).as_py()) >= 0:
        raise BadDigestFileError(
            f"{path}: {keys[row].as_py()!r}: expected size as a whole number of bytes, got {sizes[row].as_py()!r}"
        )
    return sizes.cast(pa.int64())


def _as_hex(path: Path, name: str, width: int, keys: pa.ChunkedArray, digests: pa.ChunkedArray) -> pa.ChunkedArray:
    """Digests as lower-case hex, from hex of any case or base64; base64 alone is decoded one by one."""
    lower = pc.utf8_lower(digests)
    is_hex = pc.match_substring_regex(lower, f"^[0-9a-f]{{{2 * width}}}$")
    others = pc.fill_null(pc.invert(is_hex), fill_value=False)
    if not pc.any(others).as_py():
        return lower
    decoded = []
    for key, text in zip(keys.filter(others).to_pylist(), digests.filter(others).to_pylist(), strict=True):
        raw = _from_base64(text)
        if len(raw) != width:
            raise BadDigestFileError(
                f"{path}: {key!r}: expected {name} as {2 * width} hex digits or base64 of {width} bytes, got {text!r}: "
                "write it so, or leave it empty if it is not known"
            )
        decoded.append(raw.hex())
    return pc.replace_with_mask(lower.combine_chunks(), others.combine_chunks(), pa.array(decoded, pa.string()))


def _unescaped(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    r"""Texts out of JSON, in which `=` and `/` may stand as `\u003d` and `\/`."""
    is_escaped = pc.fill_null(pc.match_substring(texts, "\\"), fill_value=False)
    if not pc.any(is_escaped).as_py():
        return texts
    plain = [_ESCAPE.sub(_character, text) for text in texts.filter(is_escaped).to_pylist()]
    return pc.replace_with_mask(texts.combine_chunks(), is_escaped.combine_chunks(), pa.array(plain, pa.string()))


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else escape[2]


def _extract(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(texts, pattern), "found")


def _empty_to_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
