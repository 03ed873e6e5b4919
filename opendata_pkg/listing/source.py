"""Where objects are read, as plain values that can be sent to another process, which opens them there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.read import HttpObjectReader, S3ObjectReader
from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from opendata_pkg.listing.read import ObjectReader


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
        """The reader of this source: the same for all threads of a process, opened when it is first asked for.

        Raises:
            SourceError: the bucket refused or did not answer.
            UsageError: it names neither a bucket nor a base URL.
        """
        with _opening:
            if self not in _readers:
                _readers[self] = _open(self)
            return _readers[self]

    def close(self) -> None:
        """Close this process's reader, if there is one."""
        with _opening:
            reader = _readers.pop(self, None)
        if reader is not None:
            reader.close()


_opening = threading.Lock()
_readers: dict[ObjectSource, ObjectReader] = {}


def _open(source: ObjectSource) -> ObjectReader:
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
