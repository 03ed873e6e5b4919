"""The demo's bucket and store, served for as long as somebody wants to try commands on them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from opendata_pkg.building.build import build
from opendata_pkg.building.release import release
from opendata_pkg.catalogue.catalogue import shipped_catalogue
from opendata_pkg.demo.folder import SERVER, STORE, prepare_folder
from opendata_pkg.demo.samples import fetch_wheels, load_samples
from opendata_pkg.demo.scene import BUCKET, FIRST, SECOND
from opendata_pkg.demo.server import S3Server
from opendata_pkg.digests.checksums import ChecksumCache
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.scan.hashing import hash_snapshot
from opendata_pkg.scan.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opendata_pkg.model import ObjectKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where things are: `source` is `s3://bucket`, on the S3 server at `endpoint_url`; `store` is a URL."""

    source: str
    endpoint_url: str
    store: str
    versions: tuple[str, ...]


@contextmanager
def serve_demo(folder: Path, *, wheels_folder: Path, reporter: Reporter = SILENT) -> Iterator[Served]:
    """The demo's bucket after its edits, and a store with both versions; served on loopback until the block ends.

    `folder` must be absent, empty, or made by the demo before. Errors as `opendata_pkg.demo.story.tell`.
    """
    folder = folder.resolve()
    prepare_folder(folder)
    samples = load_samples(fetch_wheels(wheels_folder, reporter=reporter))
    with S3Server.start(folder / SERVER) as server:
        server.make_bucket(BUCKET)
        _upload(server, samples.first)
        _publish(folder / STORE, server, FIRST)
        _upload(server, {**samples.edits.overwritten, **samples.edits.added})
        for key in samples.edits.deleted:
            server.client().delete_object(Bucket=BUCKET, Key=key)
        _publish(folder / STORE, server, SECOND)
        with _serve_folder(folder / STORE) as url:
            yield Served(source=f"s3://{BUCKET}", endpoint_url=server.endpoint_url, store=url, versions=(FIRST, SECOND))


def _upload(server: S3Server, objects: Mapping[ObjectKey, bytes]) -> None:
    client = server.client()
    for key, body in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body)


def _publish(store: Path, server: S3Server, version: str) -> None:
    snapshot = scan(f"s3://{BUCKET}", endpoint_url=server.endpoint_url)
    with ChecksumCache.open(store.parent / SERVER) as cache:
        hashed = hash_snapshot(snapshot, cache=cache)
    hashed.check_complete()
    build(hashed.snapshot, shipped_catalogue(), store)
    release(version, store)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Say nothing: those who try commands want to read their output."""


@contextmanager
def _serve_folder(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
