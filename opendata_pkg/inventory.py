"""The inventory of a dataset: its files as CSV in shards, and the digests over them. Pure: bytes out."""

from __future__ import annotations

import csv
import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.model import Grade
from opendata_pkg.snapshot import format_time
from opendata_pkg.text import UNSAFE, escape_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opendata_pkg.plan import PlannedFile

COLUMNS = ("path", "key", "bytes", "sha256", "md5", "etag", "version_id", "last_modified", "grade")
"""Columns of an inventory; schemas/files.tableschema.json describes each."""

# A shard ends before a path whose CRC-32 is a multiple of this: where it ends depends on that path alone, so that one
# file more or less changes one shard (or splits or joins two) and all others keep their bytes and names.
_MEAN_ROWS = 1024
_FIRST_SHARD = "0" * 16
_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A run of an inventory's rows as one CSV file. `name` is its file name, `first_path` that of its first row."""

    name: str
    data: bytes
    rows: int
    first_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDigest:
    """sha256 over lines `PATH TAB BYTES TAB DIGEST LF` of some files, and how many of these lines hold a `-`."""

    sha256: str
    incomplete: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many files, their known bytes, how many of unknown size, and how many of each grade."""

    files: int
    size_bytes: int
    unknown_sizes: int
    grades: Mapping[str, int]


class InventoryWriter:
    """Takes files in byte order of their paths, gives shards as they fill. Memory: one shard."""

    def __init__(self) -> None:
        """Begin the first shard."""
        self._begin(_FIRST_SHARD)

    def _begin(self, name: str) -> None:
        self._name, self._rows, self._first_path, self._text = name, 0, "", io.StringIO()
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._csv.writerow(COLUMNS)

    def add(self, file: PlannedFile) -> Shard | None:
        """Take one file; returns the shard that it closes, if it does."""
        done = None
        encoded = file.path.encode()
        if zlib.crc32(encoded) % _MEAN_ROWS == 0:
            done = self.finish()
            self._begin(hashlib.sha256(encoded).hexdigest()[:16])
        if not self._rows:
            self._first_path = file.path
        entry = file.entry
        self._csv.writerow(
            (
                file.path,
                escape_line(entry.key),
                entry.size_bytes,
                entry.sha256,
                entry.md5,
                entry.etag,
                entry.version_id,
                None if entry.last_modified is None else format_time(entry.last_modified),
                entry.grade.value,
            )
        )
        self._rows += 1
        return done

    def finish(self) -> Shard | None:
        """The last shard, if any file is in it."""
        if not self._rows:
            return None
        data = self._text.getvalue().encode()
        return Shard(name=f"{self._name}.csv", data=data, rows=self._rows, first_path=self._first_path)


def totals_of(table: pa.Table) -> Totals:
    """The totals over the rows of a snapshot's table."""
    digest = pc.or_(pc.is_valid(table["sha256"]), pc.is_valid(table["md5"]))
    # As `model.is_real_version` has it: `null` counts as none.
    real = pc.fill_null(pc.not_equal(table["version_id"], "null"), fill_value=False)

    def count(mask: pa.ChunkedArray) -> int:
        return int(pc.sum(mask).as_py() or 0)

    return Totals(
        files=table.num_rows,
        size_bytes=int(pc.sum(table["size"]).as_py() or 0),
        unknown_sizes=table["size"].null_count,
        grades={
            Grade.FIXED.value: count(pc.and_(digest, real)),
            Grade.VERIFIABLE.value: count(pc.and_(digest, pc.invert(real))),
            Grade.VERSIONED.value: count(pc.and_(pc.invert(digest), real)),
            Grade.MUTABLE.value: count(pc.and_(pc.invert(digest), pc.invert(real))),
        },
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
        digest.update(("\n".join(lines.to_pylist()) + "\n").encode())
    return ContentDigest(sha256=digest.hexdigest(), incomplete=int(incomplete))
