"""How fast objects are hashed, beside `openssl dgst -sha256` of the same bytes on disk in the same run.

    python benchmarks/hash.py [--large-mb N] [--small N]

nginx, if there is one, serves the bytes from this machine as a public bucket: its share of the processor counts against
us, so the figures are bytes for each second of our own processor time, and bytes a second by the clock. The same bytes
with a multipart ETag show what recomputing it costs: an MD5 of every byte, beside `-sha256` alone, and then beside
`-sha256` and `-md5`, which is the same work.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.digests.checksums import ChecksumCache
from opendata_pkg.model import ETag, ObjectKey, S3Object, VersionId
from opendata_pkg.scan.hashing import hash_snapshot
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE = 4
_SMALL_BYTES = 4_000
_PART_BYTES = 8 << 20
_RUNS = 3


@contextmanager
def serve(folder: Path, data: Path) -> Iterator[str]:
    """nginx with a configuration of its own, on a free port; the address of `data`."""
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if nginx is None:
        raise SystemExit("skipped: this benchmark needs nginx, which is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    paths = "".join(
        f"{kind}_temp_path {folder / kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder / 'pid'}; error_log {folder / 'error.log'};\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; sendfile on; etag off; {paths}\n"
        f"server {{ listen 127.0.0.1:{port}; root {data}; }} }}\n"
    )
    server = subprocess.Popen([nginx, "-c", str(config), "-e", str(folder / "error.log")])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def processor_s(who: int) -> float:
    """The processor time of this process, or of its children that ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def openssl(paths: list[Path], algorithms: tuple[str, ...]) -> tuple[float, float]:
    """Seconds by the clock and of processor that openssl takes for files, one digest and file after the other."""
    before, begun = processor_s(resource.RUSAGE_CHILDREN), time.perf_counter()
    for algorithm in algorithms:
        subprocess.run(["openssl", "dgst", f"-{algorithm}", *map(str, paths)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun, processor_s(resource.RUSAGE_CHILDREN) - before


def ours(url: str, objects: list[S3Object], cache_folder: Path, jobs: int) -> tuple[float, float]:
    """The same of a run of `opendata hash` on a public bucket."""
    header = SnapshotHeader(source="s3://b", method="ListObjectsV2", base_url=f"{url}/b/", bucket="b", endpoint_url=url)
    snapshot = Snapshot.from_objects(objects, header)
    shutil.rmtree(cache_folder, ignore_errors=True)
    with ChecksumCache.open(cache_folder) as cache:
        before, begun = processor_s(resource.RUSAGE_SELF), time.perf_counter()
        result = hash_snapshot(snapshot, cache=cache, jobs=jobs)
    result.check_complete()
    if result.hashed != len(objects):
        raise AssertionError(f"{result.hashed} objects of {len(objects)}")
    return time.perf_counter() - begun, processor_s(resource.RUSAGE_SELF) - before


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large-mb", type=int, default=512, help="the size of each of the large objects")
    parser.add_argument("--small", type=int, default=5_000, help="how many small objects")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bucket = folder / "data" / "b"
        bucket.mkdir(parents=True)
        # nginx gives its error log to another user where root runs it, and must reach what it serves.
        folder.chmod(0o755)
        block = os.urandom(1 << 20)
        for number in range(_LARGE):
            with (bucket / f"large{number}").open("wb") as stream:
                for _ in range(options.large_mb):
                    stream.write(block)
        for number in range(options.small):
            (bucket / f"small{number}").write_bytes(block[number : number + _SMALL_BYTES])
        large = [bucket / f"large{number}" for number in range(_LARGE)]
        small = [bucket / f"small{number}" for number in range(options.small)]
        with serve(folder, folder / "data") as url:
            measure(url, large, small, folder / "cache")


def measure(url: str, large: list[Path], small: list[Path], cache: Path) -> None:
    """Print a line for each kind, best of three."""
    plain = [an_object(path) for path in large]
    # nginx takes no notice of versions; its own ETags are none of S3's.
    pinned = [replace(target, version_id=VersionId("v")) for target in plain]
    in_parts = [replace(target, etag=multipart_etag(path)) for target, path in zip(pinned, large, strict=True)]
    sha256, both = ("sha256",), ("sha256", "md5")
    work = {
        "large, 1 job": (large, plain, 1, sha256),
        "large, 4 jobs": (large, plain, 4, sha256),
        "one large, 1 connection": (large[:1], plain[:1], 4, sha256),
        "one large, 4 connections": (large[:1], pinned[:1], 4, sha256),
        "large in parts, 4 jobs": (large, in_parts, 4, sha256),
        "the same, both with MD5": (large, in_parts, 4, both),
        "small, 16 jobs": (small, [an_object(path) for path in small], 16, sha256),
    }
    print(f"{'work':<26} {'openssl MB/s':>12} {'a core':>8} {'ours MB/s':>10} {'a core':>8} {'ratio a core':>12}")
    for name, (paths, objects, jobs, algorithms) in work.items():
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        peer, us = (float("inf"), float("inf")), (float("inf"), float("inf"))
        for _ in range(_RUNS):
            peer = min(peer, openssl(paths, algorithms), key=lambda seconds: seconds[1])
            us = min(us, ours(url, objects, cache, jobs), key=lambda seconds: seconds[1])
        print(
            f"{name:<26} {megabytes / peer[0]:>12.0f} {megabytes / peer[1]:>8.0f} {megabytes / us[0]:>10.0f} "
            f"{megabytes / us[1]:>8.0f} {peer[1] / us[1]:>10.2f} x"
            + (f"   {len(paths) / us[0]:.0f} objects/s" if len(paths) > _LARGE else "")
        )


def an_object(path: Path) -> S3Object:
    """A file as a listing would have it that knows keys and sizes."""
    return S3Object(key=ObjectKey(path.name), size_bytes=path.stat().st_size)


def multipart_etag(path: Path) -> ETag:
    """The ETag of a file uploaded in parts of 8 MiB, as AWS's own tools do."""
    digests = []
    with path.open("rb") as stream:
        while part := stream.read(_PART_BYTES):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    return ETag(f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}")


if __name__ == "__main__":
    main()
