"""An interrupted listing goes on where it was: no page lost, none counted twice, and few asked for again."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from opendata_pkg.listing.bucket import open_bucket
from opendata_pkg.listing.checkpoint import BrokenCheckpointError, Checkpoint, OtherListingError, remove_checkpoint
from opendata_pkg.listing.s3 import NothingThereError, list_bucket
from opendata_pkg.listing.versions import ChangedWhileListingError
from opendata_pkg.model import InputError, SourceError
from opendata_pkg.progress import Reporter
from opendata_pkg.scan.scan import ScanRequest, checkpoint_path, scan, scan_to
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.text import counted
from tests.listing.scripted import Answer, error
from tests.listing.test_spread import listed

KEYS = sorted(
    [f"{first}/{second}/{number:02d}" for first in "abc" for second in "xy" for number in range(7)]
    + [f"flat/{number:03d}" for number in range(40)]
    + ["top"]
)


class Stopping(Reporter):
    """Remembers messages; presses Ctrl-C when so many steps were reported."""

    def __init__(self, after=None):
        self.messages, self._after, self._lock = [], after, threading.Lock()

    def message(self, text):  # noqa: D102
        self.messages.append(text)

    def advance(self, count=1):  # noqa: D102
        with self._lock:
            if self._after is not None and count:
                self._after -= 1
                if self._after < 0:
                    raise KeyboardInterrupt


def request_of(server, **options):
    """A scan of the scripted bucket."""
    return ScanRequest(**{"source": "s3://b", "endpoint_url": server.url, "versions": "no", "jobs": 4, **options})


def pages_asked(server, since=0):
    """What pages were asked for: of which prefix, as a folder or as a whole, after what."""
    markers = ("prefix", "delimiter", "start-after", "continuation-token", "key-marker", "version-id-marker")
    asked = [
        request.query
        for request in server.requests[since:]
        if "prefix" in request.query and "max-keys" not in request.query
    ]
    return {tuple(query.get(name, "") for name in markers) for query in asked}


def pages_kept(path, *, with_versions):
    """How the pages that are in a checkpoint were asked for."""
    with closing(sqlite3.connect(path)) as connection:
        folders = {(prefix, "/", "", "", "", "") for (prefix,) in connection.execute("SELECT prefix FROM folders")}
        query = "SELECT prefix, after, number, following FROM pages ORDER BY prefix, after, number"
        rows = connection.execute(query).fetchall()
    asked, following = set(), ""
    for prefix, after, number, then in rows:
        named = json.loads(following) if number else {"KeyMarker" if with_versions else "StartAfter": after}
        names = ("StartAfter", "ContinuationToken", "KeyMarker", "VersionIdMarker")
        asked.add((prefix, "", *(named.get(name, "") for name in names)))
        following = then
    return folders | asked


def let_threads_end():
    """Those that were stopped end after the page that they are at, which they keep; who stopped them does not wait."""
    for thread in threading.enumerate():
        if re.fullmatch(r"opendata-\d+", thread.name):
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(params=[0.01, 1e-9], ids=["near", "far"])
def distance(request, monkeypatch):
    """A server that answers at once, and one to which as many requests as there may be are of use."""
    monkeypatch.setattr("opendata_pkg.listing.spread._PAGE_S", request.param)


@pytest.mark.usefixtures("distance")
@pytest.mark.parametrize("with_versions", [False, True])
@pytest.mark.parametrize("after", range(0, 28, 5))
def test_a_listing_goes_on_after_any_page(scripted, tmp_path, after, with_versions):
    """Interrupted after every number of pages: the result is the same, and what was kept is not asked for again."""
    server = scripted(lambda request: listed(KEYS, request, with_versions="versions" in request.query))
    request = request_of(server, versions="yes" if with_versions else "no")
    whole = scan("s3://b", endpoint_url=server.url, versions=request.versions, jobs=4)
    out = tmp_path / "s.parquet"
    with pytest.raises(KeyboardInterrupt):
        scan_to(out, request, reporter=Stopping(after))
    assert not out.exists()
    let_threads_end()
    kept = pages_kept(checkpoint_path(out), with_versions=with_versions)
    middle, said = len(server.requests), Stopping()
    summary = scan_to(out, request, reporter=said)
    assert Snapshot.read(out).id == whole.id == summary.id
    assert summary.header.delete_markers == whole.header.delete_markers
    assert not checkpoint_path(out).exists()
    assert any(f": {counted(len(kept), 'page')} in " in message for message in said.messages)
    assert kept
    assert not kept & pages_asked(server, middle)


def test_a_listing_that_is_killed_again_and_again_comes_to_its_end(scripted, tmp_path):
    """`kill -9` at any moment, and refusals and broken connections in between; the file may be at any state."""
    faults = iter([error(503, "SlowDown"), Answer(body="<ListBuck", cut=3)] * 3)
    lock, last_answered, is_killed = threading.Lock(), 0, threading.Event()

    def answer(request):
        if len(server.requests) > last_answered:
            # However slow the test is to kill it, it does not come to its end before.
            is_killed.wait(60)
        time.sleep(0.03)
        with lock:
            fault = next(faults, None) if len(server.requests) % 7 == 0 else None
        return fault or listed(KEYS, request)

    server = scripted(answer)
    out = tmp_path / "s.parquet"
    words = ("scan", "s3://b", "--endpoint-url", server.url, "--versions", "no", "--out", str(out), "-j", "2", "-q")
    kills = 0
    for limit in (5, 9, 14, 10_000):
        begun = len(server.requests)
        last_answered = begun + limit + 1
        is_killed.clear()
        process = subprocess.Popen([sys.executable, "-m", "opendata_pkg", *words])
        while process.poll() is None and len(server.requests) < begun + limit:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        is_killed.set()
    assert kills == 3
    assert process.returncode == 0
    assert Snapshot.read(out).table["key"].to_pylist() == KEYS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.json", "s.parquet"]


def test_a_network_that_is_gone_loses_nothing(scripted, tmp_path, monkeypatch):
    """The command fails with what to do, and the same command goes on."""
    monkeypatch.setattr("opendata_pkg.listing.bucket._ATTEMPTS", 1)
    is_back = threading.Event()

    def answer(request):
        if len(server.requests) > 12 and not is_back.is_set():
            return Answer(body="<", cut=0)
        return listed(KEYS, request)

    server = scripted(answer)
    with pytest.raises(SourceError):
        scan_to(tmp_path / "s.parquet", request_of(server))
    kept = pages_kept(checkpoint_path(tmp_path / "s.parquet"), with_versions=False)
    assert len(kept) >= 4
    is_back.set()
    middle = len(server.requests)
    assert scan_to(tmp_path / "s.parquet", request_of(server)).objects == len(KEYS)
    assert not kept & pages_asked(server, middle)


def interrupted(server, out, after=8, **options):
    """A checkpoint of a few pages beside `out`."""
    with pytest.raises(KeyboardInterrupt):
        scan_to(out, request_of(server, **options), reporter=Stopping(after))
    let_threads_end()


def test_other_options_are_refused(scripted, tmp_path):
    """What was listed is of another question; nothing is deleted; other options of the result may differ."""
    server = scripted(lambda request: listed(KEYS, request))
    out = tmp_path / "s.parquet"
    interrupted(server, out)
    sentence = r"of an interrupted scan with other options: prefixes \[''\] \(now \['a/'\]\)\. Repeat that command"
    with pytest.raises(OtherListingError, match=sentence):
        scan_to(out, request_of(server, prefixes=("a/",)))
    assert checkpoint_path(out).exists()
    assert scan_to(out, request_of(server, jobs=2, base_url="https://x.example/")).objects == len(KEYS)


def test_an_old_listing_is_told(scripted, tmp_path, monkeypatch):
    """After a day, what was written since may matter; the snapshot says when its listing began."""
    server = scripted(lambda request: listed(KEYS, request))
    out = tmp_path / "s.parquet"
    interrupted(server, out)
    long_ago = datetime.now(UTC) - timedelta(hours=30, minutes=1)
    with sqlite3.connect(checkpoint_path(out)) as connection:
        connection.execute("UPDATE listing SET started = ?", (long_ago.isoformat(),))
    connection.close()
    said = Stopping()
    summary = scan_to(out, request_of(server), reporter=said)
    assert any("that was 30 hours ago: what was written since" in message for message in said.messages)
    assert summary.header.started == long_ago


def forgetful(generation, **server_is):
    """An answering function whose tokens are good for a generation only."""

    def answer(request):
        if token := request.query.get("continuation-token"):
            known, _, request.query["continuation-token"] = token.partition("-")
            if known != generation[0]:
                return error(400, "InvalidArgument")
        page = listed(KEYS, request, **server_is)
        page.body = page.body.replace("<NextContinuationToken>", f"<NextContinuationToken>{generation[0]}-")
        return page

    return answer


@pytest.mark.usefixtures("distance")
@pytest.mark.parametrize("after", [1, 4, 8, 12])
def test_a_marker_that_the_server_forgot_is_done_without(scripted, tmp_path, after):
    """The last key that is kept is asked for by the one before it: nothing is lost or found twice."""
    generation = ["old"]
    server = scripted(forgetful(generation))
    out = tmp_path / "s.parquet"
    interrupted(server, out, after=after)
    generation[0] = "new"
    scan_to(out, request_of(server))
    assert Snapshot.read(out).table["key"].to_pylist() == KEYS


def test_a_marker_that_cannot_be_done_without_is_told(scripted, tmp_path):
    """A server that does not go on after a key either: with what to do."""
    generation = ["old"]
    server = scripted(forgetful(generation, start_after="ignored"))
    out = tmp_path / "s.parquet"
    interrupted(server, out, after=4, jobs=1)
    generation[0] = "new"
    with pytest.raises(SourceError, match=r"does not go on after .*delete .*s\.checkpoint to begin the scan anew"):
        scan_to(out, request_of(server, jobs=1))


def test_a_listing_that_cannot_be_used_leaves_no_checkpoint(scripted, tmp_path):
    """Going on with it would fail in the same way for ever."""
    path = tmp_path / "c"
    empty = scripted(lambda _: Answer(body="<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"))
    with pytest.raises(NothingThereError):
        list_bucket(open_bucket("b", endpoint_url=empty.url), versions="no", checkpoint=path)
    assert list(tmp_path.iterdir()) == []
    both = "".join(
        f"<Version><Key>a</Key><VersionId>{name}</VersionId><IsLatest>true</IsLatest></Version>" for name in "vw"
    )
    changing = scripted(lambda _: Answer(body=f"<ListVersionsResult>{both}</ListVersionsResult>"))
    with pytest.raises(ChangedWhileListingError):
        list_bucket(open_bucket("b", endpoint_url=changing.url), versions="yes", checkpoint=path)
    assert list(tmp_path.iterdir()) == []


def test_two_scans_to_one_file_are_kept_apart(tmp_path):
    """The second is told, and harms nothing."""
    second = Checkpoint.open(tmp_path / "c", {})
    with Checkpoint.open(tmp_path / "c", {}), pytest.raises(SourceError, match="another scan is writing"):
        second.__enter__()


@pytest.mark.parametrize(
    "content", [b"no database, but long enough to be looked at as one" * 30, b"SQLite format 3\0x"]
)
def test_what_is_no_checkpoint_is_told(tmp_path, content):
    """With what to do about it."""
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(BrokenCheckpointError, match="delete it to begin anew"):
        Checkpoint.open(tmp_path / "c", {}).__enter__()


def test_a_checkpoint_of_another_version_is_told(tmp_path):
    """It may mean anything."""
    with sqlite3.connect(tmp_path / "c") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match="of another version of opendata: delete it"):
        Checkpoint.open(tmp_path / "c", {}).__enter__()


def test_removing_what_is_not_there_is_nothing(tmp_path):
    """Most scans have none."""
    remove_checkpoint(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
