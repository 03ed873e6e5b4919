"""A real web server on loopback for the benchmarks: nginx with a configuration of its own, in a temporary folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIGURATION = """\
daemon off;
master_process off;
pid {work}/pid;
error_log {work}/errors;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 100000;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
_START_S = 10.0


def find_nginx() -> str | None:
    """Where nginx is: not on everybody's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin")


@contextmanager
def serving(root: Path, work: Path) -> Iterator[str]:
    """Serve a folder; gives its URL. `work` is for nginx's own files."""
    nginx = find_nginx()
    if nginx is None:
        raise FileNotFoundError("nginx")
    work.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    configuration = work / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(work=work, root=root, port=port), encoding="utf-8")
    process = subprocess.Popen([nginx, "-c", configuration, "-p", work], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
