"""On a cluster: sync where there is a network, then many processes read where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from opendata_pkg.cache.cache import FileCache
from opendata_pkg.lock.lock import Lock, NotHereError
from opendata_pkg.readers.syncing import sync
from tests.lock_support import content_of, lock_of, locked

PATHS = tuple(f"Rat/cell {number}.swc" for number in range(40))

# What a job does: it reads every file through the lock. Whoever touches the network or writes ends with 9.
JOB = """
import os, sys
from opendata_pkg.lock.lock import Lock
lock_file, cache, *_ = sys.argv[1:]
def watch(event, words):
    if event.startswith("socket.") or (event == "open" and "w" in str(words[1]) and cache in str(words[0])):
        os.write(2, f"{event} {words}\\n".encode())
        os._exit(9)
sys.addaudithook(watch)
lock = Lock(lock_file)
for path in lock:
    assert lock[path].read_bytes() == f"content of {path}\\n".encode(), path
print(lock[path])
"""
# Nothing answers there.
BLOCKED = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


@pytest.fixture
def lock(tmp_path, static_server):
    """A lock that was synced on the login node; its server is gone."""
    bucket = tmp_path / "bucket"
    for path in PATHS:
        (bucket / path).parent.mkdir(parents=True, exist_ok=True)
        (bucket / path).write_bytes(content_of(path))
    file = tmp_path / "opendata.lock"
    file.write_text(lock_of(*(locked(path, base=f"{static_server(bucket)}/") for path in PATHS)).dump())
    assert sync(Lock(file)).files == len(PATHS)
    shutil.rmtree(bucket)
    return file


def in_a_cell(cache):
    """Words before a command that take its network away and make the cache read-only, where the system lets us."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    for unshare in (["unshare", "-n", "-m"], ["unshare", "-r", "-n", "-m"]):
        words = [*unshare, "sh", "-c", script, str(cache)]
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        ):
            return words
    return []


def state_of(folder):
    """Every file of a folder with what a write would change."""
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in sorted(folder.rglob("*"))}


def run_jobs(lock, count):
    """Run the job in so many processes at a time; the paths that they print."""
    cache = FileCache.open().folder
    before = state_of(cache)
    command = [*in_a_cell(cache), sys.executable, "-c", JOB, str(lock), str(cache)]
    environment = os.environ | BLOCKED | {"OPENDATA_OFFLINE": "1", "OPENDATA_CACHE": str(cache)}
    jobs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ends = [(job.communicate(), job.returncode) for job in jobs]
    assert all(code == 0 for _, code in ends), next(words for words, code in ends if code)
    assert state_of(cache) == before
    return {words[0].strip() for words, _ in ends}


def test_many_read_what_was_synced(lock):
    """Many processes at a time read the synced files, verified, without network, and without writing anything."""
    assert run_jobs(lock, 20) == {str(lock.parent / "data" / max(PATHS))}


@pytest.mark.slow
def test_a_hundred_read_from_the_cache(lock):
    """The same from the cache alone, as when every job has a scratch folder of its own."""
    shutil.rmtree(lock.parent / "data")
    (found,) = run_jobs(lock, 100)
    assert found.startswith(str(FileCache.open().folder))


def test_many_read_an_unstamped_cache(lock):
    """Without stamps, as in a cache that was copied, files are hashed by each process, and nothing is written."""
    if not in_a_cell(FileCache.open().folder):
        pytest.skip("the cache cannot be made read-only here")
    shutil.rmtree(lock.parent / "data")
    shutil.rmtree(FileCache.open().folder / "stamps")
    run_jobs(lock, 4)


def test_what_was_not_synced(lock, monkeypatch):
    """A file that is not on this machine is said at once, with where to bring it from; nothing waits for a network."""
    shutil.rmtree(lock.parent / "data")
    monkeypatch.setenv("OPENDATA_CACHE", str(lock.parent / "empty"))
    monkeypatch.setenv("OPENDATA_OFFLINE", "1")
    with pytest.raises(NotHereError, match=r"this is offline: run `opendata sync --lock .*` where there is a network"):
        Lock(lock)[PATHS[0]]
