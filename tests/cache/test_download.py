"""One file from the web to its name: never a wrong or partial one, whatever the server does."""

import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opendata_pkg.cache.download import DiskFullError, LocalFileError, NoUrlError, download
from opendata_pkg.cache.wanted import Got, Wanted, WrongBytesError
from opendata_pkg.web.transport import BrokenTransferError, RefusedError, TransportError
from tests.serving import behave, chunked, ignore_range, impatient, reset, send_other, serve, stall, status, truncate

SMALL = random.Random(1).randbytes(20_000)
LARGE = random.Random(2).randbytes(9_000_000)
OTHER = random.Random(3).randbytes(20_000)


@pytest.fixture
def web():
    """A web server."""
    with serve() as server:
        yield server


def wanted_of(content, *urls, known="sha256", **values):
    """What a snapshot with this digest of the content says."""
    fields = {"name": "Rat/cell.swc", "urls": urls, "size_bytes": len(content)}
    if known == "sha256":
        fields["sha256"] = hashlib.sha256(content).hexdigest()
    elif known == "md5":
        fields["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Wanted(**fields | values)


def names_in(folder):
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("content", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
@pytest.mark.parametrize("known", ["sha256", "md5", None])
@pytest.mark.parametrize("size", ["known", "unknown"])
def test_a_file_comes_whole(web, tmp_path, content, known, size):
    """With any digest or none, of any size, the bytes and their SHA-256 are handed back, and nothing else is left."""
    wanted = wanted_of(content, web.put("a", content), known=known)
    if size == "unknown":
        wanted = Wanted(**{**{name: getattr(wanted, name) for name in Wanted.__slots__}, "size_bytes": None})
    counted = []
    got = download(wanted, tmp_path / "x" / "cell.swc", transport=impatient(), on_bytes=counted.append)
    assert got == Got(
        wanted=wanted,
        local=str(tmp_path / "x" / "cell.swc"),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        url=f"{web.url}/a",
    )
    assert got.path.read_bytes() == content
    assert sum(counted) == len(content)
    assert names_in(tmp_path) == ["cell.swc"]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", [truncate(7_000), reset(7_000), stall(2, 7_000)], ids=["truncate", "reset", "stall"])
def test_breaks_are_gone_on_from(web, tmp_path, content, how):
    """A server that stops in the middle is asked for the rest; what was counted adds up."""
    counted = []
    url = web.put("a", content, how, how)
    got = download(wanted_of(content, url), tmp_path / "a", transport=impatient(), on_bytes=counted.append)
    assert got.path.read_bytes() == content
    assert sum(counted) == len(content)
    assert [asked[1] for asked in web.asked][:2] == [None, "bytes=7000-"]


def test_a_server_that_breaks_off_often_but_gets_further(web, tmp_path):
    """As long as there is progress, it is gone on."""
    url = web.put("a", SMALL, *[truncate(1_000)] * 12)
    assert download(wanted_of(SMALL, url), tmp_path / "a", transport=impatient()).path.read_bytes() == SMALL
    assert len(web.asked) == 13


def test_a_server_that_gets_no_further(web, tmp_path):
    """Five breaks without a byte are the end; the part is kept for another time."""
    url = web.put("a", SMALL, truncate(1_000), *[truncate(0)] * 20)
    wanted = wanted_of(SMALL, url)
    with pytest.raises(BrokenTransferError, match="the server stopped 19000 bytes before the end"):
        download(wanted, tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == [f".{wanted.part_name}"]
    web.script.clear()
    web.asked.clear()
    assert download(wanted, tmp_path / "a", transport=impatient()).path.read_bytes() == SMALL
    assert [asked[1] for asked in web.asked] == ["bytes=1000-"]
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_part_is_gone_on_from(web, tmp_path, content):
    """What an earlier run received is hashed, not received again."""
    part = tmp_path / "part"
    part.write_bytes(content[:5_000])
    download(wanted_of(content, web.put("a", content)), tmp_path / "a", part=part, transport=impatient())
    assert (tmp_path / "a").read_bytes() == content
    assert [asked[1] for asked in web.asked] == ["bytes=5000-"]
    assert not part.exists()


def test_a_whole_part_needs_no_server(tmp_path):
    """All bytes were there, only the rename was not."""
    (tmp_path / "part").write_bytes(SMALL)
    wanted = wanted_of(SMALL, "http://127.0.0.1:9/a")
    got = download(wanted, tmp_path / "a", part=tmp_path / "part", transport=impatient(offline=True))
    assert got.path.read_bytes() == SMALL


@pytest.mark.parametrize(
    "part", [OTHER[:5_000], OTHER, SMALL + b"more"], ids=["wrong beginning", "wrong whole", "too long"]
)
@pytest.mark.parametrize("known", ["sha256", "md5"])
def test_a_wrong_part_is_dropped(web, tmp_path, part, known):
    """Whatever an earlier run left, the right bytes come."""
    (tmp_path / "part").write_bytes(part)
    wanted = wanted_of(SMALL, web.put("a", SMALL), known=known)
    counted = []
    got = download(wanted, tmp_path / "a", part=tmp_path / "part", transport=impatient(), on_bytes=counted.append)
    assert got.path.read_bytes() == SMALL
    assert sum(counted) == len(SMALL)


def test_a_part_longer_than_the_file_of_unknown_size(web, tmp_path):
    """416 says so: from the beginning, then."""
    (tmp_path / "part").write_bytes(SMALL + b"more")
    wanted = wanted_of(SMALL, web.put("a", SMALL), size_bytes=None)
    download(wanted, tmp_path / "a", part=tmp_path / "part", transport=impatient())
    assert (tmp_path / "a").read_bytes() == SMALL
    assert [asked[1] for asked in web.asked] == ["bytes=20004-", None]


def test_a_part_without_a_digest_is_not_trusted(web, tmp_path):
    """Nothing would tell whether two halves belong together."""
    (tmp_path / "part").write_bytes(OTHER[:5_000])
    wanted = wanted_of(SMALL, web.put("a", SMALL), known=None)
    download(wanted, tmp_path / "a", part=tmp_path / "part", transport=impatient())
    assert (tmp_path / "a").read_bytes() == SMALL


def test_a_server_that_ignores_ranges(web, tmp_path):
    """It sends all again, and all is taken from the beginning."""
    (tmp_path / "part").write_bytes(SMALL[:5_000])
    wanted = wanted_of(SMALL, web.put("a", SMALL, ignore_range))
    download(wanted, tmp_path / "a", part=tmp_path / "part", transport=impatient())
    assert (tmp_path / "a").read_bytes() == SMALL
    assert len(web.asked) == 1


@pytest.mark.parametrize("known", ["sha256", "md5"])
def test_wrong_bytes(web, tmp_path, known):
    """Expected and got are named; nothing is left, under any name; what was there before stays."""
    (tmp_path / "a").write_bytes(b"before")
    wanted = wanted_of(SMALL, web.put("a", OTHER), known=known)
    digest = getattr(hashlib, known)
    sentence = f"Rat/cell.swc: expected {known}:{digest(SMALL).hexdigest()} as recorded, got {known}:{digest(OTHER).hexdigest()} from {web.url}/a"
    with pytest.raises(WrongBytesError, match=sentence) as caught:
        download(wanted, tmp_path / "a", transport=impatient())
    assert caught.value.exit_status == 6
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"
    assert len(web.asked) == 1


def test_another_size_is_seen_before_the_bytes_come(web, tmp_path):
    """A file that was replaced by one of another size need not be received to know it."""
    wanted = wanted_of(SMALL, web.put("a", LARGE))
    with pytest.raises(WrongBytesError, match="expected 20000 bytes as recorded, got 9000000 bytes"):
        download(wanted, tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == []


def test_another_size_without_any_announcement(web, tmp_path):
    """A body of unknown length that is too long is wrong too."""

    def unannounced(handler, content, etag):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True

    wanted = wanted_of(SMALL, web.put("a", SMALL + b"more", unannounced), known=None)
    with pytest.raises(WrongBytesError, match="expected 20000 bytes as recorded, got 20004 bytes"):
        download(wanted, tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == []


def test_another_etag_where_nothing_else_is_known(web, tmp_path):
    """Without a digest, an ETag says that it changed."""
    url = web.put("a", SMALL)
    web.etags["a"] = "new"
    with pytest.raises(WrongBytesError, match="expected ETag old as recorded, got ETag new"):
        download(wanted_of(SMALL, url, known=None, etag="old"), tmp_path / "a", transport=impatient())


def test_another_etag_of_the_right_bytes(web, tmp_path):
    """With a digest, an ETag does not matter: copies elsewhere have others."""
    url = web.put("a", SMALL)
    web.etags["a"] = "new"
    assert download(wanted_of(SMALL, url, etag="old"), tmp_path / "a", transport=impatient()).path.is_file()


def test_the_next_url(web, tmp_path):
    """Wrong, gone, forbidden: then from the next place."""
    urls = [web.put("a", OTHER), f"{web.url}/none", web.put("b", SMALL, status(403)), web.put("c", SMALL)]
    got = download(wanted_of(SMALL, *urls), tmp_path / "a", transport=impatient())
    assert got.url == urls[-1]
    assert got.path.read_bytes() == SMALL


def test_no_url_is_right(web, tmp_path):
    """Each refusal is said; wrong bytes matter most."""
    refused = (f"{web.url}/x", web.put("b", SMALL, status(403)))
    with pytest.raises(TransportError, match=r"/x: not there \(HTTP 404\).*; .*/b: access denied \(HTTP 403\)"):
        download(wanted_of(SMALL, *refused), tmp_path / "a", transport=impatient())
    wrong = wanted_of(SMALL, refused[0], web.put("a", OTHER))
    with pytest.raises(WrongBytesError):
        download(wrong, tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == []


def test_overwritten_in_the_middle(web, tmp_path):
    """Halves of two versions are noticed, and once more from the beginning gives the right one."""

    def half_of_other(handler, content, etag):
        truncate(7_000)(handler, OTHER, etag)

    wanted = wanted_of(SMALL, web.put("a", SMALL, half_of_other))
    assert download(wanted, tmp_path / "a", transport=impatient()).path.read_bytes() == SMALL
    assert [asked[1] for asked in web.asked] == [None, "bytes=7000-", None]


@pytest.mark.parametrize(
    ("then", "kind"),
    [(send_other(OTHER), WrongBytesError), (status(416), RefusedError)],
    ids=["other bytes", "refused"],
)
def test_a_server_that_breaks_for_ever(web, tmp_path, then, kind):
    """Each time it breaks off, and hands out no right rest: told after two rounds, not tried without an end."""
    wanted = wanted_of(SMALL, web.put("a", SMALL, *[truncate(9_000), then] * 20))
    with pytest.raises(kind):
        download(wanted, tmp_path / "a", transport=impatient())
    assert [asked[1] for asked in web.asked] == [None, "bytes=9000-"] * 2
    assert not (tmp_path / "a").exists()


def test_what_is_there_is_not_fetched(tmp_path):
    """A target with the right bytes needs no server."""
    (tmp_path / "a").write_bytes(SMALL)
    got = download(wanted_of(SMALL, "http://127.0.0.1:9/a"), tmp_path / "a", transport=impatient(offline=True))
    assert (got.url, got.size_bytes) == ("", len(SMALL))
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("number", "kind"), [(404, RefusedError), (403, RefusedError), (410, RefusedError), (416, RefusedError)]
)
def test_refusals(web, tmp_path, number, kind):
    """The server's refusal is handed on, and no file is left."""
    with pytest.raises(kind, match=f"HTTP {number}"):
        download(wanted_of(SMALL, web.put("a", SMALL, status(number))), tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == []


def test_no_url_at_all(tmp_path):
    """Said as such."""
    with pytest.raises(NoUrlError, match="it has no URL"):
        download(wanted_of(SMALL), tmp_path / "a", transport=impatient())


def test_a_target_that_cannot_be_written(web, tmp_path):
    """A name that the file system refuses is one file's trouble, with the name in the sentence."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalFileError, match=r"cannot write .*file/a"):
        download(wanted_of(SMALL, web.put("a", SMALL)), tmp_path / "file" / "a", transport=impatient())


def test_names_at_the_file_systems_limit(web, tmp_path):
    """A name of 255 bytes: the part has a short one of its own."""
    target = tmp_path / ("é" * 127 + "x")
    assert download(wanted_of(SMALL, web.put("a", SMALL)), target, transport=impatient()).path.read_bytes() == SMALL


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_full_disk(web, tmp_path, content):
    """Said as such; no final name, and the same command goes on later: a limit on file sizes is the disk here."""
    wanted = wanted_of(content, web.put("a", content))
    code = f"""
import errno, os, signal, resource
from pathlib import Path
from opendata_pkg.cache.download import download
from opendata_pkg.cache.wanted import Wanted
from opendata_pkg.web.transport import Transport
real = os.write
def full(descriptor, data):
    try:
        return real(descriptor, data)
    except OSError as error:
        raise OSError(errno.ENOSPC, "No space left on device") from error
os.write = full
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
wanted = Wanted(name="a", urls={wanted.urls!r}, size_bytes={wanted.size_bytes}, sha256={wanted.sha256!r})
download(wanted, Path({str(tmp_path / "x")!r}), transport=Transport.create())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DiskFullError: the disk is full at" in done.stderr
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [9_000]
    assert not (tmp_path / "x").exists()
    download(wanted, tmp_path / "x", transport=impatient())
    assert names_in(tmp_path) == ["x"]


def test_a_file_that_will_not_fit(web, tmp_path, monkeypatch):
    """Room is looked at before a large file is received."""
    room = os.statvfs(tmp_path)
    little = os.statvfs_result((1_000, 1_000, *room[2:4], 1_000, *room[5:]))
    monkeypatch.setattr(os, "fstatvfs", lambda _: little)
    with pytest.raises(DiskFullError, match="9000000 bytes are to come, and 1000000 are free"):
        download(wanted_of(LARGE, web.put("a", LARGE)), tmp_path / "a", transport=impatient())
    assert names_in(tmp_path) == []


def _download_in_process(wanted, target):
    download(wanted, target, transport=impatient())


def test_processes_that_want_the_same(web, tmp_path):
    """One downloads, the others wait and find it: four processes ask the server once."""

    def slowly(handler, content, etag):
        time.sleep(0.2)
        behave(handler, content, etag)

    wanted = wanted_of(SMALL, web.put("a", SMALL, *[slowly] * 4))
    crew = [
        multiprocessing.get_context("fork").Process(target=_download_in_process, args=(wanted, tmp_path / "a"))
        for _ in range(4)
    ]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    assert [process.exitcode for process in crew] == [0] * 4
    assert len(web.asked) == 1
    assert names_in(tmp_path) == ["a"]


def test_killed_in_the_middle(web, tmp_path):
    """A process that is killed leaves no final name; the next goes on from what it had."""
    wanted = wanted_of(LARGE, web.put("a", LARGE, stall(60, 5_000_000)))
    process = multiprocessing.get_context("fork").Process(
        target=download, args=(wanted, tmp_path / "a"), kwargs={"transport": impatient(timeout_s=60)}
    )
    process.start()
    part = tmp_path / f".{wanted.part_name}"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size == 5_000_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "a").exists()
    assert download(wanted, tmp_path / "a", transport=impatient()).path.read_bytes() == LARGE
    assert web.asked[-1][1] == "bytes=5000000-"


@pytest.mark.parametrize("size", ["known", "unknown"])
def test_a_body_without_a_length(web, tmp_path, size):
    """Whatever is known of the size, chunks are put together, also more of them than were expected."""
    wanted = wanted_of(SMALL, web.put("a", SMALL, chunked()), size_bytes=len(SMALL) if size == "known" else None)
    assert download(wanted, tmp_path / "a", transport=impatient()).path.read_bytes() == SMALL
    longer = wanted_of(SMALL, web.put("b", SMALL + OTHER, chunked()), size_bytes=wanted.size_bytes)
    with pytest.raises(WrongBytesError):
        download(longer, tmp_path / "b", transport=impatient())
    assert names_in(tmp_path) == ["a"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process took is told by Linux's /proc")
def test_memory_does_not_grow_with_the_file(web, tmp_path):
    """90 MB in constant memory."""
    content = LARGE * 10
    url = web.put("a", content)
    wanted = wanted_of(content, url)
    code = f"""
from pathlib import Path
from opendata_pkg.cache.download import download
from opendata_pkg.cache.wanted import Wanted
from opendata_pkg.web.transport import Transport
def most_kib():
    # Its own: what getrusage tells may be that of the process which started this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = most_kib()
wanted = Wanted(name="a", urls=({url!r},), size_bytes={len(content)}, sha256={wanted.sha256!r})
download(wanted, Path({str(tmp_path / "a")!r}), transport=Transport.create())
print((most_kib() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30
