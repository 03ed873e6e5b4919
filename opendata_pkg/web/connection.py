"""Connections to web servers, straight or through a proxy.

`http.client` would make them as well, but whoever wants a few files waits as long for its imports as for the files.
"""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from opendata_pkg.model import UsageError
from opendata_pkg.web.exchange import AnswerError, Exchange
from opendata_pkg.web.proxies import proxy_for, read_proxies, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from opendata_pkg.web.exchange import Head
    from opendata_pkg.web.proxies import Proxy

# What a URL may hold as it stands: RFC 3986's unreserved and reserved characters, and `%`.
PLAIN_URL = "!#$%&'()*+,/:;=?@[]~"
_PLAIN = re.compile(r"[A-Za-z0-9._~:/%?=&-]+")
# Most URLs are of this kind, of which the parts are seen at once.
_USUAL = re.compile(
    r"(https?)://([a-z0-9.-]+)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?(/[A-Za-z0-9._~:/%=&-]*(?:\?[A-Za-z0-9._~:/%=&?-]+)?)"
)
# "field-content" (RFC 9110, section 5.5): a line's end in it would begin another header.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_CONNECT_TIMEOUT_S = 20.0
_PORTS = {"http": 80, "https": 443}
_OK = 200


class TunnelError(AnswerError):
    """A proxy did not let a connection through; `status` is HTTP's."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the proxy refused (HTTP {status})")


class Address(NamedTuple):
    """Where a URL's server is, and what to ask it for: the path and the query."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """The parts of an http(s) URL; what it may not hold is percent-encoded, its fragment is left out.

        Raises:
            UsageError: it is no such URL.
        """
        if usual := _USUAL.fullmatch(url):
            scheme, host, number, target = usual.groups()
            return cls(scheme, host, int(number or _PORTS[scheme]), target)
        try:
            parts = urlsplit(url if _PLAIN.fullmatch(url) else quote(url, safe=PLAIN_URL))
            host, port = parts.hostname if parts.scheme in _PORTS else None, parts.port
        except ValueError:
            host = None
        if not host:
            raise UsageError(f"expected a URL such as https://data.example.org/file, got {url!r}")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme], target=target)

    @property
    def place(self) -> tuple[str, str, int]:
        """What requests over one connection have in common."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host, and the port if it is not the usual one, as URLs and the header `Host` have them."""
        host = self.bracketed_host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def bracketed_host(self) -> str:
        """The host, in brackets if it is an IPv6 address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An open connection to the server at `place`, for one request at a time."""

    place: tuple[str, str, int]
    exchange: Exchange
    proxy: Proxy | None
    stream: socket.socket

    def ask(self, address: Address, headers: Mapping[str, str]) -> Head:
        """GET; OSError or AnswerError if there is no answer."""
        if self.proxy is not None and address.scheme == "http":
            # A proxy is asked for the whole URL (RFC 9112, section 3.2.2); through a tunnel, the server is asked.
            return self.exchange.ask(_request("GET", address.url, address.authority, {**headers, **self.proxy.headers}))
        return self.exchange.ask(_request("GET", address.target, address.authority, headers))

    def close(self) -> None:
        """End it."""
        self.stream.close()


class Connector:
    """Makes connections as the environment said when it was made. A server silent for `read_timeout_s` has stalled."""

    def __init__(self, *, read_timeout_s: float) -> None:
        self._read_timeout_s = read_timeout_s
        self._proxies = read_proxies()
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._found: dict[tuple[str, str, int], Proxy | None] = {}

    def proxy_for(self, address: Address) -> Proxy | None:
        """The proxy on the way; UsageError if it is of a kind that is not understood."""
        place = address.place
        if place not in self._found:
            self._found[place] = proxy_for(*place, self._proxies)
        return self._found[place]

    def connect(self, address: Address, proxy: Proxy | None) -> Connection:
        """A connection to the address; OSError or AnswerError if there is none to be had."""
        context = self._context() if address.scheme == "https" else None
        place = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
        try:
            stream = socket.create_connection(place, _CONNECT_TIMEOUT_S)
        except UnicodeError as error:
            # A part of the name is empty, or longer than a name's part may be: nobody is asked for such a host.
            raise socket.gaierror(socket.EAI_NONAME, "no host has such a name") from error
        try:
            # A request is one write, which is not to wait for others.
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                if proxy is not None:
                    _tunnel(stream, address, proxy)
                stream = context.wrap_socket(stream, server_hostname=address.host)
            stream.settimeout(self._read_timeout_s)
        except BaseException:
            stream.close()
            raise
        return Connection(place=address.place, exchange=Exchange(stream), proxy=proxy, stream=stream)

    def _context(self) -> ssl.SSLContext:
        # Reading the system's certificates takes a while, which plain http need not wait for.
        with self._lock:
            if self._tls is None:
                self._tls = tls_context()
            return self._tls


def _tunnel(stream: socket.socket, address: Address, proxy: Proxy) -> None:
    """Make a proxy pass on whatever follows to the server (RFC 9110, section 9.3.6)."""
    target = f"{address.bracketed_host}:{address.port}"
    exchange = Exchange(stream)
    head = exchange.ask(_request("CONNECT", target, target, proxy.headers))
    # "Any 2xx (Successful) response indicates that the sender will switch to tunnel mode immediately after the response
    # header section": there is no body, and a server waits for its client to begin with TLS.
    if not _OK <= head.status < _OK + 100:
        raise TunnelError(head.status)
    if exchange.has_more:
        raise AnswerError("the proxy sent more than its answer")


def _request(method: str, target: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A request without a body; UsageError if a header's value would be more than that."""
    lines = _header_lines(tuple(headers.items()))
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _header_lines(headers: tuple[tuple[str, str], ...]) -> str:
    """The same for thousands of requests."""
    for name, value in headers:
        if not _VALUE.fullmatch(value):
            raise UsageError(f"expected a value for the header {name}, got {value!r}")
    return "".join([f"{name}: {value}\r\n" for name, value in headers])
