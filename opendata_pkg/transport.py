"""The one way to ask a web server for bytes: kept connections, proxies, redirects, retries, and refusals in a sentence.

Plain `http.client` beneath: for small files, where requests are what takes time, its requests cost two thirds of the
processor that urllib3's take, and a fifth of those of requests (`benchmarks/fetch.py`).
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urljoin, urlsplit

from opendata_pkg.model import SourceError, UsageError
from opendata_pkg.proxies import proxy_for, read_proxies, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from opendata_pkg.proxies import Proxy

CHUNK_BYTES = 1 << 18
_CONNECT_TIMEOUT_S = 20.0
_READ_TIMEOUT_S = 60.0
_TRIES = 5
_FIRST_DELAY_S = 0.5
_LONGEST_WAIT_S = 120.0
_MOST_REDIRECTS = 10
_SMALL_BODY_BYTES = 1 << 16

_OK, _PARTIAL, _UNCHANGED, _WANTS_LOGIN = 200, 206, 304, 407
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSALS = {
    401: "access denied (HTTP 401): it is not public",
    403: "access denied (HTTP 403): it is not public, or it is gone and the bucket hides its listing",
    404: "not there (HTTP 404): it was removed or moved, or the address is mistyped",
    407: "the proxy wants a user name and password: http://user:password@host:port in HTTPS_PROXY or HTTP_PROXY",
    410: "gone for good (HTTP 410)",
    416: "it has fewer bytes than were asked for (HTTP 416)",
}
_PORTS = {"http": 80, "https": 443}
# What a URL may hold as it stands: RFC 3986's unreserved and reserved characters, and `%`.
_PLAIN_URL = "!#$%&'()*+,/:;=?@[]~"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")


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

    def __init__(self, url: str, reason: str, status: int) -> None:
        self.status = status
        super().__init__(url, reason)


class BrokenTransferError(TransportError):
    """No answer, or one that stopped in the middle: the same request may succeed later."""

    def __init__(self, url: str, reason: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(url, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """Where a URL's server is, and what to ask it for."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> _Address:
        try:
            parts = urlsplit(quote(url, safe=_PLAIN_URL))
            host, port = parts.hostname if parts.scheme in _PORTS else None, parts.port
        except ValueError:
            host = None
        if not host:
            raise UsageError(f"expected a URL such as https://data.example.org/file, got {url!r}")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], target=target)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


class Response:
    """A server's answer: its body is read once, in order, from byte `start` of the file on.

    `total_bytes` is the size of the whole file, None where the server does not say. To be closed; a connection whose
    answer was read to the end is used again.
    """

    def __init__(self, url: str, raw: http.client.HTTPResponse, kept: _Kept, transport: Transport) -> None:
        self.url, self.status, self.headers = url, raw.status, raw.headers
        self.start, self.total_bytes = _extent(raw)
        self._raw, self._kept, self._transport = raw, kept, transport
        self._left = None if raw.chunked else raw.length
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
        if self._done or self._left == 0:
            self._finish()
            return 0
        try:
            if self._raw.chunked:
                count = self._raw.readinto(buffer)
            else:
                # One read of the socket: what came before a connection breaks is not lost.
                count = self._raw.fp.readinto1(buffer if self._left is None else buffer[: self._left])
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise BrokenTransferError(self.url, f"the connection broke: {_in_words(error)}") from error
        if count == 0 and self._left:
            left = self._left
            self.close()
            raise BrokenTransferError(self.url, f"the server stopped {left} bytes before the end it had announced")
        if self._left is not None:
            self._left -= count
        if self._left == 0 or count == 0:
            self._finish()
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
            self._raw.close()
            self._kept.connection.close()

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        self._raw.close()
        if self._raw.will_close:
            self._kept.connection.close()
        else:
            self._transport.keep(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A connection, and which servers it can be used for."""

    place: tuple[str, str, int]
    connection: http.client.HTTPConnection
    proxy: Proxy | None


class Transport:
    """Reads URLs from any thread, keeping up to `connections` open. With `offline` it makes none.

    Made by `Transport.create`; the proxies are those of the environment at that time.
    """

    def __init__(self, *, connections: int, offline: bool, tries: int, first_delay_s: float, timeout_s: float) -> None:
        self.offline = offline
        self._connections, self._tries = connections, tries
        self._first_delay_s, self._timeout_s = first_delay_s, timeout_s
        self._proxies = read_proxies()
        self._lock = threading.Lock()
        self._idle: list[_Kept] = []
        self._tls: ssl.SSLContext | None = None
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
            idle, self._idle = self._idle, []
        for kept in idle:
            kept.connection.close()

    def open(self, url: str, *, start: int = 0, headers: Mapping[str, str] | None = None) -> Response:
        """Begin to read a URL, from byte `start` on if the server can do that (see `Response.start`).

        Answers are 200, 206, or 304 to a condition in `headers`. Redirects are followed, never from https to http.

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
            try:
                with self.open(url, headers=headers) as response:
                    return response.read()
            except BrokenTransferError:
                if number + 1 == self._tries:
                    raise
                self.wait(number)
        raise AssertionError(self._tries)

    def wait(self, failures: int, at_least_s: float = 0.0) -> None:
        """Wait before another try after so many failures; a little irregularly, so that not all come back at once."""
        delay_s = self._first_delay_s * 2**failures * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._closed.wait(max(delay_s, at_least_s))

    def keep(self, kept: _Kept) -> None:
        """Take back a connection whose answer was read to the end."""
        with self._lock:
            if len(self._idle) < self._connections and not self._closed.is_set():
                self._idle.append(kept)
                return
        kept.connection.close()

    def _follow(self, url: str, start: int, headers: Mapping[str, str]) -> Response:
        address = _Address.parse(url)
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._ask(address, start, headers)
            if response.status in (_OK, _PARTIAL, _UNCHANGED):
                return response
            with response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    raise _refusal(response, url)
                _drain(response)
                address = _redirected(address, response)
        raise RefusedError(url, f"redirected {_MOST_REDIRECTS} times without an end", response.status)

    def _ask(self, address: _Address, start: int, headers: Mapping[str, str]) -> Response:
        """One request, over an idle connection where there is one."""
        proxy = proxy_for(address.scheme, address.host, address.port, self._proxies)
        sent = {"Accept-Encoding": "identity", "User-Agent": "opendata", **headers}
        if start:
            sent["Range"] = f"bytes={start}-"
        place = (address.scheme, address.host, address.port)
        try:
            while kept := self._take(place):
                # Its server may have closed it while nobody used it.
                with suppress(ConnectionError, ssl.SSLError):
                    return self._send(kept, address, sent)
            return self._send(self._connect(place, address, proxy), address, sent)
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(address.url, error, proxy) from error

    def _send(self, kept: _Kept, address: _Address, headers: Mapping[str, str]) -> Response:
        target = address.target
        if kept.proxy is not None and address.scheme == "http":
            target, headers = address.url, {**headers, **kept.proxy.headers}
        try:
            kept.connection.request("GET", target, headers=dict(headers))
            return Response(address.url, kept.connection.getresponse(), kept, self)
        except BaseException:
            kept.connection.close()
            raise

    def _take(self, place: tuple[str, str, int]) -> _Kept | None:
        with self._lock:
            # The newest first: the longest unused one is the likeliest to be closed by its server.
            for number in range(len(self._idle) - 1, -1, -1):
                if self._idle[number].place == place:
                    return self._idle.pop(number)
        return None

    def _connect(self, place: tuple[str, str, int], address: _Address, proxy: Proxy | None) -> _Kept:
        host, port = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=_CONNECT_TIMEOUT_S, context=self._context())
            if proxy is not None:
                connection.set_tunnel(address.host, address.port, proxy.headers)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(self._timeout_s)
        return _Kept(place=place, connection=connection, proxy=proxy)

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = tls_context()
            return self._tls


def _extent(raw: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The first byte of the body, and the size of the whole file."""
    if raw.status != _PARTIAL:
        return 0, None if raw.chunked else raw.length
    match = _CONTENT_RANGE.match(raw.headers.get("Content-Range", ""))
    if match is None:
        # Nothing tells which part it is.
        raise http.client.HTTPException("a part of the file, without saying which")
    return int(match[1]), None if match[3] == "*" else int(match[3])


def _redirected(address: _Address, response: Response) -> _Address:
    # Headers are read as Latin-1; a server that sends other characters means UTF-8.
    location = quote(response.headers["Location"].encode("latin-1", "replace"), safe=_PLAIN_URL)
    try:
        new = _Address.parse(urljoin(address.url, location))
    except UsageError as error:
        raise RefusedError(
            address.url, f"redirected to {location}, which is no web address", response.status
        ) from error
    if address.scheme == "https" and new.scheme == "http":
        reason = f"redirected from https to http ({new.url}), which is not followed: anybody could change the bytes"
        raise RefusedError(address.url, reason, response.status)
    return new


def _drain(response: Response) -> None:
    """Read a small body, so that its connection can be used again."""
    if response.total_bytes is not None and response.total_bytes <= _SMALL_BODY_BYTES:
        with suppress(BrokenTransferError):
            response.read()


def _refusal(response: Response, url: str) -> TransportError:
    status, reason = response.status, response._raw.reason  # noqa: SLF001 - one class in two places
    via = "" if response.url == url else f" (redirected to {response.url})"
    if status in _PASSING:
        wait = response.headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isascii() and wait.isdigit() else 0.0
        later = f", asks to wait {wait}s" if wait_s else ""
        return BrokenTransferError(url, f"the server is busy or broken (HTTP {status} {reason}){later}{via}", wait_s)
    _drain(response)
    return RefusedError(url, _REFUSALS.get(status, f"HTTP status {status} {reason}") + via, status)


def _no_answer(url: str, error: OSError | http.client.HTTPException, proxy: Proxy | None) -> TransportError:
    where = "" if proxy is None else f" through the proxy {proxy}"
    if tunnel := _TUNNEL.match(str(error)):
        status = int(tunnel[1])
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


def _in_words(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
