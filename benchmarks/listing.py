"""How fast a bucket is listed, beside boto3's own paginator in the same run, with and without a slow network.

    python benchmarks/listing.py [OBJECTS] [--latency-ms N] [--one-folder]

The server answers with pages made beforehand, in a process of its own, as Amazon would write them; the second figure of
each kind adds its latency to every page. Objects are those of a generated snapshot of the catalogue's branches, or as
many numbered files of one folder.
"""

from __future__ import annotations

import argparse
import bisect
import multiprocessing
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote_plus, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from generate import generate_snapshot

from opendata_pkg.catalogue.catalogue import shipped_catalogue
from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.s3 import list_bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_PAGE = 1000
_JOBS = 16


class _Pages(BaseHTTPRequestHandler):
    """ListObjectsV2 of sorted keys: prefix, delimiter, start-after and continuation tokens, which are positions."""

    protocol_version = "HTTP/1.1"
    # As servers do; else a page of one packet waits for what the client's system does not hurry to acknowledge.
    disable_nagle_algorithm = True
    keys: list[str]
    entries: list[bytes]
    latency_s: float

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server has
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with a page."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        position = int(query["continuation-token"]) if "continuation-token" in query else None
        if position is None:
            position = bisect.bisect_left(self.keys, prefix)
            if "start-after" in query:
                position = max(position, bisect.bisect_right(self.keys, query["start-after"]))
        end = bisect.bisect_left(self.keys, prefix + "\U0010ffff")
        parts: list[bytes] = []
        while position < end and len(parts) < _PAGE:
            name, mark, _ = self.keys[position][len(prefix) :].partition(delimiter or "\0")
            if mark and delimiter:
                folder = prefix + name + delimiter
                parts.append(f"<CommonPrefixes><Prefix>{encoded(folder)}</Prefix></CommonPrefixes>".encode())
                position = bisect.bisect_left(self.keys, folder + "\U0010ffff", position)
            else:
                parts.append(self.entries[position])
                position += 1
        more = position < end
        token = f"<NextContinuationToken>{position}</NextContinuationToken>" if more else ""
        head = f"<IsTruncated>{str(more).lower()}</IsTruncated><EncodingType>url</EncodingType>{token}"
        xmlns = b'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        body = b"".join([b"<ListBucketResult ", xmlns, b">", head.encode(), *parts, b"</ListBucketResult>"])
        time.sleep(self.latency_s)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def encoded(key: str) -> str:
    """A key as S3 has it in a page with `encoding-type=url`."""
    return quote_plus(key, safe="/")


def serve(objects: int, latency_s: float, said: Connection, *, is_one_folder: bool) -> None:
    """Serve a bucket for ever; its address is sent through `said`."""
    rows = generate_snapshot(objects, shipped_catalogue()).table.to_pylist()
    if is_one_folder:
        for number, row in enumerate(rows):
            row["key"] = f"data/cell-{number:07d}.swc"
    _Pages.keys = [row["key"] for row in rows]
    _Pages.entries = [
        f"<Contents><Key>{encoded(row['key'])}</Key><LastModified>{row['last_modified']:%Y-%m-%dT%H:%M:%S.000Z}"
        f"</LastModified><ETag>&quot;{row['etag']}&quot;</ETag><Size>{row['size']}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>".encode()
        for row in rows
    ]
    _Pages.latency_s = latency_s
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    said.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def paginate(url: str) -> int:
    """What people do today; returns how many objects it found."""
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"mode": "standard"})
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=config)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="b")
    return sum(len(page.get("Contents", [])) for page in pages)


def scan(url: str, jobs: int) -> int:
    """What `opendata scan` does; returns how many objects it found."""
    bucket = open_bucket("b", endpoint_url=url, connections=jobs)
    return len(list_bucket(bucket, versions="no", jobs=jobs).table)


def compare(objects: int, latency_s: float, *, is_one_folder: bool) -> None:
    """Print both, best of three, and their ratio."""
    here, there = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(objects, latency_s, there), kwargs={"is_one_folder": is_one_folder}, daemon=True
    )
    server.start()
    url = here.recv()
    ways: dict[str, Callable[[], int]] = {
        "boto3's paginator": partial(paginate, url),
        "opendata, one job": partial(scan, url, 1),
        f"opendata, {_JOBS} jobs": partial(scan, url, _JOBS),
    }
    base = 0.0
    for name, way in ways.items():
        best = float("inf")
        for _ in range(3):
            begun = time.perf_counter()
            found = way()
            best = min(best, time.perf_counter() - begun)
            if found != objects:
                raise AssertionError(f"{name} found {found} objects of {objects}")
        base = base or best
        print(f"{latency_s * 1000:>6.0f} ms {name:<20} {best:>7.2f} s {objects / best:>9.0f}/s {base / best:>6.1f} x")
    server.terminate()
    server.join()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("objects", nargs="?", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--one-folder", action="store_true", help="all objects in one folder")
    options = parser.parse_args()
    for latency_s in (0.0, options.latency_ms / 1000):
        compare(options.objects, latency_s, is_one_folder=options.one_folder)


if __name__ == "__main__":
    main()
