"""Reading an object's bytes in the state that a snapshot recorded, from S3 or over plain HTTP."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import urllib3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from opendata_pkg.listing.bucket import (
    Bucket,
    NoSuchBucketError,
    UnreachableError,
    error_code,
    error_status,
    read_conditions,
)
from opendata_pkg.model import SourceError
from opendata_pkg.proxies import pool_manager
from opendata_pkg.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.model import S3Object

CHUNK_BYTES = 1 << 20
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_RETRY_STATUSES = (429, 500, 502, 503, 504)
_NOT_FOUND = (404, 410)
_DENIED = (401, 403)
_PRECONDITION_FAILED = 412


class ObjectReadError(SourceError):
    """The bytes of one object could not be had. `reason` is what happened, without the key."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"{key}: {reason}")


class ConnectionLostError(ObjectReadError):
    """The server did not answer, or stopped in the middle: the same request may succeed later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An object being read: its `chunks` from byte `start` on, and its whole size if the server states it."""

    chunks: Iterator[bytes]
    start: int
    total_bytes: int | None


class ObjectReader(Protocol):
    """Opens objects of one source, from any thread."""

    def open(self, target: S3Object, start: int = 0) -> Opened:
        """Begin to read an object at byte `start`, or at 0 where the source cannot.

        Raises:
            ConnectionLostError: no answer; also raised by the chunks.
            ObjectReadError: the object is gone, changed since it was recorded, or refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ObjectReader:
    """Reads through S3's own interface, which can be told what state to insist on."""

    bucket: Bucket

    def open(self, target: S3Object, start: int = 0) -> Opened:
        """GetObject with the recorded version, or with `If-Match` and the recorded ETag."""
        request: dict[str, Any] = {"Bucket": self.bucket.name, "Key": target.key, **read_conditions(target)}
        if start:
            request["Range"] = f"bytes={start}-"
        try:
            response = self.bucket.client.get_object(**request)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise explain_read_error(self.bucket, target, error) from error
        length = response.get("ContentLength")
        chunks = _s3_chunks(target, response["Body"])
        return Opened(chunks=chunks, start=start, total_bytes=None if length is None else start + length)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpObjectReader:
    """Reads the URLs that readers will use, from any web server."""

    base_url: str
    pool: urllib3.PoolManager

    @classmethod
    def create(cls, base_url: str, *, connections: int) -> HttpObjectReader:
        """A reader of the URLs below `base_url` that keeps up to `connections` open."""
        retries = urllib3.Retry(
            total=5, backoff_factor=0.5, status_forcelist=_RETRY_STATUSES, raise_on_status=False, redirect=5
        )
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S)
        pool = pool_manager(base_url, connections=connections, retries=retries, timeout=timeout)
        return cls(base_url=base_url, pool=pool)

    def open(self, target: S3Object, start: int = 0) -> Opened:  # noqa: ARG002 - a web server need not resume
        """GET of the object's URL, as it is stored: nothing is decompressed on the way."""
        url = object_url(self.base_url, target.key, target.version_id)
        try:
            response = self.pool.request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity"},
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionLostError(target.key, f"no answer for {url}: {error}") from error
        if response.status != 200:  # noqa: PLR2004 - HTTP's own number
            response.drain_conn()
            response.release_conn()
            raise ObjectReadError(target.key, f"{_refusal(response.status, anonymous=True)}: {url}")
        etag = response.headers.get("ETag", "").removeprefix("W/").strip('"')
        if target.etag is not None and etag and etag != target.etag:
            response.close()
            raise ObjectReadError(
                target.key,
                f"expected ETag {target.etag} as listed, got {etag}: it changed since, and must be listed again; "
                "or the listing's ETags are not those of this server, and are better left out",
            )
        length = response.headers.get("Content-Length", "")
        total_bytes = int(length) if length.isascii() and length.isdigit() else None
        return Opened(chunks=_http_chunks(target, response), start=0, total_bytes=total_bytes)


def _s3_chunks(target: S3Object, body: Any) -> Iterator[bytes]:
    with closing(body):
        try:
            while chunk := body.read(CHUNK_BYTES):
                yield chunk
        except (BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionLostError(target.key, f"the connection broke: {error}") from error


def _http_chunks(target: S3Object, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from response.stream(CHUNK_BYTES, decode_content=False)
        response.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ConnectionLostError(target.key, f"the connection broke: {error}") from error
    finally:
        # Nothing but a socket read to its end may be used again.
        response.close()


def explain_read_error(
    bucket: Bucket, target: S3Object, error: BotoCoreError | ClientError | ResponseParserError
) -> ObjectReadError:
    """What an error of botocore means for the reading of one object."""
    explained = bucket.explain(error)
    if isinstance(error, ClientError) and not isinstance(explained, NoSuchBucketError):
        if error_code(error) == "InvalidObjectState":
            reason = f"archived in storage class {target.storage_class}: its owner must restore it before it is read"
            return ObjectReadError(target.key, reason)
        if (status := error_status(error)) in {*_NOT_FOUND, *_DENIED, _PRECONDITION_FAILED}:
            return ObjectReadError(target.key, _refusal(status, anonymous=bucket.is_anonymous))
    if isinstance(explained, UnreachableError):
        return ConnectionLostError(target.key, str(explained))
    return ObjectReadError(target.key, str(explained))


def _refusal(status: int, *, anonymous: bool) -> str:
    if status == _PRECONDITION_FAILED:
        return "changed since it was listed: scan again"
    if status in _NOT_FOUND:
        return f"gone since it was listed (HTTP {status}): scan again"
    if status in _DENIED:
        return f"access denied (HTTP {status})" + (": it is not public; try --profile" if anonymous else "")
    return f"HTTP status {status}"
