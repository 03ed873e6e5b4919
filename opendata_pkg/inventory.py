"""The inventory of a dataset: its files as CSV in shards, and the digests over them. Pure: bytes out."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.arrays import bytes_of, joined, replace_where
from opendata_pkg.model import Grade
from opendata_pkg.standing import ContentDigest, Totals
from opendata_pkg.text import UNSAFE, escape_line

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("path", "key", "bytes", "sha256", "md5", "etag", "version_id", "last_modified", "grade")
"""Columns of an inventory; schemas/files.tableschema.json describes each."""

# A shard ends before a path whose CRC-32 is a multiple of this: where it ends depends on that path alone, so that one
# file more or less changes one shard (or splits or joins two) and all others keep their bytes and names.
_MEAN_ROWS = 1024
_FIRST_SHARD = "0" * 16
_HEAD = ",".join(COLUMNS) + "\n"
_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A run of an inventory's rows as one CSV file. `name` is its file name, `first_path` that of its first row."""

    name: str
    data: bytes
    rows: int
    first_path: str


class InventoryWriter:
    """Takes files in byte order of their paths, gives shards as they fill. Memory: one shard and one batch."""

    def __init__(self) -> None:
        """Begin the first shard."""
        self._begin(_FIRST_SHARD)

    def _begin(self, name: str) -> None:
        self._name, self._lines = name, [_HEAD]
        self._first_path = ""

    def add(self, batch: pa.RecordBatch) -> Iterator[Shard]:
        """Take a batch of `Plan.batches`; gives the shards that it closes."""
        lines = inventory_lines(batch)
        paths = batch["path"]
        begun = 0
        for row, path in enumerate(paths.cast(pa.binary()).to_pylist()):
            if zlib.crc32(path) % _MEAN_ROWS == 0:
                self._take(paths, lines, begun, row)
                yield from self.finish()
                self._begin(hashlib.sha256(path).hexdigest()[:16])
                begun = row
        self._take(paths, lines, begun, len(paths))

    def _take(self, paths: pa.Array, lines: pa.Array, start: int, stop: int) -> None:
        if start < stop:
            self._first_path = self._first_path or paths[start].as_py()
            self._lines += lines[start:stop].to_pylist()

    def finish(self) -> Iterator[Shard]:
        """The last shard, if any file is in it."""
        rows = len(self._lines) - 1
        if rows:
            data = "".join(self._lines).encode()
            yield Shard(name=f"{self._name}.csv", data=data, rows=rows, first_path=self._first_path)


def inventory_lines(batch: pa.RecordBatch) -> pa.Array:
    """The rows of an inventory, as `csv` writes them: quoted where a comma, a quote or a line end asks for it."""
    times = batch["last_modified"].cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.string())
    times = joined(pc.replace_substring_regex(pc.replace_substring(times, " ", "T"), r"\.0+$", ""), "Z")
    keys = batch["key"]
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


def _quoted(texts: pa.Array) -> pa.Array:
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
    if pc.any(pc.match_substring_regex(table["key"], UNSAFE)).as_py():
        # Escaping moves a key in the order (a newline becomes `%0A`), so all lines are sorted again.
        paths = [escape_line(key[len(prefix) :]) for key in table["key"].to_pylist()]
        order = sorted(range(len(paths)), key=[path.encode() for path in paths].__getitem__)
        table = table.take(pa.array(order))
        table = table.set_column(0, "key", pa.array([paths[index] for index in order], pa.string()))
        prefix = ""
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        if batch.num_rows == 0:
            continue
        paths_column = pc.utf8_slice_codeunits(batch["key"], start=len(prefix))
        known = pc.coalesce(
            pc.binary_join_element_wise("sha256", batch["sha256"], ":"),
            pc.binary_join_element_wise("md5", batch["md5"], ":"),
        )
        sizes = batch["size"].cast(pa.string())
        incomplete += pc.sum(pc.or_(pc.is_null(known), pc.is_null(sizes))).as_py() or 0
        lines = pc.binary_join_element_wise(paths_column, pc.fill_null(sizes, "-"), pc.fill_null(known, "-"), "\t")
        digest.update(bytes_of(joined(lines, "\n")))
    return ContentDigest(sha256=digest.hexdigest(), incomplete=int(incomplete))
