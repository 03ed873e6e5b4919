"""What the environment says about the way to the web: proxies, and the certificates that are trusted.

The names are those that `curl` and `requests` read, so that a cluster's settings hold here too.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from opendata_pkg.files import at_home
from opendata_pkg.model import InputError, UsageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PORTS = {"http": 80, "https": 443}
_DEFAULT_PORT = _PORTS["http"]


class CertificateError(InputError):
    """A file or folder of certificates that the environment names cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy: where it is, and the `Proxy-Authorization` it wants. As text it shows no password."""

    host: str
    port: int
    authorization: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the proxy itself must carry."""
        return {} if self.authorization is None else {"Proxy-Authorization": self.authorization}


def read_proxies() -> dict[str, str]:
    """`http`, `https`, `all` → the proxy's URL, and `no` → the hosts without one: `HTTPS_PROXY` and so on, any case."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    # Takes a while to import, and most have no proxy.
    from urllib.request import getproxies_environment  # noqa: PLC0415

    return getproxies_environment()


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy for requests to a host, of those that `read_proxies` found.

    Raises:
        UsageError: it is no HTTP proxy.
    """
    url = proxies.get(scheme) or proxies.get("all")
    if not url or _is_exempt(host, port, proxies):
        return None
    variable = f"{scheme.upper()}_PROXY" if proxies.get(scheme) else "ALL_PROXY"
    return _parse(url, variable)


def tls_context() -> ssl.SSLContext:
    """How servers are checked: by the system's certificates, and those that the environment names.

    Raises:
        CertificateError: the named certificates cannot be read.
    """
    import ssl  # noqa: PLC0415 - takes a while; whoever asks for it is about to wait for a server

    named = {name: at_home(os.environ[name]) for name in _CERTIFICATE_VARIABLES if os.environ.get(name)}
    context = ssl.create_default_context()
    for name, place in named.items():
        try:
            if Path(place).is_dir():
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(
                f"expected trusted certificates (PEM) at {place}, as {name} says, but they cannot be read ({error}): "
                f"correct or unset {name}"
            ) from error
    if not named and not _system_has_certificates():
        import certifi  # noqa: PLC0415 - the last resort of machines without certificates; comes with pooch

        context.load_verify_locations(cafile=certifi.where())
    return context


def _system_has_certificates() -> bool:
    import ssl  # noqa: PLC0415 - as above

    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or (bool(paths.capath) and any(Path(paths.capath).iterdir()))


def _parse(url: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname if parts.scheme == "http" else None, parts.port
    except ValueError:
        host = None
    if host is None:
        # The URL is not shown: it may hold a password.
        raise UsageError(
            f"expected an HTTP proxy in {variable}, such as http://user:password@proxy.example.org:3128; "
            "other kinds, such as socks5://, are not understood"
        )
    authorization = None
    if parts.username is not None:
        import base64  # noqa: PLC0415 - few proxies ask for a password

        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(words.encode()).decode()}"
    return Proxy(host=host, port=_DEFAULT_PORT if port is None else port, authorization=authorization)


def _is_exempt(host: str, port: int, proxies: Mapping[str, str]) -> bool:
    """Whether `NO_PROXY` names the host: itself, a domain above it, with or without port, `*`, or its network."""
    named = proxies.get("no")
    if not named:
        return False
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # noqa: PLC0415 - as above

    bypassed: bool = proxy_bypass_environment(f"{host}:{port}", dict(proxies))
    if bypassed:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(_holds(word.strip(), address) for word in named.split(","))


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
