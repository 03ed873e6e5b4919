"""Web servers that misbehave as told, a proxy, and certificates: what the tests of transfers have in common."""

from __future__ import annotations

import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from opendata_pkg.web.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def impatient(**options):
    """A transport that waits for nothing."""
    return Transport.create(**{"first_delay_s": 0.01, "timeout_s": 0.5, **options})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Say nothing of clients that hang up: tests make them."""
        if not isinstance(sys.exception(), (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


@contextmanager
def _serving(handler, context=None) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Web:
    """A web server with `files`; `script[path]` are handlers for the next requests of a path, then it behaves.

    `asked` are the requests: (path, Range or None, headers).
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.script: dict[str, list[Callable]] = defaultdict(list)
        self.asked: list[tuple[str, str | None, dict[str, str]]] = []
        self.connections = 0

    def put(self, path: str, content: bytes, *misbehaviours) -> str:
        """Serve a file, after the misbehaviours; returns its URL."""
        self.files[path] = content
        self.script[path] += misbehaviours
        return f"{self.url}/{path}"


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A well-behaved HTTP/1.1 server, but for what its script says."""
    web = Web("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two packets: the second is not to wait for the client to acknowledge the first.
        disable_nagle_algorithm = True

        def setup(self):
            web.connections += 1
            super().setup()

        def log_message(self, format, *args):  # noqa: A002
            pass

        def do_GET(self):
            path = unquote(urlsplit(self.path).path.lstrip("/"))
            web.asked.append((path, self.headers.get("Range"), dict(self.headers)))
            script = web.script[path]
            (script.pop(0) if script else behave)(self, web.files.get(path), web.etags.get(path))

    with _serving(Handler, context) as port:
        web.url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
        yield web


def _send(handler, status, body, headers=(), *, length=None):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in dict(headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    with suppress(ConnectionError):
        handler.wfile.write(body)


def _cut_off(handler):
    handler.wfile.flush()
    handler.close_connection = True


def behave(handler, content, etag):
    """As every web server should."""
    if content is None:
        _send(handler, 404, b"no")
        return
    headers = {} if etag is None else {"ETag": f'"{etag}"'}
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if match is None:
        _send(handler, 200, content, headers)
    elif (start := int(match[1])) >= len(content):
        _send(handler, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
    else:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        _send(handler, 206, content[start:], headers)


def status(number, **headers):
    """Answer with a status and nothing else."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}

    def act(handler, content, etag):
        _send(handler, number, b"said so", named)

    return act


def truncate(after):
    """Announce everything from where it was asked, send so many bytes of it, close."""

    def act(handler, content, etag):
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = 0 if match is None else int(match[1])
        headers = {} if match is None else {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        part = content[start : start + after]
        _send(handler, 200 if match is None else 206, part, headers, length=len(content) - start)
        _cut_off(handler)

    return act


def reset(after=0):
    """Send so many bytes, then slam the connection shut."""

    def act(handler, content, etag):
        if after:
            _send(handler, 200, content[:after], length=len(content))
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.close()
        handler.close_connection = True

    return act


def stall(seconds, after=0):
    """Send so many bytes, then nothing for a while."""

    def act(handler, content, etag):
        _send(handler, 200, content[:after], length=len(content))
        handler.wfile.flush()
        time.sleep(seconds)
        handler.close_connection = True

    return act


def pause(goes_on, after):
    """Send so many bytes, and the others when `goes_on` is set."""

    def act(handler, content, etag):
        _send(handler, 200, content[:after], length=len(content))
        goes_on.wait(60)
        with suppress(ConnectionError):
            handler.wfile.write(content[after:])

    return act


def ignore_range(handler, content, etag):
    """Send the whole file whatever was asked for."""
    _send(handler, 200, content)


def send_other(other):
    """Hand out other bytes, with a whole and honest answer."""

    def act(handler, content, etag):
        behave(handler, other, etag)

    return act


def chunked(*, whole=True):
    """Announce no length; the last chunk may be missing."""

    def act(handler, content, etag):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        middle = len(content) // 2
        for part in (content[:middle], content[middle:]) if whole else (content[:middle],):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            _cut_off(handler)

    return act


def until_closed(handler, content, etag):
    """Announce no length and close the connection at the end, as HTTP/1.0 did."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = True


class ForwardProxy:
    """Where it listens, and what it was asked: `CONNECT host:port` or `GET http://…`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []


@contextmanager
def forward_proxy(authorization: str | None = None) -> Iterator[ForwardProxy]:
    """A real forward proxy on loopback: CONNECT tunnels, and absolute URLs for plain http."""
    proxy = ForwardProxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format, *args):  # noqa: A002
            pass

        def _is_allowed(self):
            proxy.asked.append(f"{self.command} {self.path}")
            if authorization is None or self.headers.get("Proxy-Authorization") == authorization:
                return True
            _send(self, 407, b"", {"Proxy-Authenticate": 'Basic realm="loopback"'})
            return False

        def do_CONNECT(self):
            self.close_connection = True
            if not self._is_allowed():
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as upstream:
                self.send_response(200)
                self.end_headers()
                _pipe(self.connection, upstream)

        def do_GET(self):
            if not self._is_allowed():
                return
            parts = urlsplit(self.path)
            with socket.create_connection((parts.hostname, parts.port), timeout=10) as upstream:
                target = parts.path + (f"?{parts.query}" if parts.query else "")
                lines = [f"GET {target} HTTP/1.1"]
                lines += [f"{name}: {value}" for name, value in self.headers.items() if "roxy" not in name]
                lines += ["Connection: close", "", ""]
                upstream.sendall("\r\n".join(lines).encode())
                while data := upstream.recv(65536):
                    self.wfile.write(data)
            self.close_connection = True

    with _serving(Handler) as port:
        proxy.address = f"127.0.0.1:{port}"
        yield proxy


def _pipe(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while True:
            ready, _, _ = select.select([one, other], [], [], 10)
            if not ready:
                return
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)


def make_certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority of one's own: the file to trust, and what a server on 127.0.0.1 shows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")

    def openssl(*words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca_is = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(
        "req", "-x509", *key, "-days", "2", "-subj", "/CN=An authority", "-keyout", "ca.key", "-out", "ca.pem", *ca_is
    )
    openssl("req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *sign)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context
