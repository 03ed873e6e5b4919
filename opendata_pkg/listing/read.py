"""Reading an object's bytes in the state that a snapshot recorded, from S3 or over plain HTTP."""

from __future__ import annotations

import re
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
from opendata_pkg.listing.checks import SourceChecksum, source_checksums
from opendata_pkg.model import SourceError, is_real_version
from opendata_pkg.urls import object_url
from opendata_pkg.web.transport import BrokenTransferError, RefusedError, Transport, TransportError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterator

    from opendata_pkg.model import S3Object
    from opendata_pkg.web.transport import Response

CHUNK_BYTES = 1 << 20
_NOT_FOUND = (404, 410)
_DENIED = (401, 403)
_PRECONDITION_FAILED = 412
_OK, _PARTIAL = 200, 206
_ARCHIVED, _NO_BUCKET = "InvalidObjectState", "NoSuchBucket"
# `bytes 0-9/100`, `bytes 0-9/*`.
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(.+)")
_ERROR_CODE = re.compile(rb"<Code>(\w+)</Code>")
# "To retrieve the checksum, this mode must be enabled" (Amazon S3 API reference, GetObject).
_CHECKSUM_MODE = {"x-amz-checksum-mode": "ENABLED"}
_TRIES = 6
_BREAKS_IN_A_ROW = 5
_FIRST_DELAY_S = 0.5


class ObjectReadError(SourceError):
    """The bytes of one object could not be had. `reason` is what happened, without the key."""

    def __init__(self, key: str, reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"{key}: {reason}")


class ConnectionLostError(ObjectReadError):
    """The server did not answer, or stopped in the middle: the same request may succeed later."""


class NoRangesError(ObjectReadError):
    """The server sent the whole object, or other bytes, where a range was asked for."""


class _BrokenOffError(ConnectionLostError):
    """It stopped in the middle, as opposed to an answer that never came: readers have tried that again already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An object being read: its `chunks` from byte `start` on, and its whole size if the server states it.

    `is_partial` tells that the server heeded the range that was asked for. `checksums` are S3's own of the object,
    which it gives with the whole of it only. `close` ends the connection, unless it was read to its end.
    """

    chunks: Iterator[bytes]
    close: Callable[[], None]
    start: int
    total_bytes: int | None
    is_partial: bool = False
    checksums: tuple[SourceChecksum, ...] = ()


class ObjectReader(Protocol):
    """Opens objects of one source, from any thread."""

    def open(self, target: S3Object, start: int = 0, stop: int | None = None) -> Opened:
        """Begin to read an object at byte `start` and up to `stop`, or the whole of it where the source cannot.

        Raises:
            ConnectionLostError: no answer; also raised by the chunks.
            ObjectReadError: the object is gone, changed since it was recorded, or refused.
        """

    def checksums(self, target: S3Object) -> tuple[SourceChecksum, ...]:
        """What the source knows of an object's bytes: one request where it is S3. Raises as `open` does."""

    def close(self) -> None:
        """Close the connections that nobody uses, and the others as soon as they have done."""


def read_on(
    reader: ObjectReader,
    target: S3Object,
    *,
    start: int = 0,
    stop: int | None = None,
    stopped: threading.Event,
    on_open: Callable[[Opened], None],
) -> Generator[bytes, None, None]:
    """The chunks of an object, or of a range of it; where the connection breaks, a new one goes on from there.

    So it does after a range that is shorter than the one that was asked for.

    `on_open` is told of each connection before its chunks: one that begins at 0 again makes those so far void.

    Raises:
        ConnectionLostError: connections broke five times without getting further.
        NoRangesError: the server sent another range than it was asked for.
        ObjectReadError: as `ObjectReader.open` says.
    """
    position, furthest, breaks = start, start, 0
    while True:
        try:
            with closing(reader.open(target, position, stop)) as opened:
                if opened.is_partial and opened.start != position:
                    fault = f"asked for its bytes from {position} on, the server sent those from {opened.start} on"
                    raise NoRangesError(target.key, f"{fault}: it cannot be read by ranges; hash it again")
                on_open(opened)
                position, end = opened.start, stop or target.size_bytes or opened.total_bytes
                for chunk in opened.chunks:
                    position += len(chunk)
                    yield chunk
                if opened.is_partial and end is not None and opened.start < position < end:
                    continue
        except _BrokenOffError:
            breaks = 1 if position > furthest else breaks + 1
            furthest = max(furthest, position)
            if breaks >= _BREAKS_IN_A_ROW or stopped.wait(_FIRST_DELAY_S * 2 ** (breaks - 1)):
                raise
            if position != end:
                continue
        return


def _range(start: int, stop: int | None) -> str | None:
    if not start and stop is None:
        return None
    return f"bytes={start}-" + ("" if stop is None else str(stop - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class S3ObjectReader:
    """Reads through S3's own interface with signed requests, and insists on the recorded state."""

    bucket: Bucket

    def __post_init__(self) -> None:
        # As a header alone: told in its own way, botocore would compute every checksum once more.
        self.bucket.client.meta.events.register(
            "before-call.s3.GetObject", _ask_for_checksums, unique_id="opendata-checksum-mode"
        )

    def open(self, target: S3Object, start: int = 0, stop: int | None = None) -> Opened:
        """GetObject with the recorded version, or with `If-Match` and the recorded ETag."""
        request: dict[str, Any] = {"Bucket": self.bucket.name, "Key": target.key, **read_conditions(target)}
        if (wanted := _range(start, stop)) is not None:
            request["Range"] = wanted
        try:
            response: Any = self.bucket.client.get_object(**request)
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise explain_read_error(self.bucket, target, error) from error
        metadata = response["ResponseMetadata"]
        if (status := metadata["HTTPStatusCode"]) not in (_OK, _PARTIAL):
            # botocore takes any from 200 to 299 for an object's bytes, a proxy's among them.
            response["Body"].close()
            raise ObjectReadError(target.key, _refusal(status, anonymous=self.bucket.is_anonymous))
        is_partial = status == _PARTIAL
        place = _CONTENT_RANGE.match(response.get("ContentRange", "")) if is_partial else None
        if is_partial and place is None:
            response["Body"].close()
            raise NoRangesError(target.key, "the server sent a part of it without saying which: hash it again")
        total = str(response.get("ContentLength")) if place is None else place[2]
        return Opened(
            chunks=_s3_chunks(target, response["Body"]),
            close=response["Body"].close,
            start=0 if place is None else int(place[1]),
            total_bytes=int(total) if total.isascii() and total.isdigit() else None,
            is_partial=is_partial,
            checksums=() if is_partial else source_checksums(metadata["HTTPHeaders"]),
        )

    def checksums(self, target: S3Object) -> tuple[SourceChecksum, ...]:
        """HeadObject with the same conditions."""
        request: dict[str, Any] = {"Bucket": self.bucket.name, "Key": target.key, "ChecksumMode": "ENABLED"}
        try:
            response: Any = self.bucket.client.head_object(**request, **read_conditions(target))
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            raise explain_read_error(self.bucket, target, error) from error
        return source_checksums(response["ResponseMetadata"]["HTTPHeaders"])

    def close(self) -> None:
        """Nothing: the connections are the bucket's."""


def _ask_for_checksums(params: dict[str, Any], **_: object) -> None:
    params["headers"].update(_CHECKSUM_MODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpObjectReader:
    """Reads the URLs that readers will use, from any web server; `is_s3` of a public bucket.

    With unsigned requests alone, it takes a quarter of botocore's time for a small object.
    """

    base_url: str
    transport: Transport
    is_s3: bool = False

    @classmethod
    def create(cls, base_url: str, *, connections: int, is_s3: bool = False) -> HttpObjectReader:
        """A reader of the URLs below `base_url` that keeps up to `connections` open."""
        return cls(base_url=base_url, transport=Transport.create(connections=connections, tries=_TRIES), is_s3=is_s3)

    def open(self, target: S3Object, start: int = 0, stop: int | None = None) -> Opened:
        """GET of the object's URL, as it is stored: nothing is decompressed on the way.

        A range is asked for only where an ETag tells that it is of the same bytes ("If-Range").
        """
        headers = dict(_CHECKSUM_MODE) if self.is_s3 else {}
        is_pinned = target.version_id is not None and is_real_version(target.version_id)
        if target.etag is not None and not is_pinned and self.is_s3:
            headers["If-Match"] = f'"{target.etag}"'
        if (wanted := _range(start, stop)) is not None and (target.etag is not None or is_pinned):
            headers |= {"Range": wanted} | ({} if is_pinned else {"If-Range": f'"{target.etag}"'})
        url = object_url(self.base_url, target.key, target.version_id)
        try:
            response = self.transport.open(url, headers=headers)
        except RefusedError as error:
            raise self._refused(target, error) from error
        except TransportError as error:
            raise ConnectionLostError(target.key, str(error)) from error
        if target.etag is not None and response.etag and response.etag != target.etag:
            response.close()
            raise ObjectReadError(
                target.key,
                f"expected ETag {target.etag} as listed, got {response.etag}: it changed since, and must be listed "
                "again; or the listing's ETags are not those of this server, and are better left out",
            )
        return Opened(
            chunks=_http_chunks(target, response),
            close=response.close,
            start=response.start,
            total_bytes=response.total_bytes,
            is_partial=response.status == _PARTIAL,
            checksums=() if response.status == _PARTIAL else source_checksums(response.headers),
        )

    def checksums(self, target: S3Object) -> tuple[SourceChecksum, ...]:
        """What S3 says before it sends the object; other servers keep none."""
        if not self.is_s3:
            return ()
        with closing(self.open(target)) as opened:
            return opened.checksums

    def close(self) -> None:
        """Close what is idle; nothing is kept afterwards."""
        self.transport.close()

    def _refused(self, target: S3Object, error: RefusedError) -> ObjectReadError:
        if error.status == 0:
            return ConnectionLostError(target.key, str(error))
        found = _ERROR_CODE.search(error.body) if self.is_s3 else None
        code = found and found[1].decode()
        if code == _ARCHIVED:
            return ObjectReadError(target.key, _archived(target))
        if code == _NO_BUCKET:
            return ObjectReadError(target.key, f"there is no bucket at {self.base_url} any more: scan again")
        refusal = _refusal(error.status, anonymous=True)
        return ObjectReadError(target.key, refusal if self.is_s3 else f"{refusal}: {error.url}")


def _s3_chunks(target: S3Object, body: Any) -> Iterator[bytes]:
    try:
        while chunk := body.read(CHUNK_BYTES):
            yield chunk
    except (BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
        raise _BrokenOffError(target.key, f"the connection broke: {error}") from error


def _http_chunks(target: S3Object, response: Response) -> Iterator[bytes]:
    try:
        yield from response.chunks(CHUNK_BYTES)
    except BrokenTransferError as error:
        raise _BrokenOffError(target.key, str(error)) from error


def explain_read_error(
    bucket: Bucket, target: S3Object, error: BotoCoreError | ClientError | ResponseParserError
) -> ObjectReadError:
    """What an error of botocore means for the reading of one object."""
    explained = bucket.explain(error)
    if isinstance(error, ClientError) and not isinstance(explained, NoSuchBucketError):
        if error_code(error) == _ARCHIVED:
            return ObjectReadError(target.key, _archived(target))
        if (status := error_status(error)) in {*_NOT_FOUND, *_DENIED, _PRECONDITION_FAILED}:
            return ObjectReadError(target.key, _refusal(status, anonymous=bucket.is_anonymous))
    if isinstance(explained, UnreachableError):
        return ConnectionLostError(target.key, str(explained))
    return ObjectReadError(target.key, str(explained))


def _archived(target: S3Object) -> str:
    return f"archived in storage class {target.storage_class}: its owner must restore it before it is read"


def _refusal(status: int, *, anonymous: bool) -> str:
    if status == _PRECONDITION_FAILED:
        return "changed since it was listed: scan again"
    if status in _NOT_FOUND:
        return f"gone since it was listed (HTTP {status}): scan again"
    if status in _DENIED:
        return f"access denied (HTTP {status})" + (": it is not public; try --profile" if anonymous else "")
    return f"HTTP status {status}"
