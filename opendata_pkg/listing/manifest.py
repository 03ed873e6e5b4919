"""The manifest of an S3 Inventory, and where the data files that it names are: in folders or in a bucket.

"destination-prefix/source-bucket/config-ID/YYYY-MM-DDTHH-MMZ/manifest.json" and
"destination-prefix/source-bucket/config-ID/data/example-file-name.csv.gz" are the places that Amazon S3's user guide
gives for both ("Locating your inventory list").
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from opendata_pkg.columns.arrays import in_arrow
from opendata_pkg.documents import InvalidDocumentError, validate
from opendata_pkg.listing.bucket import error_code
from opendata_pkg.listing.table import known_names
from opendata_pkg.model import InputError, NotFoundError, SourceError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from opendata_pkg.listing.bucket import Bucket

NAME = "manifest.json"
_SCHEMA = "s3-inventory-manifest"
_VERSION = "2016-11-30"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTEMPTS = 5
_GONE = {"NoSuchKey", "404"}
# What S3 answers of a key that is not there to whom may not list the bucket.
_DENIED = {"AccessDenied", "403"}
_MD5_DIGITS = 32
# ORC: `struct<bucket:string,key:string,…>`; Parquet: `message s3.inventory { required binary key (UTF8); … }`.
_ORC_COLUMN = re.compile(r"[<,]\s*(\w+)\s*:")
_PARQUET_COLUMN = re.compile(r"\b(?:required|optional)\s+\w+\s+(\w+)")
# What is read of them, as Parquet names them; CSV says `VersionId`.
COLUMNS = (
    "bucket",
    "key",
    "version_id",
    "is_latest",
    "is_delete_marker",
    "size",
    "last_modified_date",
    "e_tag",
    "storage_class",
    "encryption_status",
)


class BadInventoryError(InputError):
    """A manifest or data file of an S3 Inventory is not what it must be."""


class MissingInventoryFileError(NotFoundError):
    """The manifest, or a data file that it names, is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file of an inventory: its key in the destination bucket, its size in bytes, and the MD5 of its bytes."""

    key: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest says. `columns` are in the files' order; those of `COLUMNS` are named so, whatever the format."""

    where: str
    bucket: str
    created: datetime | None
    file_format: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]

    def has_two_latest(self, key: str) -> BadInventoryError:
        """The error that says that the data files have two current entries of a key."""
        return BadInventoryError(
            f"{self.where}: expected one latest entry of each key, but its data files have two of {key!r}: "
            "copy all of them again, or take the next inventory"
        )


class Place(Protocol):
    """Where the files of an inventory are."""

    def read_manifest(self) -> bytes:
        """The manifest's bytes."""

    def read_checksum(self) -> bytes | None:
        """What `manifest.checksum` says, "the MD5 hash of the content of manifest.json"; None if it is not there."""

    def read(self, file: DataFile) -> pa.Buffer:
        """The bytes of a data file, as they are there: not checked."""

    def where(self, file: DataFile) -> str:
        """How messages name a data file that is there."""


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A manifest on this machine; data files lie beside it, or where copying the destination bucket puts them."""

    path: Path

    def read_manifest(self) -> bytes:
        """The manifest's bytes."""
        if not self.path.is_file():
            raise MissingInventoryFileError(f"there is no S3 Inventory manifest {self.path}: check its name")
        return self.path.read_bytes()

    def read_checksum(self) -> bytes | None:
        """The bytes of the file beside it, if it was copied, too."""
        path = self.path.with_suffix(".checksum")
        return path.read_bytes() if path.is_file() else None

    def read(self, file: DataFile) -> pa.Buffer:
        """The file's bytes, not copied into memory."""
        path = self.find(file)
        if path.stat().st_size == 0:
            return pa.py_buffer(b"")
        with pa.memory_map(str(path)) as mapped:
            return mapped.read_buffer()

    def where(self, file: DataFile) -> str:
        """Its path: people have several of a name."""
        return str(self.find(file))

    def find(self, file: DataFile) -> Path:
        """The data file whose path ends as its key does, from the manifest's own folder upwards.

        Any part of a key may stand for its place, since people copy a bucket, a prefix or single files; the MD5 in the
        manifest tells whether it is the right one.
        """
        parts = [part for part in file.key.split("/") if part]
        for folder in self.path.absolute().parents[: len(parts) + 1]:
            for start in range(len(parts)):
                if (found := folder.joinpath(*parts[start:])).is_file():
                    return found
        folder, prefix = self.path.absolute().parent.parent, "/".join(parts[:-2])
        raise MissingInventoryFileError(
            f"{self.path} names the data file {file.key}, which is neither beside it nor in {folder / 'data'}: "
            f"copy it there, with: aws s3 sync s3://DESTINATION/{prefix} {folder}"
        )


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A manifest in the bucket that inventories are written to, which also has the data files at their keys."""

    bucket: Bucket
    key: str

    def read_manifest(self) -> bytes:
        """The manifest's bytes."""
        data = self._get(self.key)
        if data is None:
            raise MissingInventoryFileError(
                f"there is no S3 Inventory manifest {self.key} in {self.bucket.where}: check its name"
            )
        return data

    def read_checksum(self) -> bytes | None:
        """The bytes of the object beside it, if it may be read."""
        return self._get(f"{self.key.removesuffix('.json')}.checksum", absent=_GONE | _DENIED)

    def read(self, file: DataFile) -> pa.Buffer:
        """The file's bytes, in memory."""
        data = self._get(file.key)
        if data is None:
            raise MissingInventoryFileError(
                f"{self.key} names the data file {file.key}, which is not in {self.bucket.where}: "
                "inventories expire there; take a newer manifest"
            )
        return in_arrow(data)

    def where(self, file: DataFile) -> str:
        """Its key."""
        return file.key

    def _get(self, key: str, absent: AbstractSet[str] = _GONE) -> bytes | None:
        fault: Exception | None = None
        for _ in range(_ATTEMPTS):
            with self.bucket.errors_in_words():
                try:
                    body: Any = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"]
                except ClientError as error:
                    if error_code(error) in absent:
                        return None
                    raise
            try:
                with closing(body):
                    return bytes(body.read())
            except (BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
                # botocore tries a request again, but not the reading of what answered it.
                fault = error
        raise SourceError(f"{self.bucket.where} broke off {_ATTEMPTS} times while sending {key}: {fault}") from fault


def read_manifest(place: Place, *, where: str) -> Manifest:
    """Read and check a manifest; `where` is how messages name it.

    Raises:
        MissingInventoryFileError: it is not there.
        BadInventoryError: it is of another version, states no columns, names a file twice, or has another MD5 than
            `manifest.checksum` says.
        InvalidDocumentError: it is no JSON, or no manifest.
    """
    data = place.read_manifest()
    _check_manifest(data, place.read_checksum(), where=where)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidDocumentError(where, "$", f"expected a JSON document: {error}; copy it again") from error
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, str) and version != _VERSION:
        raise BadInventoryError(
            f"{where}: expected an S3 Inventory manifest of version {_VERSION}, got {version!r}: upgrade opendata, "
            "or scan the bucket itself, s3://BUCKET"
        )
    validate(document, _SCHEMA, where=where)
    files = tuple(
        DataFile(key=entry["key"], size_bytes=entry["size"], md5=entry["MD5checksum"].lower())
        for entry in document["files"]
    )
    keys = [file.key for file in files]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadInventoryError(f"{where}: expected each data file once, got {twice} twice: copy the manifest again")
    columns = _columns(document["fileFormat"], document["fileSchema"])
    if not columns:
        raise BadInventoryError(
            f"{where}: expected a fileSchema that states columns as {document['fileFormat']} does, "
            f"got {document['fileSchema'][:60]!r}: copy the manifest again"
        )
    created = document.get("creationTimestamp")
    return Manifest(
        where=where,
        bucket=document["sourceBucket"],
        created=None if created is None else _EPOCH + timedelta(milliseconds=int(created)),
        file_format=document["fileFormat"],
        columns=columns,
        files=files,
    )


def _check_manifest(data: bytes, said: bytes | None, *, where: str) -> None:
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if said is not None and said.strip().lower() != found.encode():
        raise BadInventoryError(
            f"{where}: expected the MD5 that manifest.checksum beside it says, "
            f"{said[:_MD5_DIGITS].decode(errors='replace')!r}, got {found}: it was altered or cut short, or both are "
            "not of one inventory; copy both again"
        )


def check_bytes(manifest: Manifest, file: DataFile, data: pa.Buffer, *, where: str) -> None:
    """Compare a data file with its MD5 in the manifest; `where` is how messages name it.

    Raises:
        BadInventoryError: it was altered, cut short, or belongs to another inventory.
    """
    found = hashlib.md5(memoryview(data), usedforsecurity=False).hexdigest()
    if found != file.md5:
        size = "" if data.size == file.size_bytes else f" and {data.size} bytes instead of {file.size_bytes}"
        raise BadInventoryError(
            f"{where} has MD5 {found}{size}, but {manifest.where} says {file.md5}: "
            "it was altered or cut short, or belongs to another inventory; copy it again"
        )


def _columns(file_format: str, schema: str) -> tuple[str, ...]:
    if file_format == "CSV":
        return tuple(known_names([name.strip(' "') for name in schema.split(",")], COLUMNS))
    return tuple((_ORC_COLUMN if file_format == "ORC" else _PARQUET_COLUMN).findall(schema))
