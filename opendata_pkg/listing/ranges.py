"""Reading one large object by several connections: ranges ahead of where the reader is, handed out in order."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

from opendata_pkg.listing.read import NoRangesError, ObjectReadError, read_on
from opendata_pkg.parallel import map_unordered

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from opendata_pkg.listing.read import ObjectReader, Opened
    from opendata_pkg.model import S3Object

RANGE_BYTES = 8 << 20
"""What one request asks for: long beside a server's wait for the first byte, short beside memory."""

_RANGES_A_LANE = 2
_POLL_S = 0.2


def read_ahead(
    reader: ObjectReader, target: S3Object, size_bytes: int, *, lanes: int, stopped: threading.Event
) -> Generator[bytes, None, None]:
    """The bytes of an object in order, `lanes` requests at a time; up to two ranges a lane are in memory.

    Raises:
        NoRangesError: the server knows no ranges: what was handed out is void.
        ConnectionLostError: a connection broke five times without getting further.
        ObjectReadError: the object is gone, changed since it was recorded, or refused.
    """
    window, closed = threading.Semaphore(_RANGES_A_LANE * lanes), threading.Event()

    def starts() -> Iterator[int]:
        for start in range(0, size_bytes, RANGE_BYTES):
            while not window.acquire(timeout=_POLL_S):
                if closed.is_set():
                    return
            yield start

    def fetch(start: int) -> list[bytes]:
        return _fetch(reader, target, start, size_bytes, stopped)

    early: dict[int, list[bytes]] = {}
    position = 0
    try:
        with closing(map_unordered(fetch, starts(), jobs=lanes)) as ranges:
            for start, chunks in ranges:
                early[start] = chunks
                while (ready := early.pop(position, None)) is not None:
                    position += sum(map(len, ready))
                    yield from ready
                    window.release()
    finally:
        closed.set()


def _fetch(
    reader: ObjectReader, target: S3Object, start: int, size_bytes: int, stopped: threading.Event
) -> list[bytes]:
    """A range in the pieces that it came in: putting them together would be one more way through memory."""
    stop = min(size_bytes, start + RANGE_BYTES)

    def check(opened: Opened) -> None:
        if not opened.is_partial or opened.total_bytes not in (None, size_bytes):
            raise NoRangesError(target.key, "the server does not know ranges")

    chunks = [*read_on(reader, target, start=start, stop=stop, stopped=stopped, on_open=check)]
    if (size_bytes := sum(map(len, chunks))) != stop - start:
        raise ObjectReadError(target.key, f"expected bytes {start} to {stop}, got {size_bytes} of them: scan again")
    return chunks
