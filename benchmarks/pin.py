"""What `pin` transfers of a large store, and how fast `sync` is where the files are here already.

    python benchmarks/pin.py [--objects N] [--store STORE] [--files N]

`pin` takes 10 files of a store of N objects (1,000,000 by default) behind a plain web server that counts what it sends;
with `--store`, of one that an earlier run made there. `sync` brings 10,000 files of 2 kB. Each figure is one fresh
process, timed from outside.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generate import generate_snapshot

from opendata_pkg.catalogue.catalogue import shipped_catalogue
from opendata_pkg.lock.format import LockContent, LockedFile, LockSelection
from opendata_pkg.model import Grade, Sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEGABYTE = 1e6
_GOAL_MB = 5.0
_GOAL_S = 1.0
_FILE_BYTES = 2_000


@dataclass
class Counter:
    """What a server was asked for, and sent in bodies and heads."""

    requests: int = 0
    bytes: int = 0
    paths: list[str] = field(default_factory=list)


@contextmanager
def serve(folder: Path, counter: Counter) -> Iterator[str]:
    """A plain web server of a folder; its URL."""
    counting = threading.Lock()

    class Counting(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(folder))

        def handle_one_request(self) -> None:
            before = self.wfile

            class Counted:
                def write(self, data: bytes) -> int:
                    with counting:
                        counter.bytes += len(data)
                    return before.write(data)

                def __getattr__(self, name: str) -> Any:
                    return getattr(before, name)

            self.wfile = Counted()  # type: ignore[assignment]
            try:
                super().handle_one_request()
            finally:
                self.wfile = before

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            del code, size
            with counting:
                counter.requests += 1
                counter.paths.append(self.path)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def opendata(folder: Path, *words: str) -> tuple[float, float, str]:
    """One command as a user starts it: (seconds, seconds of processor, what it printed)."""
    environment = os.environ | {"OPENDATA_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "opendata_pkg", *words, "--quiet"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, out.read()


def make_store(objects: int, store: Path) -> None:
    """A released store of that many objects."""
    snapshot = store.parent / "snapshot.parquet"
    generate_snapshot(objects, shipped_catalogue()).write(snapshot)
    opendata(store.parent, "build", str(snapshot), "--store", str(store))
    opendata(store.parent, "release", "1.0.0", "--store", str(store))


def pin_ten(objects: int, store: Path) -> None:
    """Pin 10 neighbours out of a store over HTTP, named by folder and glob, then by glob alone."""
    leaves = [branch for branch in shipped_catalogue().branches.values() if not branch.children][:100]
    # The 10 files with the numbers n0 to n9, in the middle of the store.
    first = objects // 2 // 400 * 400
    leaf = leaves[first * len(leaves) // objects]
    if leaves[(first + 9) * len(leaves) // objects] != leaf:
        first = first // 400 * 400 + 20
    glob = f"*_{first // 10:06d}?*"
    print(f"{'pin of 10 files':<34} {'requests':>9} {'MB':>9} {'seconds':>9} {'processor':>9} {'of 5 MB':>9}")
    for name, word in (
        ("by folder and glob", f"{leaf.path}:batch_{first // 400:05d}"),
        (f"by glob over {objects // len(leaves):,} files", leaf.path),
    ):
        counter = Counter()
        with tempfile.TemporaryDirectory() as temporary, serve(store, counter) as url:
            seconds, busy, out = opendata(Path(temporary), "pin", word, "--include", glob, "--store", url, "--json")
        if (found := json.loads(out)["files"]) != 10:
            raise SystemExit(f"expected 10 files of {word} with {glob}, got {found}")
        megabytes = counter.bytes / _MEGABYTE
        share = f"{megabytes / _GOAL_MB:>8.0%}"
        print(f"{name:<34} {counter.requests:>9} {megabytes:>9.2f} {seconds:>9.2f} {busy:>9.2f} {share}")


def sync_many(files: int, folder: Path) -> None:
    """Sync: from the web, again with all in place, to another folder from the cache, and by links."""
    bucket = folder / "bucket"
    rows = []
    with serve(bucket, Counter()) as url:
        for number in range(files):
            path = f"Experimental_Data/folder_{number // 400:03d}/cell_{number:05d}.swc"
            data = hashlib.shake_128(path.encode()).digest(_FILE_BYTES)
            (bucket / path).parent.mkdir(parents=True, exist_ok=True)
            (bucket / path).write_bytes(data)
            digest = Sha256(hashlib.sha256(data).hexdigest())
            rows.append(
                LockedFile(
                    selection="cells",
                    path=path,
                    size_bytes=len(data),
                    sha256=digest,
                    md5=None,
                    urls=(f"{url}/{path}",),
                    version_id=None,
                    grade=Grade.VERIFIABLE,
                )
            )
        selection = LockSelection(
            name="cells",
            branch=".",
            version=None,
            rules={},
            source="s3://bench",
            snapshot="1" * 64,
            commit=None,
            digest=f"sha256:{'0' * 64}",
            licenses=(),
            citation="Nobody.",
        )
        content = LockContent(selections={"cells": selection}, files=tuple(rows))
        (folder / "opendata.lock").write_text(content.dump(), encoding="utf-8")
        print(
            f"\n{f'sync of {files:,} files of 2 kB':<34} {'files/s':>9} {'seconds':>9} {'processor':>9} {'of 1 s':>9}"
        )
        for name, words in (
            ("downloaded", ()),
            ("second sync, all in place", ()),
            ("to another folder, from the cache", ("--to", "other")),
            ("to another folder, by links", ("--to", "linked", "--link")),
        ):
            seconds, busy, _ = opendata(folder, "sync", *words)
            goal = f"{seconds / _GOAL_S:>8.0%}" if name.startswith("second") else ""
            print(f"{name:<34} {files / seconds:>9.0f} {seconds:>9.2f} {busy:>9.2f} {goal}".rstrip())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = folder / "store" if options.store is None else options.store.absolute()
        if not (store / "index.json").exists():
            store.parent.mkdir(parents=True, exist_ok=True)
            make_store(options.objects, store)
        pin_ten(options.objects, store)
        (folder / "sync").mkdir()
        sync_many(options.files, folder / "sync")


if __name__ == "__main__":
    main()
