"""When an ETag may be read as the MD5 of an object's bytes.

"Objects created by the PUT Object, POST Object, or Copy operation, or through the AWS Management Console, and are
encrypted by SSE-S3 or plaintext, have ETags that are an MD5 digest of their object data. Objects […] encrypted by SSE-C
or SSE-KMS, have ETags that are not an MD5 digest. If an object is created by either the Multipart Upload or Part Copy
operation, the ETag is not an MD5 digest" (Amazon S3 API reference, Object). Of these a listing shows only the last, by
a `-`. But what anybody may read without credentials is encrypted by neither SSE-C nor SSE-KMS, which both need a
signature: so an anonymous scan of Amazon's own S3 may believe ETags, and no other scan without being told.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.listing.read import ObjectReadError
from opendata_pkg.model import ETag, InputError, Md5, ObjectKey, S3Object, VersionId
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendata_pkg.listing.read import ObjectReader

SAMPLES = 8
SAMPLE_BYTES = 64 * 1024
_MD5_FORM = r"^[0-9a-fA-F]{32}$"


class EtagIsNotMd5Error(InputError):
    """ETags were said to be MD5s (`--etag-is-md5`), and an object's bytes say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtagCheck:
    """An object's ETag and the MD5 of the bytes that were read; None if they could not be."""

    key: ObjectKey
    etag: ETag
    md5: Md5 | None

    @property
    def agrees(self) -> bool:
        """Whether the ETag is the MD5."""
        return self.md5 == self.etag.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class EtagVerdict:
    """Whether ETags count as MD5s, how many objects' bytes agreed with theirs, and why, in a sentence."""

    are_md5: bool
    checked: int
    reason: str


def decide(checks: Sequence[EtagCheck], *, is_anonymous_aws: bool, told: bool) -> EtagVerdict:
    """Judge ETags by where they were listed, what a person said (`told`), and what was read.

    Raises:
        EtagIsNotMd5Error: a person said that they are MD5s, and the bytes of an object have another.
    """
    if not is_anonymous_aws and not told:
        reason = "ETags were not taken as MD5s: only an anonymous scan of Amazon S3 can, or one with --etag-is-md5"
        return EtagVerdict(are_md5=False, checked=0, reason=reason)
    read = [check for check in checks if check.md5 is not None]
    for check in read:
        if not check.agrees:
            fault = f"the ETag of {check.key!r} is {check.etag}, but the MD5 of its bytes is {check.md5}"
            if told:
                raise EtagIsNotMd5Error(
                    f"expected ETags that are MD5s, as --etag-is-md5 says, but {fault}: leave it out"
                )
            return EtagVerdict(are_md5=False, checked=0, reason=f"ETags were not taken as MD5s: {fault}")
    if read:
        reason = f"ETags without `-` were taken as MD5s: they agree with the bytes of {counted(len(read), 'object')}"
        return EtagVerdict(are_md5=True, checked=len(read), reason=reason)
    if told:
        reason = f"ETags without `-` were taken as MD5s because --etag-is-md5 says so; {_NOTHING_TO_READ}"
        return EtagVerdict(are_md5=True, checked=0, reason=reason)
    return EtagVerdict(are_md5=False, checked=0, reason=f"ETags were not taken as MD5s: {_NOTHING_TO_READ}")


_NOTHING_TO_READ = f"no object of up to {SAMPLE_BYTES // 1024} KiB with such an ETag could be read to check it"


def choose_samples(table: pa.Table) -> list[S3Object]:
    """Up to 8 small objects with an ETag in the form of an MD5, spread evenly over the keys' order.

    `table` has the columns of a snapshot and is in the order of keys; the choice depends on nothing else. Empty objects
    prove nothing.
    """
    fits = pc.and_(
        has_md5_form(table), pc.and_(pc.greater(table["size"], 0), pc.less_equal(table["size"], SAMPLE_BYTES))
    )
    small = pc.indices_nonzero(fits)
    count = min(SAMPLES, len(small))
    picks = [small[index * (len(small) - 1) // max(1, count - 1)].as_py() for index in range(count)]
    # One by one: of a table in pieces, Arrow's `take` would make one piece.
    rows = [row for pick in picks for row in table.slice(pick, 1).to_pylist()]
    return [
        S3Object(
            key=ObjectKey(row["key"]),
            version_id=None if row["version_id"] is None else VersionId(row["version_id"]),
            size_bytes=row["size"],
            etag=ETag(row["etag"]),
        )
        for row in rows
    ]


def check_samples(samples: Sequence[S3Object], reader: ObjectReader) -> list[EtagCheck]:
    """Read each object and compare; one that cannot be read counts for nothing."""
    checks = []
    for sample in samples:
        try:
            with closing(reader.open(sample)) as opened:
                md5 = Md5(hashlib.md5(b"".join(opened.chunks), usedforsecurity=False).hexdigest())
        except ObjectReadError:
            md5 = None
        checks.append(EtagCheck(key=sample.key, etag=ETag(sample.etag or ""), md5=md5))
    return checks


def has_md5_form(table: pa.Table) -> pa.ChunkedArray:
    """Which rows have an ETag of 32 hex digits: the others were uploaded in parts, or are something else."""
    return pc.fill_null(pc.match_substring_regex(table["etag"], _MD5_FORM), fill_value=False)


def fill_md5(table: pa.Table) -> pa.Table:
    """The table with the MD5 of every row whose ETag has its form; an MD5 that is there already stays."""
    from_etag = pc.if_else(has_md5_form(table), pc.utf8_lower(table["etag"]), pa.scalar(None, pa.string()))
    index = table.schema.get_field_index("md5")
    return table.set_column(index, table.schema.field(index), pc.coalesce(table["md5"], from_etag))
