"""S3 Inventories as Amazon writes them: small, real files of each format."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "inventories/the-bucket/daily"
COLUMNS = {
    "bucket": ("Bucket", pa.string()),
    "key": ("Key", pa.string()),
    "version_id": ("VersionId", pa.string()),
    "is_latest": ("IsLatest", pa.bool_()),
    "is_delete_marker": ("IsDeleteMarker", pa.bool_()),
    "size": ("Size", pa.int64()),
    "last_modified_date": ("LastModifiedDate", pa.timestamp("ms", "UTC")),
    "e_tag": ("ETag", pa.string()),
    "storage_class": ("StorageClass", pa.string()),
    "encryption_status": ("EncryptionStatus", pa.string()),
    "checksum_algorithm": ("ChecksumAlgorithm", pa.string()),
}
CURRENT_ONLY = [name for name in COLUMNS if name not in {"version_id", "is_latest", "is_delete_marker"}]
SUFFIXES = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}


@dataclass
class Inventory:
    """An inventory in a folder, laid out as `aws s3 sync` of its configuration's prefix does."""

    folder: Path
    file_format: str
    columns: list[str] = field(default_factory=lambda: list(COLUMNS))
    files: list[dict[str, Any]] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        """The manifest's path."""
        return self.folder / "2024-06-01T00-00Z" / "manifest.json"

    def data_path(self, number: int) -> Path:
        """Where a data file is."""
        return self.folder / "data" / f"part-{number}.{SUFFIXES[self.file_format]}"

    def add(self, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
        """One more data file, of these rows, named in the manifest."""
        path = self.data_path(len(self.files))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rows, self.columns if columns is None else columns, self.file_format))
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        self.files.append({"key": f"{PREFIX}/data/{path.name}", "size": path.stat().st_size, "MD5checksum": md5})
        self.write_manifest()

    def write_manifest(self, **changed: Any) -> None:
        """The manifest, with some of its members changed."""
        self.document.update(changed)
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest = {
            "sourceBucket": "the-bucket",
            "destinationBucket": "arn:aws:s3:::inventories",
            "version": "2016-11-30",
            "creationTimestamp": "1717200000000",
            "fileFormat": self.file_format,
            "fileSchema": schema_text(self.columns, self.file_format),
            "files": self.files,
            **self.document,
        }
        self.manifest.write_text(json.dumps(manifest))


def schema_text(columns: list[str], file_format: str) -> str:
    """How a manifest states the columns."""
    if file_format == "CSV":
        return ", ".join(COLUMNS[name][0] for name in columns)
    if file_format == "ORC":
        return f"struct<{','.join(f'{name}:string' for name in columns)}>"
    fields = "".join(f"optional binary {name} (UTF8); " for name in columns)
    return f"message s3.inventory {{ {fields}}}"


def encode(rows: list[dict[str, Any]], columns: list[str], file_format: str) -> bytes:
    """A data file's bytes."""
    stream = io.BytesIO()
    if file_format == "CSV":
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([[csv_cell(name, row.get(name)) for name in columns] for row in rows])
        return gzip.compress(text.getvalue().encode(), mtime=0)
    arrays = [pa.array([row.get(name) for row in rows], COLUMNS[name][1]) for name in columns]
    table = pa.table(arrays, names=columns)
    if file_format == "Parquet":
        pq.write_table(table, stream)
    else:
        orc.write_table(table, stream)
    return stream.getvalue()


def csv_cell(name: str, value: Any) -> str:
    """A value as it stands in a CSV inventory: keys URL-encoded, times in milliseconds."""
    if value is None:
        return ""
    if name == "key":
        return quote_plus(value, safe="/")
    if isinstance(value, bool):
        return str(value).lower()
    return value.strftime("%Y-%m-%dT%H:%M:%S.000Z") if name == "last_modified_date" else str(value)
