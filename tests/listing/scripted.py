"""Answers of Amazon's S3 that no server on loopback gives, written by hand after its API reference."""

from __future__ import annotations

import hashlib
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Request:
    """What a client asked: the decoded path, the query's parameters, headers in lower case."""

    method: str
    path: str
    raw_path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Answer:
    """What the server says: the body, `times` over; `cut` closes the connection after that many bytes of it."""

    status: int = 200
    body: bytes | str = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    times: int = 1


def md5_hex(data: bytes) -> str:
    """What Amazon gives as the ETag of a plain upload."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def error(status: int, code: str, headers: dict[str, str] | None = None) -> Answer:
    """An error as S3 writes it."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>said so</Message></Error>", headers or {})


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up: tests make them."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """A server that answers what a test's function says, and remembers the requests."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two packets: the second is not to wait for the client to acknowledge the first.
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, unquote(parts.path), parts.path, query, headers)
                scripted.requests.append(request)
                said = answer(request)
                body = said.body.encode() if isinstance(said.body, str) else said.body
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(body) * said.times), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    # A client that has seen enough closes the connection.
                    with suppress(ConnectionError):
                        for _ in range(said.times):
                            self.wfile.write(body[: said.cut])
                if said.cut is not None:
                    self.close_connection = True

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
