"""The one way to ask a web server for bytes: kept connections, proxies, redirects, retries, and refusals in a sentence.

Plain sockets beneath, and `exchange`: for small files, where requests are what takes time, those of `http.client` take
twice the processor, those of urllib3 five times, and those of requests fifteen times.
"""

from __future__ import annotations

import re
import socket
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urljoin

from opendata_pkg.model import SourceError, UsageError
from opendata_pkg.web.connection import PLAIN_URL, Address, Connector, TunnelError
from opendata_pkg.web.exchange import AnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from opendata_pkg.web.connection import Connection
    from opendata_pkg.web.exchange import Head
    from opendata_pkg.web.proxies import Proxy

CHUNK_BYTES = 1 << 18
_READ_TIMEOUT_S = 60.0
_TRIES = 5
_FIRST_DELAY_S = 0.5
_LONGEST_WAIT_S = 120.0
_MOST_REDIRECTS = 10
_SMALL_BODY_BYTES = 1 << 16

_OK, _PARTIAL, _WANTS_LOGIN = 200, 206, 407
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "opendata"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSALS = {
    # RFC 9110, section 15.4.5: the answer to a condition, and no request here has one.
    304: "it is told to be unchanged (HTTP 304), which was not asked: a proxy or cache on the way answers wrongly",
    401: "access denied (HTTP 401): it is not public",
    403: "access denied (HTTP 403): it is not public, or it is gone and the bucket hides its listing",
    404: "not there (HTTP 404): it was removed or moved, or the address is mistyped",
    407: "the proxy wants a user name and password: http://user:password@host:port in HTTPS_PROXY or HTTP_PROXY",
    410: "gone for good (HTTP 410)",
    416: "it has fewer bytes than were asked for (HTTP 416)",
}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class TransportError(SourceError):
    """A URL could not be read. `reason` says why, without the URL."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url}: {reason}")


class OfflineError(TransportError):
    """The network was forbidden."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "not fetched, since the network is off limits: leave out --offline to fetch it")


class RefusedError(TransportError):
    """The server answered, and does not hand it out. `status` is HTTP's."""

    def __init__(self, url: str, reason: str, status: int, body: bytes = b"") -> None:
        self.status, self.body = status, body
        super().__init__(url, reason)


class BrokenTransferError(TransportError):
    """No answer, or one that stopped in the middle: the same request may succeed later."""

    def __init__(self, url: str, reason: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(url, reason)


class Response:
    """A server's answer: its body is read once, in order, from byte `start` of the file on.

    `total_bytes` is the size of the whole file, None where the server does not say. To be closed; a connection whose
    answer was read to the end is used again.
    """

    def __init__(self, url: str, head: Head, connection: Connection, transport: Transport) -> None:
        self.url, self.status, self.reason, self.headers = url, head.status, head.reason, head.headers
        self.start, self.total_bytes = _extent(head)
        self._connection, self._transport = connection, transport
        self._left = head.length
        self._done = False

    @property
    def etag(self) -> str | None:
        """The entity tag without quotes and weakness mark."""
        tag = self.headers.get("ETag")
        return None if tag is None else tag.removeprefix("W/").strip('"')

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with what has arrived, waiting for at least one byte; 0 at the end of the body.

        Raises:
            BrokenTransferError: the connection broke, stalled, or ended before the announced number of bytes.
        """
        if self._done:
            return 0
        try:
            count = self._connection.exchange.readinto(buffer)
        except (OSError, AnswerError) as error:
            self.close()
            raise BrokenTransferError(self.url, f"the connection broke: {_in_words(error)}") from error
        if self._left is not None:
            self._left -= count
            if count == 0 and self._left:
                self.close()
                raise BrokenTransferError(
                    self.url, f"the server stopped {self._left} bytes before the end it had announced"
                )
        if count == 0 or self._left == 0:
            self._done = True
            self._transport.keep(self._connection)
        return count

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The body in pieces; errors as `readinto`."""
        buffer = memoryview(bytearray(chunk_bytes))
        while count := self.readinto(buffer):
            yield bytes(buffer[:count])

    def read(self) -> bytes:
        """The whole body; errors as `readinto`."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Let go of the connection, which cannot be used again if the body was not read to its end."""
        if not self._done:
            self._done = True
            self._transport.keep(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Transport:
    """Reads URLs from any thread, keeping up to `connections` open. With `offline` it makes none.

    Made by `Transport.create`; the proxies are those of the environment at that time.
    """

    def __init__(self, *, connections: int, offline: bool, tries: int, first_delay_s: float, timeout_s: float) -> None:
        self.offline = offline
        self._settings = connections, offline, tries, first_delay_s, timeout_s
        self._connections, self._tries, self._first_delay_s = connections, tries, first_delay_s
        self._connector = Connector(read_timeout_s=timeout_s)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        # Who lets go of a transport need not remember to close it.
        self._closing = weakref.finalize(self, _close_all, self._idle)
        self._closed = threading.Event()

    @classmethod
    def create(
        cls,
        *,
        connections: int = 16,
        offline: bool = False,
        tries: int = _TRIES,
        first_delay_s: float = _FIRST_DELAY_S,
        timeout_s: float = _READ_TIMEOUT_S,
    ) -> Transport:
        """A transport for up to `connections` requests at a time.

        A request is tried `tries` times, waiting `first_delay_s`, then twice as long and so on, or as long as the
        server asks for. A server that sends nothing for `timeout_s` seconds has stalled.
        """
        return cls(
            connections=connections, offline=offline, tries=tries, first_delay_s=first_delay_s, timeout_s=timeout_s
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes one of the same settings, without connections."""
        return _transport, self._settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is idle, and end the waiting of requests that are to be tried again."""
        self._closed.set()
        with self._lock:
            _close_all(self._idle)

    def open(self, url: str, *, start: int = 0, headers: Mapping[str, str] | None = None) -> Response:
        """Begin to read a URL, from byte `start` on if the server can do that (see `Response.start`).

        Answers are 200 or 206. Redirects are followed, never from https to http.

        Raises:
            OfflineError: the network is off limits; no socket was made.
            RefusedError: the server answered otherwise.
            BrokenTransferError: no answer, or none but "later", after all tries.
            UsageError: it is no http(s) URL.
        """
        if self.offline:
            raise OfflineError(url)
        for number in range(self._tries):
            try:
                return self._follow(url, start, headers or {})
            except BrokenTransferError as error:
                if number + 1 == self._tries or error.retry_after_s > _LONGEST_WAIT_S:
                    raise
                self.wait(number, error.retry_after_s)
        raise AssertionError(self._tries)

    def read(self, url: str, *, headers: Mapping[str, str] | None = None) -> bytes:
        """The whole body of a small file; a body that breaks off is asked for again. Errors as `open`."""
        for number in range(self._tries):
            # Whoever does not answer at all has been asked several times by `open`.
            with self.open(url, headers=headers) as response:
                try:
                    return response.read()
                except BrokenTransferError:
                    if number + 1 == self._tries:
                        raise
            self.wait(number)
        raise AssertionError(self._tries)

    def wait(self, failures: int, at_least_s: float = 0.0) -> None:
        """Wait before another try after so many failures; a little irregularly, so that not all come back at once."""
        import random  # noqa: PLC0415 - most that is asked for comes at once

        delay_s = self._first_delay_s * 2**failures * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._closed.wait(max(delay_s, at_least_s))

    def keep(self, connection: Connection) -> None:
        """Take back a connection: close it, unless its answer was read to the end and another may follow."""
        if connection.exchange.is_over:
            with self._lock:
                if len(self._idle) < self._connections and not self._closed.is_set():
                    self._idle.append(connection)
                    return
        connection.close()

    def _follow(self, url: str, start: int, headers: Mapping[str, str]) -> Response:
        address = Address.parse(url)
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._ask(address, start, headers)
            if response.status in (_OK, _PARTIAL):
                return response
            with response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    raise _refusal(response, url)
                _drain(response)
                address = _redirected(address, response)
        raise RefusedError(url, f"redirected {_MOST_REDIRECTS} times without an end", response.status)

    def _ask(self, address: Address, start: int, headers: Mapping[str, str]) -> Response:
        """One request, over an idle connection where there is one."""
        sent = {**_HEADERS, **headers}
        if start:
            sent["Range"] = f"bytes={start}-"
        proxy = self._connector.proxy_for(address)
        try:
            while connection := self._take(address.place):
                try:
                    return self._send(connection, address, sent)
                except TimeoutError:
                    raise
                except OSError:
                    # Its server may have closed it while nobody used it.
                    continue
            return self._send(self._connector.connect(address, proxy), address, sent)
        except (OSError, AnswerError) as error:
            raise _no_answer(address.url, error, proxy) from error

    def _send(self, connection: Connection, address: Address, headers: Mapping[str, str]) -> Response:
        try:
            return Response(address.url, connection.ask(address, headers), connection, self)
        except BaseException:
            connection.close()
            raise

    def _take(self, place: tuple[str, str, int]) -> Connection | None:
        with self._lock:
            # The newest first: the longest unused one is the likeliest to be closed by its server.
            for number in range(len(self._idle) - 1, -1, -1):
                if self._idle[number].place == place:
                    return self._idle.pop(number)
        return None


def _transport(connections: int, offline: bool, tries: int, first_delay_s: float, timeout_s: float) -> Transport:  # noqa: FBT001 - in the order of `_settings`
    return Transport(
        connections=connections, offline=offline, tries=tries, first_delay_s=first_delay_s, timeout_s=timeout_s
    )


def _close_all(idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()


def _extent(head: Head) -> tuple[int, int | None]:
    """The first byte of the body, and the size of the whole file."""
    if head.status != _PARTIAL:
        return 0, head.length
    match = _CONTENT_RANGE.match(head.headers.get("Content-Range", ""))
    if match is None:
        # Nothing tells which part it is.
        raise AnswerError("a part of the file, without saying which")
    return int(match[1]), None if match[3] == "*" else int(match[3])


def _redirected(address: Address, response: Response) -> Address:
    # Headers are read as Latin-1; a server that sends other characters means UTF-8.
    location = quote(response.headers["Location"].encode("latin-1", "replace"), safe=PLAIN_URL)
    try:
        new = Address.parse(urljoin(address.url, location))
    except (UsageError, ValueError) as error:
        raise RefusedError(
            address.url, f"redirected to {location}, which is no web address", response.status
        ) from error
    if address.scheme == "https" and new.scheme == "http":
        reason = f"redirected from https to http ({new.url}), which is not followed: anybody could change the bytes"
        raise RefusedError(address.url, reason, response.status)
    return new


def _drain(response: Response) -> bytes:
    """Read a small body, so that its connection can be used again."""
    if response.total_bytes is not None and response.total_bytes <= _SMALL_BODY_BYTES:
        with suppress(BrokenTransferError):
            return response.read()
    return b""


def _refusal(response: Response, url: str) -> TransportError:
    status, reason = response.status, response.reason
    via = "" if response.url == url else f" (redirected to {response.url})"
    if status in _PASSING:
        wait = response.headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isascii() and wait.isdigit() else 0.0
        later = f", asks to wait {wait} s" if wait_s else ""
        return BrokenTransferError(url, f"the server is busy or broken (HTTP {status} {reason}){later}{via}", wait_s)
    body = _drain(response)
    return RefusedError(url, _REFUSALS.get(status, f"HTTP status {status} {reason}") + via, status, body)


def _no_answer(url: str, error: OSError | AnswerError, proxy: Proxy | None) -> TransportError:
    import ssl  # noqa: PLC0415 - takes a while, and most that is fetched by plain http goes well

    where = "" if proxy is None else f" through the proxy {proxy}"
    if isinstance(error, TunnelError):
        status = error.status
        if status in _PASSING:
            return BrokenTransferError(url, f"the proxy {proxy} could not reach it (HTTP {status})")
        reason = f"the proxy {proxy} refused (HTTP {status})"
        return RefusedError(url, _REFUSALS[status] if status == _WANTS_LOGIN else reason, status)
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = (
            f"its certificate is not trusted{where} ({error.verify_message}): "
            "name the file of the authority's certificates in SSL_CERT_FILE"
        )
        return RefusedError(url, reason, 0)
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        return RefusedError(url, f"there is no such host{where}: check the address and the network", 0)
    return BrokenTransferError(url, f"no answer{where}: {_in_words(error)}")


def _in_words(error: OSError | AnswerError) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
