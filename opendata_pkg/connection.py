"""Connections to web servers, straight or through a proxy, over plain `http.client`."""

from __future__ import annotations

import http.client
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from opendata_pkg.model import UsageError
from opendata_pkg.proxies import proxy_for, read_proxies, tls_context

if TYPE_CHECKING:
    import ssl

    from opendata_pkg.proxies import Proxy

# What a URL may hold as it stands: RFC 3986's unreserved and reserved characters, and `%`.
PLAIN_URL = "!#$%&'()*+,/:;=?@[]~"
_PLAIN = re.compile(r"[A-Za-z0-9._~:/%?=&-]+")
_CONNECT_TIMEOUT_S = 20.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
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
    def url(self) -> str:
        """The whole URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An open connection to the server at `place`, for one request at a time."""

    place: tuple[str, str, int]
    raw: http.client.HTTPConnection
    proxy: Proxy | None

    def ask(self, address: Address, headers: dict[str, str]) -> http.client.HTTPResponse:
        """GET; OSError or HTTPException if there is no answer."""
        if self.proxy is not None and address.scheme == "http":
            # A proxy is asked for the whole URL (RFC 9112, section 3.2.2); through a tunnel, the server is asked.
            self.raw.request("GET", address.url, headers={**headers, **self.proxy.headers})
        else:
            self.raw.request("GET", address.target, headers=headers)
        return self.raw.getresponse()

    def close(self) -> None:
        """End it."""
        self.raw.close()


class Connector:
    """Makes connections as the environment said when it was made. A server silent for `read_timeout_s` has stalled."""

    def __init__(self, *, read_timeout_s: float) -> None:
        self._read_timeout_s = read_timeout_s
        self._proxies = read_proxies()
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def proxy_for(self, address: Address) -> Proxy | None:
        """The proxy on the way; UsageError if it is of a kind that is not understood."""
        return proxy_for(address.scheme, address.host, address.port, self._proxies)

    def connect(self, address: Address, proxy: Proxy | None) -> Connection:
        """A connection to the address; OSError or HTTPException if there is none to be had."""
        host, port = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
        raw: http.client.HTTPConnection
        if address.scheme == "https":
            raw = http.client.HTTPSConnection(host, port, timeout=_CONNECT_TIMEOUT_S, context=self._context())
            if proxy is not None:
                raw.set_tunnel(address.host, address.port, proxy.headers)
        else:
            raw = http.client.HTTPConnection(host, port, timeout=_CONNECT_TIMEOUT_S)
        try:
            raw.connect()
        except BaseException:
            raw.close()
            raise
        raw.sock.settimeout(self._read_timeout_s)
        return Connection(place=address.place, raw=raw, proxy=proxy)

    def _context(self) -> ssl.SSLContext:
        # Reading the system's certificates takes a while, which plain http need not wait for.
        with self._lock:
            if self._tls is None:
                self._tls = tls_context()
            return self._tls
