"""Sync: exactly the lock's files, whole, nowhere else, and nothing of anybody's lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from opendata_pkg.cache.cache import FileCache
from opendata_pkg.cache.target_folder import BusyFolderError, TargetFolder
from opendata_pkg.lock.lock import Lock
from opendata_pkg.model import Md5, Sha256, UsageError
from opendata_pkg.readers.copies import NoCopyError
from opendata_pkg.readers.syncing import IncompleteSyncError, sync
from tests.lock_support import BASE, content_of, lock_of, locked, selected

PATHS = ("Rat/a.swc", "Rat/b c/d#e.swc", "Rat/é/f.swc", "top.txt")


@pytest.fixture
def bucket(tmp_path, static_server):
    """A bucket with the four files, as a folder and its URL."""
    folder = tmp_path / "bucket"
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content_of(path))
    return folder, f"{static_server(folder)}/"


def lock_in(folder, *files, selections=None):
    """A lock in a folder, read."""
    path = folder / "opendata.lock"
    path.write_text(lock_of(*files, selections=selections).dump())
    return Lock(path)


def rows(url, paths=PATHS, **values):
    """Rows of a lock for these paths."""
    return [locked(path, base=url, **values) for path in paths]


def tree(folder):
    """Every file below a folder but opendata's own, path → bytes; a link is its text."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not path.relative_to(folder).parts[0].startswith(".opendata."):
            found[str(path.relative_to(folder))] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found


WANTED = {path: content_of(path) for path in PATHS}


def test_brings_exactly_the_files(tmp_path, bucket):
    """A first sync downloads every file, a second one does nothing, and the lock hands them out."""
    lock = lock_in(tmp_path, *rows(bucket[1]))
    first = sync(lock)
    assert (first.downloaded, first.files, first.failed) == (4, 4, ())
    assert first.downloaded_bytes == sum(map(len, WANTED.values()))
    assert tree(tmp_path / "data") == WANTED
    second = sync(lock, offline=True)
    assert (second.kept, second.files) == (4, 4)
    assert Lock(lock.path, offline=True)["Rat/b c/d#e.swc"] == tmp_path / "data" / "Rat/b c/d#e.swc"
    assert {path.name for path in (tmp_path / "data").glob(".opendata.*")} == {".opendata.lock", ".opendata.json"}


def test_from_the_cache(tmp_path, bucket):
    """What was fetched once is taken from the cache, without the network, also for another folder."""
    lock = lock_in(tmp_path, *rows(bucket[1]))
    sync(lock)
    there = sync(lock, to=tmp_path / "other", offline=True)
    assert there.from_cache == 4
    assert tree(tmp_path / "other") == WANTED
    assert all(os.access(tmp_path / "other" / path, os.W_OK) for path in PATHS)
    assert (tmp_path / "other" / PATHS[0]).stat().st_nlink == 1


def test_without_network_or_cache(tmp_path):
    """Offline, files that are nowhere are named one by one, and nothing is made of them."""
    result = sync(lock_in(tmp_path, *rows(BASE)), offline=True)
    assert [failure.place for failure in result.failed] == sorted(PATHS)
    assert tree(tmp_path / "data") == {}
    with pytest.raises(IncompleteSyncError, match=r"4 of 4 files could not be brought:\n.*offline") as caught:
        result.check_complete()
    assert caught.value.exit_status == 5


def test_one_bad_file_stops_no_other(tmp_path, bucket):
    """A file that is gone and one with other bytes are named; the others come, and none of the bad bytes."""
    (bucket[0] / PATHS[0]).unlink()
    (bucket[0] / PATHS[1]).write_bytes(b"x" * len(content_of(PATHS[1])))
    result = sync(lock_in(tmp_path, *rows(bucket[1])))
    assert {failure.place: failure.error.exit_status for failure in result.failed} == {PATHS[0]: 5, PATHS[1]: 6}
    assert tree(tmp_path / "data") == {path: WANTED[path] for path in PATHS[2:]}


def test_a_name_that_the_file_system_refuses(tmp_path, bucket):
    """It is named, and all other files come."""
    long = f"{'x' * 300}/top.txt"
    result = sync(lock_in(tmp_path, *rows(bucket[1]), locked(long, base=bucket[1])))
    assert [failure.place for failure in result.failed] == [long]
    assert "is a name that this file system refuses (File name too long)" in str(result.failed[0].error)
    assert tree(tmp_path / "data") == WANTED


def test_by_md5_alone(tmp_path, bucket):
    """Files of which only the MD5 is known are checked by it."""
    lock = lock_in(tmp_path, *rows(bucket[1], known="md5"))
    assert sync(lock).downloaded == 4
    assert sync(lock, offline=True).kept == 4
    wrong = [replace(file, md5=Md5("0" * 32)) for file in rows(bucket[1], ["top.txt"], known="md5")]
    assert [failure.place for failure in sync(lock_in(tmp_path, *wrong), to=tmp_path / "other").failed] == ["top.txt"]


def test_found_there(tmp_path):
    """A file that is there with the right bytes is adopted, and never removed, since it was not brought."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "top.txt").write_bytes(WANTED["top.txt"])
    assert sync(lock_in(tmp_path, *rows(BASE, ["top.txt"])), offline=True).adopted == 1
    assert sync(Lock(tmp_path / "opendata.lock"), offline=True).kept == 1
    assert sync(lock_in(tmp_path), offline=True).removed == ()
    assert tree(tmp_path / "data") == {"top.txt": WANTED["top.txt"]}


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_bytes(b"mine"), "another file than the lock names"),
        (lambda path: path.mkdir(), "a folder, where a file should be"),
        (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link, which may lead out"),
        (os.mkfifo, "no ordinary file"),
    ],
)
def test_in_the_way(tmp_path, bucket, make, what):
    """What somebody put at a file's place is named and left alone; all else is brought."""
    place = tmp_path / "data" / "top.txt"
    place.parent.mkdir()
    make(place)
    before = place.lstat()
    result = sync(lock_in(tmp_path, *rows(bucket[1])))
    assert [failure.place for failure in result.failed] == ["top.txt"]
    assert f"'top.txt' is {what}" in str(result.failed[0].error)
    assert place.lstat() == before
    assert result.downloaded == 3
    with pytest.raises(IncompleteSyncError, match="it was left alone") as caught:
        result.check_complete()
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("inside", [True, False])
def test_never_through_a_link(tmp_path, bucket, inside):
    """A folder of the target that is a link is not entered: nothing is written where it leads, nor removed there."""
    outside = tmp_path / ("data/elsewhere" if inside else "outside")
    outside.mkdir(parents=True)
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "Rat").symlink_to(outside)
    lock = lock_in(tmp_path, *rows(bucket[1]))
    result = sync(lock)
    assert sorted(failure.place for failure in result.failed) == ["Rat", "Rat", "Rat"] or len(result.failed) == 3
    assert all("symbolic link" in str(failure.error) for failure in result.failed)
    assert list(outside.iterdir()) == []
    assert result.downloaded == 1


def test_a_link_made_later(tmp_path, bucket):
    """A folder that was brought, moved away and replaced by a link to it is not followed for removing either."""
    lock = lock_in(tmp_path, *rows(bucket[1]))
    sync(lock)
    (tmp_path / "data" / "Rat").rename(tmp_path / "outside")
    (tmp_path / "data" / "Rat").symlink_to(tmp_path / "outside")
    result = sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt"])))
    assert result.removed == ()
    assert tree(tmp_path / "outside") == {path.removeprefix("Rat/"): WANTED[path] for path in PATHS[:3]}


def test_a_file_where_a_folder_must_be(tmp_path, bucket):
    """A file that stands where a folder is needed stays, and what belongs below it is named."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Rat").write_bytes(b"mine")
    result = sync(lock_in(tmp_path, *rows(bucket[1])))
    assert len(result.failed) == 3
    assert (tmp_path / "data" / "Rat").read_bytes() == b"mine"


def test_removes_what_it_brought(tmp_path, bucket):
    """What the lock no longer names goes, with folders that are empty then; what was changed, or is not ours, stays."""
    sync(lock_in(tmp_path, *rows(bucket[1])))
    data = tmp_path / "data"
    (data / "Rat/a.swc").write_bytes(b"changed")
    (data / "Rat/b c/mine").write_bytes(b"mine")
    result = sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt"])))
    assert (result.removed, result.left) == (("Rat/b c/d#e.swc", "Rat/é/f.swc"), ("Rat/a.swc",))
    assert tree(data) == {"Rat/a.swc": b"changed", "Rat/b c/mine": b"mine", "top.txt": WANTED["top.txt"]}
    assert not (data / "Rat/é").exists()
    again = sync(Lock(tmp_path / "opendata.lock"))
    assert (again.removed, again.left, again.kept) == ((), (), 1)


def test_touched_files_are_still_ours(tmp_path, bucket):
    """A file whose times changed but not its bytes is hashed once, kept, and removed like any other."""
    lock = lock_in(tmp_path, *rows(bucket[1]))
    sync(lock)
    os.utime(tmp_path / "data" / "top.txt", (1, 1))
    assert (sync(lock).adopted, sync(lock).kept) == (1, 4)
    assert sync(lock_in(tmp_path, *rows(bucket[1], PATHS[:3]))).removed == ("top.txt",)


def test_another_version_of_a_file(tmp_path, bucket):
    """A file that was brought is replaced when the lock wants other bytes, unless somebody changed it."""
    sync(lock_in(tmp_path, *rows(bucket[1])))
    for path in ("top.txt", "Rat/a.swc"):
        (bucket[0] / path).write_bytes(b"new")
    (tmp_path / "data" / "Rat/a.swc").write_bytes(b"changed")
    newer = [locked(path, content=b"new", base=bucket[1]) for path in ("top.txt", "Rat/a.swc")]
    result = sync(lock_in(tmp_path, *newer, *rows(bucket[1], PATHS[1:3])))
    assert (result.downloaded, result.kept) == (1, 2)
    assert [failure.place for failure in result.failed] == ["Rat/a.swc"]
    assert tree(tmp_path / "data") == WANTED | {"top.txt": b"new", "Rat/a.swc": b"changed"}


def test_a_file_becomes_a_folder(tmp_path, bucket):
    """Where an earlier lock had a file and the next has a folder, one makes way for the other."""
    sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt"])))
    (bucket[0] / "top.txt").unlink()
    (bucket[0] / "top.txt").mkdir()
    (bucket[0] / "top.txt" / "inner").write_bytes(content_of("top.txt/inner"))
    later = selected(snapshot="3" * 64)
    assert sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt/inner"]), selections=(later,))).downloaded == 1
    (bucket[0] / "top.txt" / "inner").unlink()
    (bucket[0] / "top.txt").rmdir()
    (bucket[0] / "top.txt").write_bytes(content_of("top.txt"))
    assert sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt"]))).files == 1
    assert tree(tmp_path / "data") == {"top.txt": WANTED["top.txt"]}


def test_two_versions_of_one_path(tmp_path, bucket):
    """Two selections with other content at one path stand side by side; what they share is brought once."""
    (bucket[0] / "new.txt").write_bytes(b"new")
    newer = locked("top.txt", content=b"new", selection="new", urls=(f"{bucket[1]}new.txt",))
    lock = lock_in(
        tmp_path,
        *rows(bucket[1]),
        newer,
        locked("Rat/a.swc", selection="same"),
        selections=(selected(), selected("new", folder="new", snapshot="3" * 64), selected("same")),
    )
    assert sync(lock).downloaded == 5
    assert tree(tmp_path / "data") == WANTED | {"new/top.txt": b"new"}


def test_from_a_copy(tmp_path):
    """A copy that somebody has is taken by path, and by digest where files have other names; none is trusted."""
    copy = tmp_path / "copy"
    (copy / "Rat").mkdir(parents=True)
    (copy / "Rat/a.swc").write_bytes(WANTED["Rat/a.swc"])
    (copy / "renamed").write_bytes(WANTED["top.txt"])
    (copy / "link").symlink_to(copy)
    os.mkfifo(copy / "pipe")
    (copy / "Rat/é").mkdir()
    (copy / "Rat/é/f.swc").write_bytes(b"x" * len(WANTED["Rat/é/f.swc"]))
    result = sync(lock_in(tmp_path, *rows(BASE)), from_=copy, offline=True)
    assert result.from_copy == 2
    assert [failure.place for failure in result.failed] == ["Rat/b c/d#e.swc", "Rat/é/f.swc"]
    assert tree(tmp_path / "data") == {path: WANTED[path] for path in ("Rat/a.swc", "top.txt")}


def test_from_a_copy_of_unknown_size(tmp_path):
    """Where the lock knows no size, every file of the copy is looked at."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "other").write_bytes(WANTED["top.txt"])
    lock = lock_in(tmp_path, *rows(BASE, ["top.txt"], size_bytes=None, known="md5"))
    assert sync(lock, from_=str(tmp_path / "copy"), offline=True).from_copy == 1


def test_from_a_url(tmp_path, bucket):
    """A copy on the web is tried before the lock's own URLs, which nothing answers at here."""
    assert sync(lock_in(tmp_path, *rows(BASE)), from_=bucket[1]).downloaded == 4
    assert tree(tmp_path / "data") == WANTED


def test_from_a_url_with_other_bytes(tmp_path, bucket):
    """Bytes of a copy that are not the lock's are not taken; the bucket's are."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "top.txt").write_bytes(b"x" * len(WANTED["top.txt"]))
    served = bucket[1]
    result = sync(lock_in(tmp_path, *rows(served, ["top.txt"])), from_=f"{served}wrong")
    assert (result.downloaded, tree(tmp_path / "data")) == (1, {"top.txt": WANTED["top.txt"]})


def test_no_such_copy(tmp_path):
    """A folder after --from that is not there is said, before anything is done."""
    lock = lock_in(tmp_path, *rows(BASE))
    with pytest.raises(NoCopyError, match=r"no folder .*nowhere"):
        sync(lock, from_=tmp_path / "nowhere")
    assert not (tmp_path / "data").exists()


def test_links(tmp_path, bucket):
    """With links, the files are the cache's own, read-only, and a second sync has nothing to do."""
    lock = lock_in(tmp_path, *rows(bucket[1]))
    assert sync(lock, link=True).downloaded == 4
    found = (tmp_path / "data" / "top.txt").stat()
    assert found.st_nlink == 2
    assert stat.S_IMODE(found.st_mode) & 0o222 == 0
    assert sync(lock, link=True, offline=True).kept == 4
    assert sync(lock, to=tmp_path / "other", link=True, offline=True).from_cache == 4
    assert (tmp_path / "data" / "top.txt").stat().st_nlink == 3
    cached = FileCache.open()
    before = [path.stat().st_size for path in sorted((cached.folder / "stamps").glob("*.log"))]
    assert cached.find("1" * 64, "top.txt", sha256=lock.files[3].sha256, md5=None) is not None
    # It was known by its stamp: hashing it again would have added one.
    assert [path.stat().st_size for path in sorted((cached.folder / "stamps").glob("*.log"))] == before
    assert tree(tmp_path / "other") == tree(tmp_path / "data") == WANTED


def test_links_are_replaced_not_written_to(tmp_path, bucket):
    """A newer version of a linked file leaves the cache's older one as it is."""
    lock = lock_in(tmp_path, *rows(bucket[1], ["top.txt"]))
    sync(lock, link=True)
    (bucket[0] / "top.txt").write_bytes(b"new")
    newer = locked("top.txt", content=b"new", base=bucket[1])
    sync(lock_in(tmp_path, newer, selections=(selected(snapshot="3" * 64),)))
    assert tree(tmp_path / "data") == {"top.txt": b"new"}
    assert sync(lock_in(tmp_path, *rows(BASE, ["top.txt"])), to=tmp_path / "old", offline=True).from_cache == 1


def test_links_to_another_file_system(tmp_path, bucket, monkeypatch):
    """Links across file systems cannot be: the sentence says what to do instead."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system")
    cache = f"/dev/shm/opendata-test-{os.getpid()}"
    monkeypatch.setenv("OPENDATA_CACHE", cache)
    lock = lock_in(tmp_path, *rows(bucket[1]))
    try:
        with pytest.raises(UsageError, match=r"on one file system .*leave out --link"):
            sync(lock, link=True)
    finally:
        subprocess.run(["rm", "-rf", cache], check=True)
    assert tree(tmp_path / "data") == {}


def test_an_altered_cache(tmp_path, bucket):
    """A cache file that was altered is not taken for what it was, even with its size and times restored."""
    lock = lock_in(tmp_path, *rows(bucket[1], ["top.txt"]))
    path = lock["top.txt"]
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sync(lock).downloaded == 1
    assert tree(tmp_path / "data") == {"top.txt": WANTED["top.txt"]}


def test_an_altered_file(tmp_path, bucket):
    """A synced file that was altered is noticed, even with its size and times restored."""
    lock = lock_in(tmp_path, *rows(bucket[1], ["top.txt"]))
    sync(lock)
    path = tmp_path / "data" / "top.txt"
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [failure.place for failure in sync(lock).failed] == ["top.txt"]
    # Whoever asks for the file gets the right one, from the cache.
    assert Lock(lock.path, offline=True)["top.txt"].read_bytes() == WANTED["top.txt"]


def test_one_sync_at_a_time(tmp_path):
    """A second sync of a folder is refused while the first one runs."""
    lock = lock_in(tmp_path)
    with TargetFolder.open(tmp_path / "data"), pytest.raises(BusyFolderError, match="another opendata sync is filling"):
        sync(lock)


def test_left_over_parts_are_cleared(tmp_path):
    """What a killed sync had half written is gone after the next one."""
    part = tmp_path / "data" / ".opendata.part"
    part.mkdir(parents=True)
    (part / "7").write_bytes(b"half")
    sync(lock_in(tmp_path))
    assert not part.exists()


KILLED = """
import sys
from opendata_pkg.cache.cache import FileCache
from opendata_pkg.readers.copies import NoCopyError
from opendata_pkg.lock.lock import Lock
from opendata_pkg.readers.syncing import sync
sync(Lock(sys.argv[1]), jobs=2)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle(tmp_path, bucket, blow):
    """However a sync ends, no file is there in part; the next one goes on, and knows whose the files are."""
    names = [f"many/{number:03d}" for number in range(300)]
    (bucket[0] / "many").mkdir()
    for name in names:
        (bucket[0] / name).write_bytes(content_of(name) * 500)
    files = [locked(name, content=content_of(name) * 500, base=bucket[1]) for name in names]
    lock = lock_in(tmp_path, *files)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(lock.path)], stderr=subprocess.DEVNULL)
    data = tmp_path / "data"
    while not (data / "many").exists() or len(list((data / "many").iterdir())) < 20:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(blow)
    assert process.wait() != 0
    there = tree(data)
    assert 20 <= len(there) < 300
    assert all(content == content_of(name) * 500 for name, content in there.items())
    assert sync(lock).files == 300
    assert sync(lock_in(tmp_path)).removed == tuple(names)
    assert tree(data) == {}
    assert not (data / "many").exists()


def test_killed_before_replacing(tmp_path, bucket):
    """A sync killed just before it replaced a file knows the next time that the old one is its own."""
    sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt"])))
    record = tmp_path / "data" / ".opendata.json"
    document = json.loads(record.read_bytes())
    new = hashlib.sha256(b"new").hexdigest()
    record.write_text(json.dumps(document | {"bringing": {"top.txt": f"sha256:{new}"}}))
    (bucket[0] / "top.txt").write_bytes(b"new")
    newer = locked("top.txt", content=b"new", base=bucket[1])
    assert sync(lock_in(tmp_path, newer)).downloaded == 1
    # And killed just after: what it brought is known as such.
    record.write_text(json.dumps(document | {"bringing": {"top.txt": f"sha256:{new}"}}))
    assert sync(lock_in(tmp_path, newer)).adopted == 1
    assert sync(lock_in(tmp_path)).removed == ("top.txt",)


def test_a_full_disk(tmp_path, bucket):
    """On a full disk the sync ends with a sentence, and nothing is there in part."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], capture_output=True, check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        big = "big.bin"
        (bucket[0] / big).write_bytes(b"x" * 600_000)
        lock = lock_in(tmp_path, *rows(bucket[1]), locked(big, content=b"x" * 600_000, base=bucket[1]))
        with pytest.raises(OSError, match="No space left"):
            sync(lock, to=small / "data")
        assert big not in tree(small / "data")
        assert set(tree(small / "data").items()) <= set(WANTED.items())
        assert not (small / "data" / ".opendata.part").exists()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_names_that_differ_by_case(tmp_path, bucket):
    """Names that many file systems take for one are said."""
    told = []

    class Told:
        def __getattr__(self, name):
            return lambda *words, **_: told.append(words)

    (bucket[0] / "TOP.txt").write_bytes(content_of("TOP.txt"))
    sync(lock_in(tmp_path, *rows(bucket[1], ["top.txt", "TOP.txt"])), reporter=Told())
    assert any("'TOP.txt' and 'top.txt' differ only by case" in str(words) for words in told)


def test_a_quick_second_sync(tmp_path):
    """A sync that finds all in place imports nothing of the network, and reads no file."""
    paths = [f"folder {number // 100}/{number}" for number in range(10_000)]
    for path in paths:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_bytes(content_of(path))
    lock = lock_in(tmp_path, *rows(BASE, paths))
    assert sync(lock).adopted == 10_000
    code = (
        "import sys, time; from opendata_pkg.lock.lock import Lock; "
        "from opendata_pkg.readers.syncing import sync; result = sync(Lock(sys.argv[1])); took = time.process_time(); "
        "assert result.kept == 10_000; assert took < 2, took; "
        "bad = {'jsonschema', 'pyarrow', 'pooch', 'datalad', 'boto3', 'urllib3', 'ssl', 'http.client', 'sqlite3'}; "
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(lock.path)], check=True)


def test_hostile_digests_do_not_matter(tmp_path, bucket):
    """A lock that names a digest of other bytes brings nothing under the file's name."""
    wrong = replace(rows(bucket[1], ["top.txt"])[0], sha256=Sha256("0" * 64))
    assert [failure.error.exit_status for failure in sync(lock_in(tmp_path, wrong)).failed] == [6]
    assert tree(tmp_path / "data") == {}
