"""Verifying: every file against its digest; what is not as recorded is named, and nothing is written."""

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from opendata_pkg.cache.synced import Known, Record, write_record
from opendata_pkg.digests.file_digests import DigestRequest, FileDigest, digest_file, digest_files
from opendata_pkg.digests.findings import Finding, Status, Tally
from opendata_pkg.lock.lock import Lock
from opendata_pkg.model import InputError, NotFoundError, UsageError
from opendata_pkg.readers.syncing import sync
from opendata_pkg.verification.folder import Expected, check_folder
from opendata_pkg.verification.verifying import verify, verify_lock
from tests.lock_support import BASE, content_of, lock_of, locked

PATHS = ("Cells/a.swc", "Cells/b.swc", "Cells/empty", "größe 日本.txt", "x y+z%.bin")


def sha256_of(data):
    """A digest as findings show it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def fill(folder, contents):
    """Write files, path → bytes."""
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def expect(contents):
    """What is recorded of files, path → bytes."""
    return [Expected(path=path, size_bytes=len(data), digest=sha256_of(data)) for path, data in contents.items()]


def state_of(folder):
    """Everything about a folder that writing to it would change; reading changes nothing of it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return found


def told(tally):
    """The findings as (status, path) pairs, in order."""
    result = tally.result(target="t", against="a")
    return [(finding.status.value, finding.path) for finding in result.findings]


@pytest.fixture
def contents():
    """Five files, one of them empty."""
    return {path: b"" if path.endswith("empty") else content_of(path) for path in PATHS}


@pytest.fixture
def lock(tmp_path, contents):
    """A lock of the five, and its folder `data` beside it."""
    rows = [locked(path, content=data, urls=(f"{BASE}x",)) for path, data in contents.items()]
    path = tmp_path / "opendata.lock"
    path.write_text(lock_of(*rows).dump(), encoding="utf-8")
    fill(tmp_path / "data", contents)
    return Lock(path)


def test_a_folder_as_it_was_pinned(lock, contents):
    """Every file counts with its bytes, and nothing is told by name."""
    result = verify_lock(lock)
    assert result.ok
    assert result.counts == {Status.OK: 5}
    assert result.size_bytes == result.read_bytes == sum(map(len, contents.values()))
    assert result.findings == ()


def test_each_finding_is_named_and_the_order_is_always_the_same(lock, tmp_path, contents):
    """Missing, changed, of another size, extra: by name, in byte order of the paths, however many read at a time."""
    data = tmp_path / "data"
    (data / "Cells/a.swc").unlink()
    (data / "Cells/b.swc").write_bytes(content_of("Cells/b.swc").swapcase())
    (data / "Cells/empty").write_bytes(b"not any more")
    (data / "notes.txt").write_text("mine")
    before = state_of(tmp_path)
    results = [verify_lock(lock, jobs=jobs) for jobs in (1, 2, 7)]
    assert results[0] == results[1] == results[2]
    assert [(finding.status.value, finding.path) for finding in results[0].findings] == [
        ("missing", "Cells/a.swc"),
        ("changed", "Cells/b.swc"),
        ("changed", "Cells/empty"),
        ("extra", "notes.txt"),
    ]
    wrong = results[0].findings[1]
    assert wrong.expected == sha256_of(contents["Cells/b.swc"])
    assert wrong.found == sha256_of(contents["Cells/b.swc"].swapcase())
    assert "12 bytes, expected 0" in results[0].findings[2].note
    assert not results[0].ok
    assert state_of(tmp_path) == before


def test_a_file_of_another_size_is_not_read(tmp_path):
    """Its size says enough."""
    fill(tmp_path, {"a": b"longer"})
    tally, _ = check_folder(tmp_path, expect({"a": b"long"}))
    assert told(tally) == [("changed", "a")]
    assert tally.read_bytes == 0


def test_a_locked_file_must_be_in_its_place(tmp_path):
    """Its content under another name does not make a script run: nothing is looked for unless asked to."""
    fill(tmp_path, {"a": b"twin", "moved": b"b"})
    tally, _ = check_folder(tmp_path, expect({"a": b"twin", "too": b"twin", "b": b"b"}))
    assert told(tally) == [("missing", "b"), ("extra", "moved"), ("missing", "too")]


def test_what_is_extra_fails_no_check(lock, tmp_path):
    """Notes beside the data are told, and are nobody's fault; opendata's own record is not even told."""
    fill(
        tmp_path / "data", {"notes/mine.txt": b"x", ".opendata.json": b'{"format": 1, "files": {}}', ".git/HEAD": b"x"}
    )
    result = verify_lock(lock)
    assert result.ok
    assert [finding.path for finding in result.findings] == ["notes/mine.txt"]


def test_without_a_digest_the_size_is_compared_and_it_is_said(tmp_path):
    """Unverifiable is not ok; another size is a change all the same."""
    fill(tmp_path, {"a": b"1234", "b": b"12345", "c": b"?"})
    expected = [Expected(path=path, size_bytes=size, digest=None) for path, size in (("a", 4), ("b", 4), ("c", None))]
    tally, _ = check_folder(tmp_path, expected)
    result = tally.result(target="t", against="a")
    assert [(finding.status.value, finding.path) for finding in result.findings] == [
        ("unverifiable", "a"),
        ("changed", "b"),
        ("unverifiable", "c"),
    ]
    assert "recorded size" in result.findings[0].note
    assert "neither a digest nor a size" in result.findings[2].note
    assert result.counts.get(Status.OK) is None


def test_links_count_by_what_they_lead_to(tmp_path):
    """To a file, into a folder elsewhere, to nothing, to themselves."""
    data, other = tmp_path / "data", tmp_path / "other"
    fill(other, {"real": b"real", "deep/x": b"x"})
    data.mkdir()
    (data / "file").symlink_to(other / "real")
    (data / "folder").symlink_to(other / "deep")
    (data / "dangling").symlink_to(other / "nothing")
    (data / "loop").symlink_to("loop")
    wanted = {"file": b"real", "folder/x": b"x", "dangling": b"?", "loop": b"?"}
    tally, _ = check_folder(data, expect(wanted))
    assert told(tally) == [("missing", "dangling"), ("extra", "folder"), ("unreadable", "loop")]
    assert tally.counts[Status.OK] == 2


def test_pipes_sockets_and_folders_in_a_files_place(tmp_path):
    """They are told for what they are; nobody waits for a pipe."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(tmp_path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        tally, _ = check_folder(tmp_path, expect({"pipe": b"x", "folder": b"x"}), by_digest=True)
    notes = {finding.path: finding.note for finding in tally.findings}
    assert told(tally) == [("changed", "folder"), ("changed", "pipe"), ("extra", "socket")]
    assert "a pipe stands there" in notes["pipe"]
    assert "a folder stands there" in notes["folder"]
    assert "a socket" in notes["socket"]


def test_a_pipe_is_never_waited_for(tmp_path):
    """Also if it takes a file's place after it was looked at."""
    os.mkfifo(tmp_path / "pipe")
    ((_, outcome),) = digest_files([DigestRequest(path=tmp_path / "pipe", size_bytes=1)])
    assert "got a pipe" in str(outcome)


def test_files_that_vanish_or_change_meanwhile(tmp_path, monkeypatch):
    """The one is missing, the other changed; the rest is checked all the same."""
    contents = {"steady": b"0" * 10, "growing": b"1" * 10, "vanishing": b"2" * 10}
    fill(tmp_path, contents)
    read, opened = os.readv, os.open

    def slow_open(path, *words):
        if os.fspath(path).endswith("vanishing"):
            (tmp_path / "vanishing").unlink(missing_ok=True)
        return opened(path, *words)

    def slow_read(handle, buffers):
        count = read(handle, buffers)
        if buffers[0][:1] == b"1" and count == 10:
            (tmp_path / "growing").write_bytes(b"1" * 11)
        return count

    monkeypatch.setattr(os, "open", slow_open)
    monkeypatch.setattr(os, "readv", slow_read)
    tally, _ = check_folder(tmp_path, expect(contents), jobs=1)
    assert told(tally) == [("changed", "growing"), ("missing", "vanishing")]
    assert tally.counts[Status.OK] == 1
    assert "while it was read" in tally.result(target="t", against="a").findings[0].note


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_files_that_cannot_be_read_are_told_so(tmp_path):
    """Neither right nor wrong: the check has found something."""
    fill(tmp_path, {"closed": b"x", "open": b"y", "shut/z": b"z"})
    (tmp_path / "closed").chmod(0)
    (tmp_path / "shut").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest-", "popen-", "test_")):
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        tally, _ = check_folder(tmp_path, expect({"closed": b"x", "open": b"y", "shut/z": b"z"}), by_digest=True)
    finally:
        os.seteuid(0)
    assert told(tally) == [("unreadable", "closed"), ("unreadable", "shut/"), ("unreadable", "shut/z")]
    assert not tally.result(target="t", against="a").ok


def test_names_in_another_unicode_form_are_found_and_told(tmp_path):
    """As a copy by way of a Mac has them, folder and file; the bytes are checked."""
    composed, other = "Größe/é.txt", "Größe/ü.txt"
    decomposed = {unicodedata.normalize("NFD", path): path.encode() for path in (composed, other)}
    assert composed not in decomposed
    decomposed[unicodedata.normalize("NFD", other)] = b"another"
    fill(tmp_path, decomposed)
    tally, _ = check_folder(tmp_path, expect({composed: composed.encode(), other: other.encode()}))
    result = tally.result(target="t", against="a")
    assert [(finding.status.value, finding.path) for finding in result.findings] == [
        ("renamed", composed),
        ("changed", other),
    ]
    assert "another Unicode form" in result.findings[0].note
    assert result.findings[0].found_at == unicodedata.normalize("NFD", composed)


def test_copies_are_found_by_digest(tmp_path):
    """Under other names, moved into each other's place, one copy for two files; wrong bytes are found nowhere."""
    contents = {"a": b"content a", "b": b"content b", "c": b"content c", "d": b"content c", "e": b"content e"}
    fill(
        tmp_path, {"a": b"content b", "b": b"content a", "sub/was c": b"content c", "e": b"content!e", "z": b"unknown"}
    )
    tally, _ = check_folder(tmp_path, expect(contents), by_digest=True)
    result = tally.result(target="t", against="a")
    assert [(finding.status.value, finding.path, finding.found_at) for finding in result.findings] == [
        ("changed", "a", "b"),
        ("changed", "b", "a"),
        ("renamed", "c", "sub/was c"),
        ("renamed", "d", "sub/was c"),
        ("changed", "e", None),
        ("extra", "z", None),
    ]


def test_only_what_can_be_it_is_read_in_the_search(tmp_path):
    """A file of another size than anything lost is no candidate."""
    fill(tmp_path, {"was a": b"12345", "huge": b"0" * 100_000})
    tally, _ = check_folder(tmp_path, expect({"a": b"12345"}), by_digest=True)
    assert told(tally) == [("renamed", "a"), ("extra", "huge")]
    assert tally.read_bytes == 5


def test_the_same_by_md5(tmp_path):
    """Digests of two kinds, each checked by its own."""
    fill(tmp_path, {"a": b"a", "elsewhere": b"b"})
    expected = [
        Expected(path=path, size_bytes=1, digest=f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}")
        for path, data in (("a", b"a"), ("b", b"b"))
    ]
    tally, _ = check_folder(tmp_path, [*expected, *expect({"c": b"b"})], by_digest=True)
    assert told(tally) == [("renamed", "b"), ("renamed", "c")]
    assert tally.counts[Status.OK] == 1


def test_one_content_under_many_names_is_read_once(tmp_path):
    """Hard links and links: one reading serves them all."""
    fill(tmp_path, {"a": b"1234567890"})
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("a")
    tally, _ = check_folder(tmp_path, expect(dict.fromkeys("abc", b"1234567890")))
    assert tally.counts == {Status.OK: 3}
    assert (tally.read_bytes, tally.size_bytes) == (10, 30)


def test_a_name_that_vanishes_takes_no_other_name_with_it(tmp_path, monkeypatch):
    """The content is still there under the other one, and is read there."""
    fill(tmp_path, {"a": b"1234567890"})
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    opened = os.open

    def slow_open(path, *words):
        (tmp_path / "a").unlink(missing_ok=True)
        return opened(path, *words)

    monkeypatch.setattr(os, "open", slow_open)
    tally, _ = check_folder(tmp_path, expect(dict.fromkeys("ab", b"1234567890")))
    assert told(tally) == [("missing", "a")]
    assert tally.counts[Status.OK] == 1


def test_stamps_are_trusted_only_if_they_fit(lock, tmp_path, contents):
    """Fast reads what was written to since, and what the record has another digest of; and says what it did not read."""
    data = tmp_path / "data"
    known = {path: Known.of(sha256_of(body), (data / path).stat(), brought=True) for path, body in contents.items()}
    known["x y+z%.bin"] = replace(known["x y+z%.bin"], digest=f"sha256:{'0' * 64}")
    write_record(data, Record(known))
    forged = data / "Cells/b.swc"
    times = forged.stat()
    forged.write_bytes(content_of("Cells/b.swc").swapcase())
    os.utime(forged, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = verify_lock(lock, fast=True)
    assert [(finding.status.value, finding.path) for finding in result.findings] == [("changed", "Cells/b.swc")]
    assert result.counts[Status.OK] == 4
    assert result.read_bytes == len(contents["Cells/b.swc"]) + len(contents["x y+z%.bin"])
    assert result.notes == ("--fast: 3 files not read: by the stamps, nobody has written there since sync",)
    assert "3 files not read" in str(result)


def test_what_sync_brought_is_trusted(lock, tmp_path):
    """Its own record fits: nothing is read; a check without --fast reads it all and agrees."""
    (tmp_path / "data").rename(tmp_path / "copies")
    sync(lock, from_=tmp_path / "copies", offline=True).check_complete()
    fast = verify_lock(lock, fast=True)
    assert (fast.counts, fast.read_bytes, fast.findings) == ({Status.OK: 5}, 0, ())
    assert verify_lock(lock).counts == {Status.OK: 5}


def test_fast_without_a_record_reads_everything_and_says_so(lock, contents):
    """There is nothing to trust."""
    result = verify_lock(lock, fast=True)
    assert result.read_bytes == sum(map(len, contents.values()))
    assert "no record of a sync" in result.notes[0]


def test_large_and_many_files_have_the_digests_that_openssl_says(tmp_path):
    """Blocks, batches and threads: every file comes out once, whatever its size."""
    source = random.Random(4)
    sizes = [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 2**20 - 1, 2**20, 9 * 2**20 + 5] + [
        source.randrange(3000) for _ in range(300)
    ]
    told_bytes = []
    requests = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(source.randbytes(size))
        requests.append(DigestRequest(path=path, size_bytes=size, algorithms=("sha256", "md5")))
    outcomes = dict(digest_files(requests, jobs=3, on_bytes=told_bytes.append))
    assert outcomes.keys() == set(requests)
    assert sum(told_bytes) == sum(sizes)
    for request, outcome in outcomes.items():
        assert isinstance(outcome, FileDigest)
        data = request.path.read_bytes()
        assert outcome.digests["sha256"] == hashlib.sha256(data).hexdigest()
        assert outcome.digests["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    said = subprocess.run(["openssl", "dgst", "-sha256", "-r", tmp_path / "7.bin"], capture_output=True, check=True)
    assert said.stdout.decode().split()[0] == digest_file(tmp_path / "7.bin").digests["sha256"]


def test_a_result_is_told_in_one_line_a_finding_whatever_names_hold():
    """Line ends and terminal controls are escaped in text; HTML is; JSON has the exact name."""
    tally = Tally()
    tally.add(
        Finding(status=Status.MISSING, path="new\nline\x1b[31m <b>&", note="it is not there", expected="sha256:0")
    )
    tally.good(1234)
    result = tally.result(target="data", against="opendata.lock", notes=["a <note>"])
    assert str(result) == (
        "missing: new%0Aline%1B[31m <b>&: it is not there\n"
        "a <note>\n"
        "checked 2 files of data against opendata.lock, 1,234 bytes as recorded: 1 as recorded, 1 missing"
    )
    drawn = result._repr_html_()
    assert ">new%0Aline%1B[31m &lt;b&gt;&amp;</td>" in drawn
    assert "not as recorded: checked 2 files" in drawn
    assert "a &lt;note&gt;" in drawn
    document = result.to_dict()
    assert document["ok"] is False
    assert document["counts"]["missing"] == document["counts"]["ok"] == 1
    assert document["findings"] == [
        {"status": "missing", "path": "new\nline\x1b[31m <b>&", "note": "it is not there", "expected": "sha256:0"}
    ]


def test_a_notebook_draws_a_small_table_however_much_was_found():
    """Fifty rows, then a count; none at all if there is nothing to tell."""
    tally = Tally()
    assert "<tr>" not in tally.result(target="t", against="a")._repr_html_()
    for number in range(1060):
        tally.add(Finding(status=Status.EXTRA, path=f"{number:04}", note="nobody recorded it"))
    drawn = tally.result(target="t", against="a")._repr_html_()
    assert drawn.count("<tr>") == 52
    assert "and 1,010 more" in drawn


def test_what_is_verified_is_found_from_where_one_stands(lock, tmp_path, monkeypatch):
    """`opendata.lock` here and `data` beside it; a folder that is named; a lock elsewhere with its own folder."""
    monkeypatch.chdir(tmp_path)
    assert verify().target == "data"
    shutil.move("data", "elsewhere")
    assert verify(tmp_path / "elsewhere").ok
    with pytest.raises(NotFoundError, match="there is no folder data"):
        verify()
    monkeypatch.chdir("/")
    shutil.move(tmp_path / "elsewhere", tmp_path / "data")
    assert verify(lock=lock.path).ok


def test_nothing_to_compare_with_is_said_with_what_to_type(tmp_path, monkeypatch):
    """No lock, no clone: the sentence names the three options."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="--lock, a dataset with --against, or a store with --store"):
        verify()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"lock": "x", "store": "y"}, "expected one of --lock, --against and --store"),
        ({"store": "y", "folder": "z"}, "--store alone verifies the store itself"),
        ({"store": "y", "fast": True}, "--store alone verifies the store itself"),
        ({"store": "https://example.org"}, "verify a copy of it on this machine, as wget"),
        ({"rebuild": True}, "name it with --store"),
        ({"folder": __file__}, "if it is a lock, name it with --lock"),
    ],
)
def test_arguments_that_do_not_go_together(words, sentence, tmp_path):
    """Each with what to write instead."""
    paths = {name: type(tmp_path)(value) if name in {"lock", "folder"} else value for name, value in words.items()}
    with pytest.raises(UsageError, match=sentence):
        verify(**paths)


def test_a_lock_edited_by_hand_is_no_lock(lock, tmp_path):
    """A digest that is none is bad input, not a changed file."""
    text = lock.path.read_text(encoding="utf-8")
    lock.path.write_text(text.replace('"sha256": "', '"sha256": "zz', 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"opendata\.lock, line"):
        verify(lock=lock.path)


def test_interrupting_takes_no_time(lock, tmp_path):
    """Ctrl-C while a large file is read: the command is gone at once, with its status."""
    rows = [locked(f"large-{number}", content=b"", size_bytes=1 << 37) for number in range(3)]
    lock.path.write_text(lock_of(*rows).dump(), encoding="utf-8")
    for row in rows:
        with (tmp_path / "data" / row.path).open("wb") as stream:
            stream.truncate(1 << 37)
    words = [sys.executable, "-m", "opendata_pkg", "verify", "--lock", lock.path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # As soon as it reads: before that, Python itself has not begun.
        files = Path(f"/proc/{process.pid}/fd")
        while not any(os.path.realpath(handle).endswith("large-0") for handle in list(files.iterdir())):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        # Far less than reading the file takes.
        assert process.wait(timeout=20) == 130
