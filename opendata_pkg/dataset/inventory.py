"""The inventory of a dataset: its files as CSV in shards, and the digests over them. Pure: bytes out."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.columns.arrays import bytes_of, hold_any, joined, replace_where, without_prefix
from opendata_pkg.dataset.descriptor import shard_info
from opendata_pkg.model import Grade
from opendata_pkg.plan.plan import rows_of
from opendata_pkg.text import UNSAFE, UNSAFE_BYTES, escape_line
from opendata_pkg.written import ContentDigest, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opendata_pkg.dataset.descriptor import ShardInfo
    from opendata_pkg.plan.plan import Ranges

COLUMNS = ("path", "key", "bytes", "sha256", "md5", "etag", "version_id", "last_modified", "grade")
"""Columns of an inventory; schemas/files.tableschema.json describes each."""

# A shard ends before a path whose CRC-32 is a multiple of this: where it ends depends on that path alone, so that one
# file more or less changes one shard (or splits or joins two) and all others keep their bytes and names.
_MEAN_ROWS = 1024
FIRST_SHARD = "0" * 16
HEAD = (",".join(COLUMNS) + "\n").encode()
"""The first line of every shard."""
_QUOTED_FIELD = re.compile(rb'"((?:[^"]|"")*)"')
# Few enough to stay in the processor's cache from one step to the next.
_BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A run of an inventory's rows as a CSV file; `released`: where the last release has the same one."""

    info: ShardInfo
    data: bytes
    released: Path | None = None

    @classmethod
    def of(cls, start: str, first_path: str, lines: Iterable[bytes | memoryview]) -> Shard:
        """The one that begins at a path (empty: the first there can be), of the lines of its rows."""
        name = hashlib.sha256(start.encode()).hexdigest()[:16] if start else FIRST_SHARD
        data = b"".join([HEAD, *lines])
        return cls(info=shard_info(f"{name}.csv", data, first_path), data=data)


class InventoryWriter:
    """Takes files in byte order of their paths, gives shards as they fill. Memory: one shard and one batch."""

    def __init__(self) -> None:
        """Begin the first shard."""
        self._start = ""
        self._pieces: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> Iterator[Shard]:
        """Take a batch of `Plan.batches`; gives the shards that it closes."""
        paths = batch["path"].cast(pa.binary()).to_pylist()
        begun = 0
        for row in [row for row, path in enumerate(paths) if begins_shard(path)]:
            self._take(batch.slice(begun, row - begun))
            yield from self.finish()
            self._start, begun = paths[row].decode(), row
        self._take(batch.slice(begun))

    def finish(self) -> Iterator[Shard]:
        """The last shard, if any file is in it."""
        if self._pieces:
            lines = (bytes_of(inventory_lines(piece)) for piece in self._pieces)
            yield Shard.of(self._start, self._pieces[0]["path"][0].as_py(), lines)
            self._pieces = []

    def _take(self, rows: pa.RecordBatch) -> None:
        if len(rows):
            self._pieces.append(rows)


def begins_shard(path: bytes) -> bool:
    """Whether a shard begins at that path: its CRC-32 tells."""
    return not zlib.crc32(path) % _MEAN_ROWS


def inventory_lines(batch: pa.RecordBatch) -> pa.Array:
    """The rows of an inventory, as `csv` writes them: quoted where a comma, a quote or a line end asks for it."""
    times = batch["last_modified"].cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    times = joined(pc.replace_substring_regex(pc.replace_substring(times, " ", "T"), r"\.0+$", ""), "Z")
    keys = batch["key"]
    if hold_any(keys, UNSAFE_BYTES):
        keys = replace_where(keys, pc.match_substring_regex(keys, UNSAFE), escape_line)
    columns = [
        _quoted(batch["path"]),
        _quoted(keys),
        batch["size"].cast(pa.string()),
        batch["sha256"],
        batch["md5"],
        _quoted(batch["etag"]),
        _quoted(batch["version_id"]),
        times,
        _grades(batch),
    ]
    return joined(pc.binary_join_element_wise(*(pc.fill_null(column, "") for column in columns), ","), "\n")


def paths_and_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[bytes, bytes]]:
    """The path and the line of every row of batches of `Plan.batches`."""
    for batch in batches:
        columns = batch["path"], inventory_lines(batch)
        yield from zip(*(column.cast(pa.binary()).to_pylist() for column in columns), strict=True)


def has_line_a_row(data: bytes) -> bool:
    """Whether a file is a shard in which every line is a row: no value holds a line end, as an ETag in theory may."""
    return data.startswith(HEAD) and (b'"' not in data or not any(line.count(b'"') % 2 for line in data.splitlines()))


def path_at(data: bytes, start: int) -> bytes:
    """The path of the row that begins there in a shard."""
    quoted = _QUOTED_FIELD.match(data, start)
    return data[start : data.index(b",", start)] if quoted is None else quoted[1].replace(b'""', b'"')


def find_row(data: bytes, path: bytes, start: int, stop: int) -> int:
    """Where the first row begins, of those of a shard between these places, that is not before a path; else `stop`."""
    while start < stop:
        middle = data.rfind(b"\n", start, (start + stop) // 2) + 1 or start
        if path_at(data, middle) < path:
            start = data.index(b"\n", middle) + 1
        else:
            stop = middle
    return start


def _quoted(texts: pa.Array) -> pa.Array:
    if not hold_any(texts, b'",\r\n'):
        return texts
    # RFC 4180: "Fields containing line breaks (CRLF), double quotes, and commas should be enclosed in double-quotes",
    # a double quote in them doubled.
    odd = pc.match_substring_regex(texts, '[",\r\n]')
    return pc.if_else(odd, joined('"', pc.replace_substring(texts, '"', '""'), '"'), texts)


def _grades(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """The grade of every row, as `S3Object.grade` has it."""
    digest = pc.or_(pc.is_valid(rows["sha256"]), pc.is_valid(rows["md5"]))
    # As `model.is_real_version` has it: `null` counts as none.
    real = pc.fill_null(pc.not_equal(rows["version_id"], "null"), fill_value=False)
    known = pc.if_else(real, Grade.FIXED.value, Grade.VERIFIABLE.value)
    return pc.if_else(digest, known, pc.if_else(real, Grade.VERSIONED.value, Grade.MUTABLE.value))


def totals_of(table: pa.Table) -> Totals:
    """The totals over the rows of a snapshot's table."""
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(_grades(table)).to_pylist()}
    return Totals(
        files=table.num_rows,
        size_bytes=int(pc.sum(table["size"]).as_py() or 0),
        unknown_sizes=table["size"].null_count,
        grades={grade.value: counts.get(grade.value, 0) for grade in Grade},
    )


def content_digest(table: pa.Table, prefix: str) -> ContentDigest:
    """The digest over the rows of a snapshot's table, all below `prefix`, in key order.

    "PATH = S3 key relative to the branch, control bytes, `%` and DEL percent-encoded, UTF-8 byte order; DIGEST =
    `sha256:HEX`, else `md5:HEX`, else `-` (BYTES `-` if unknown)": anyone can make the same lines with standard tools,
    sort them with `LC_ALL=C sort` and compare with `sha256sum`.
    """
    digest = hashlib.sha256()
    incomplete = 0
    if any(hold_any(chunk, UNSAFE_BYTES) for chunk in table["key"].chunks):
        # Escaping moves a key in the order (a newline becomes `%0A`), so all lines are sorted again.
        paths = [escape_line(key[len(prefix) :]) for key in table["key"].to_pylist()]
        order = sorted(range(len(paths)), key=[path.encode() for path in paths].__getitem__)
        table = table.take(pa.array(order))
        table = table.set_column(0, "key", pa.array([paths[index] for index in order], pa.string()))
        prefix = ""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        lines, odd = _digest_lines(batch)
        incomplete += odd.true_count
        digest.update(bytes_of(without_prefix(lines, prefix)))
    return ContentDigest(sha256=digest.hexdigest(), incomplete=incomplete)


def content_digests(table: pa.Table, parts: Sequence[tuple[str, Ranges]]) -> list[ContentDigest]:
    """`content_digest` of several parts of a table, by prefix and rows, of which one may be in another.

    All lines are made once: with a branch above it, a line only begins earlier in the key.
    """
    if any(hold_any(chunk, UNSAFE_BYTES) for chunk in table["key"].chunks):
        return [content_digest(rows_of(table, ranges), prefix) for prefix, ranges in parts]
    digests, incomplete = [hashlib.sha256() for _ in parts], [0] * len(parts)
    begun = 0
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        lines, odd = _digest_lines(batch)
        for number, (prefix, ranges) in enumerate(parts):
            for start, stop in ranges:
                first, length = max(start - begun, 0), min(stop - begun, len(batch)) - max(start - begun, 0)
                if length > 0:
                    incomplete[number] += odd.slice(first, length).true_count
                    digests[number].update(bytes_of(without_prefix(lines.slice(first, length), prefix)))
        begun += len(batch)
    return [
        ContentDigest(sha256=digest.hexdigest(), incomplete=count)
        for digest, count in zip(digests, incomplete, strict=True)
    ]


def _digest_lines(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """The lines of rows as a content digest takes them, of whole keys; and which of them hold a `-`."""
    known = joined("sha256:", batch["sha256"], "\n")
    if known.null_count:
        known = pc.coalesce(known, joined("md5:", batch["md5"], "\n"))
    sizes = batch["size"].cast(pa.string())
    odd = pc.or_(pc.is_null(known), pc.is_null(sizes))
    keys = batch["key"]
    return pc.binary_join_element_wise(keys, pc.fill_null(sizes, "-"), pc.fill_null(known, "-\n"), "\t"), odd
