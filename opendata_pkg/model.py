"""The words everything else is made of: typed strings, one S3 object, the errors' base.

Keys, ETags, digests and versionIds are distinct types, so that a type checker refuses to pass one for another. An ETag
in particular is never a digest: see `opendata_pkg.listing.etags` for when one may be read as an MD5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NewType

if TYPE_CHECKING:
    from datetime import datetime

ObjectKey = NewType("ObjectKey", str)
"""The name of an object in its bucket, exactly as S3 has it: no leading slash added, nothing decoded."""
VersionId = NewType("VersionId", str)
"""S3's version id. The literal `null` names an overwritable version: see `is_real_version`."""
ETag = NewType("ETag", str)
"""An entity tag without its quotes. Opaque: an MD5 only under conditions that the ETag itself cannot show."""
Sha256 = NewType("Sha256", str)
"""64 lower-case hex digits."""
Md5 = NewType("Md5", str)
"""32 lower-case hex digits."""
AnnexKey = NewType("AnnexKey", str)
"""A git-annex key, such as `SHA256E-s3--abc….swc`."""
ObjectId = NewType("ObjectId", str)
"""A git object id: 40 lower-case hex digits."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


class OpenDataError(Exception):
    """The base of every error a person may meet: a sentence of what was expected, what was got and what to do next.

    `exit_status` is the documented exit status of the command line (see docs/reference/exit-status.md).
    """

    exit_status = 3

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process an error goes as it is: most are made from other values than their sentence."""
        return _error_again, (type(self), self.args, self.__dict__)


def _error_again(kind: type[OpenDataError], args: tuple[Any, ...], fields: dict[str, Any]) -> OpenDataError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class UsageError(OpenDataError):
    """The command line was used in a way that cannot work."""

    exit_status = 2


class InputError(OpenDataError):
    """A file, document, name or digest that was handed in is not what it must be."""

    exit_status = 3


class NotFoundError(OpenDataError):
    """A branch, version, key, store or selection does not exist; the message says what to type instead."""

    exit_status = 4


class SourceError(OpenDataError):
    """A bucket, server or file system refused or failed, after retries."""

    exit_status = 5


class MismatchError(OpenDataError):
    """Fetched bytes are not the bytes that were recorded."""

    exit_status = 6


def parse_sha256(text: str) -> Sha256:
    """A SHA-256 from 64 hex digits in any case; ValueError otherwise."""
    if not _SHA256.fullmatch(lower := text.lower()):
        raise ValueError(f"expected 64 hex digits of a SHA-256, got {text!r}")
    return Sha256(lower)


def parse_md5(text: str) -> Md5:
    """An MD5 from 32 hex digits in any case; ValueError otherwise."""
    if not _MD5.fullmatch(lower := text.lower()):
        raise ValueError(f"expected 32 hex digits of an MD5, got {text!r}")
    return Md5(lower)


def is_real_version(version_id: VersionId | None) -> bool:
    """Whether a versionId names bytes that cannot be overwritten: `null` versions can, so they count as none."""
    return version_id is not None and version_id != "null"


def best_digest(sha256: str | None, md5: str | None) -> str | None:
    """`sha256:HEX`, else `md5:HEX`, else None."""
    if sha256 is not None:
        return f"sha256:{sha256}"
    return None if md5 is None else f"md5:{md5}"


class Grade(StrEnum):
    """What is known of a file's bytes, best first."""

    FIXED = "fixed"
    VERIFIABLE = "verifiable"
    VERSIONED = "versioned"
    MUTABLE = "mutable"


def grade_of(digest: str | None, version_id: VersionId | None) -> Grade:
    """The pin grade of what is known by a digest, a version, both or neither (docs/explanation/identity.md)."""
    real = is_real_version(version_id)
    if digest is not None:
        return Grade.FIXED if real else Grade.VERIFIABLE
    return Grade.VERSIONED if real else Grade.MUTABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Object:
    """One current object of a bucket: a row of a snapshot. Unknown values are None.

    `size_bytes` is in bytes; `last_modified` is in UTC, to the microsecond.
    """

    key: ObjectKey
    version_id: VersionId | None = None
    size_bytes: int | None = None
    etag: ETag | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    last_modified: datetime | None = None
    storage_class: str | None = None

    @property
    def digest(self) -> str | None:
        """`sha256:HEX`, else `md5:HEX`, else None: the best digest that is known."""
        return best_digest(self.sha256, self.md5)

    @property
    def grade(self) -> Grade:
        """The pin grade of this object (docs/explanation/identity.md)."""
        return grade_of(self.digest, self.version_id)
