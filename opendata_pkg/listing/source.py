"""Where objects are read, as plain values that can be sent to another process, which opens them there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.read import HttpObjectReader, S3ObjectReader
from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from opendata_pkg.listing.read import ObjectReader

_OPEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSource:
    """A bucket (with a `profile` if requests are to be signed), or a web server's `base_url`."""

    bucket: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    base_url: str | None = None
    profile: str | None = None
    connections: int = 10

    def reader(self) -> ObjectReader:
        """The reader of this source, opened once a process.

        Raises:
            SourceError: the bucket refused or did not answer.
            UsageError: it names neither a bucket nor a base URL.
        """
        return _reader(self)


@lru_cache(maxsize=_OPEN)
def _reader(source: ObjectSource) -> ObjectReader:
    if source.bucket is None:
        if source.base_url is None:
            raise UsageError("expected a bucket or a base URL to read from")
        return HttpObjectReader.create(source.base_url, connections=source.connections)
    bucket = open_bucket(
        source.bucket,
        region=source.region,
        endpoint_url=source.endpoint_url,
        profile=source.profile,
        connections=source.connections,
    )
    if bucket.is_anonymous:
        return HttpObjectReader.create(bucket.base_url, connections=source.connections, is_s3=True)
    return S3ObjectReader(bucket=bucket)
