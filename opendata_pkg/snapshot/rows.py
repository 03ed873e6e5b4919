"""The rows of a snapshot as columns: what they are, that they are in order, and how objects become such. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.documents import FORMAT
from opendata_pkg.model import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opendata_pkg.model import S3Object
    from opendata_pkg.snapshot.header import SnapshotHeader

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("etag", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("md5", pa.string()),
        pa.field("last_modified", pa.timestamp("us", tz="UTC")),
        pa.field("storage_class", pa.string()),
    ]
)
"""Columns of the Parquet file; docs/reference/snapshot.md describes each."""


BATCH_ROWS = 65_536
"""Rows that are worked on at a time where more would only take memory."""


class DuplicateKeyError(InputError):
    """A source named one key twice."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"expected each key once, got {key!r} twice: scan the source again, or mend the listing file")


def each_key_once(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Rows in order, as they come.

    Raises:
        DuplicateKeyError: a key stands twice.
    """
    last = None
    for batch in batches:
        if not len(batch):
            continue
        keys = batch["key"]
        if last is not None and keys[0].as_py() == last:
            raise DuplicateKeyError(last)
        if len(batch) > 1:
            same = pc.equal(keys.slice(0, len(keys) - 1), keys.slice(1))
            if pc.any(same).as_py():
                raise DuplicateKeyError(keys[pc.index(same, value=True).as_py()].as_py())
        last = keys[len(keys) - 1].as_py()
        yield batch


def new_id(header: SnapshotHeader) -> hashlib._Hash:
    """The digest of an id, before its rows."""
    return hashlib.sha256(f"opendata snapshot {FORMAT}\n{header.base_url or '-'}\n".encode())


def with_columns(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    """Rows of a snapshot with other values in the named columns."""
    for name, values in columns.items():
        index = SCHEMA.names.index(name)
        table = table.set_column(index, SCHEMA.field(index), values)
    return table


def objects_to_table(objects: Iterable[S3Object]) -> pa.Table:
    """Objects as columns, in the order given."""
    rows = [
        (o.key, o.version_id, o.size_bytes, o.etag, o.sha256, o.md5, o.last_modified, o.storage_class) for o in objects
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
