"""Digests that S3 itself keeps: a HEAD request for each object, and nothing downloaded."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from opendata_pkg.digests.checksums import Checksum
from opendata_pkg.listing.bucket import read_conditions
from opendata_pkg.listing.read import ObjectReadError, explain_read_error
from opendata_pkg.model import Sha256
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.model import S3Object

_SHA256_BYTES = 32


def list_sha256(
    bucket: Bucket,
    objects: Iterable[S3Object],
    found: Callable[[int, Checksum], None],
    *,
    total: int,
    jobs: int,
    reporter: Reporter = SILENT,
) -> tuple[str, ...]:
    """Hand over the SHA-256 that S3 itself computed of objects where the uploader asked for one; returns notes.

    `found` takes the place of an object among `objects`, and what is known of its bytes. One HEAD request each. A
    digest of parts is none of the object ("COMPOSITE", or ending in `-N`) and is left out, and so is that of an object
    that is no longer as it was listed. One that fails is counted, not fatal.
    """

    def ask(item: tuple[int, S3Object]) -> Checksum | ObjectReadError | None:
        target = item[1]
        try:
            response = bucket.client.head_object(
                Bucket=bucket.name, Key=target.key, ChecksumMode="ENABLED", **read_conditions(target)
            )
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            return explain_read_error(bucket, target, error)
        if target.size_bytes not in (None, response.get("ContentLength")):
            return ObjectReadError(target.key, "changed since it was listed: scan again")
        sha256 = full_object_sha256(response.get("ChecksumSHA256"), response.get("ChecksumType"))
        return None if sha256 is None else Checksum(sha256=sha256, size_bytes=response["ContentLength"])

    count = failures = 0
    example: str | None = None
    reporter.start(f"asking {bucket.where} for checksums", total=total, unit="objects")
    for (place, _), answer in map_unordered(ask, enumerate(objects), jobs=jobs):
        if isinstance(answer, ObjectReadError):
            failures += 1
            example = min(example or str(answer), str(answer))
        elif answer is not None:
            count += 1
            found(place, answer)
        reporter.advance()
    reporter.finish()
    notes = [f"S3 keeps a SHA-256 of {count:,} of {counted(total, 'object')}"]
    if failures:
        notes.append(f"{counted(failures, 'object')} could not be asked for a SHA-256, such as {example}")
    return tuple(notes)


def full_object_sha256(checksum: str | None, checksum_type: str | None) -> Sha256 | None:
    """Hex digits of S3's `ChecksumSHA256`, or None if there is none of the whole object."""
    if checksum is None or checksum_type == "COMPOSITE" or "-" in checksum:
        return None
    try:
        digest = base64.b64decode(checksum, validate=True)
    except binascii.Error:
        return None
    return Sha256(digest.hex()) if len(digest) == _SHA256_BYTES else None
