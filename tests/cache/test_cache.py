"""The file cache: verified, shared by many processes, readable by plain pooch, never trusted blindly."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendata_pkg.cache.cache import CacheItem, FileCache, UnsafePathError
from opendata_pkg.cache.upkeep import prune, sum_up
from opendata_pkg.cache.wanted import Failure, Got, Wanted, WrongBytesError
from opendata_pkg.digests.stamps import Stamp, StampLog
from opendata_pkg.model import Md5, Sha256
from opendata_pkg.progress import Reporter
from tests.core_support import opendata
from tests.serving import behave, impatient, send_other, serve, status

FIRST, SECOND = "1" * 64, "2" * 64
CONTENT = {name: random.Random(name).randbytes(3_000) for name in ("a", "b/c", "b/d é #'.swc")}


@pytest.fixture
def web():
    """A web server with the contents."""
    with serve() as server:
        server.files = dict(CONTENT)
        yield server


@pytest.fixture
def cache(tmp_path):
    """A cache that nobody has used."""
    return FileCache.open(tmp_path / "cache")


def item_of(web, path, *, snapshot=FIRST, known="sha256", content=None):
    """What a snapshot says of a file of the server."""
    content = CONTENT[path] if content is None else content
    digests = {}
    if known in {"sha256", "both"}:
        digests["sha256"] = Sha256(hashlib.sha256(content).hexdigest())
    if known in {"md5", "both"}:
        digests["md5"] = Md5(hashlib.md5(content, usedforsecurity=False).hexdigest())
    urls = (f"{web.url}/{path}".replace("#", "%23"),) if web else ()
    wanted = Wanted(name=path, urls=urls, size_bytes=len(content), **digests)
    return CacheItem(snapshot=snapshot, path=path, wanted=wanted)


def bring(cache, *items, **options):
    """All results, by path."""
    results = list(cache.bring(items, transport=impatient(**options), jobs=4))
    return {result.wanted.name: result for result in results}


def all_of(web, **options):
    """An item for each file."""
    return [item_of(web, path, **options) for path in CONTENT]


def find(cache, item):
    """What a cache finds of an item."""
    return cache.find(item.snapshot, item.path, sha256=item.wanted.sha256, md5=item.wanted.md5)


def test_files_are_brought_once(web, cache):
    """Where pooch keeps them, read-only; the second time nothing is asked for."""
    for _ in range(2):
        results = bring(cache, *all_of(web))
        assert {name: got.path.read_bytes() for name, got in results.items()} == CONTENT
        assert {got.sha256 for got in results.values()} == {
            hashlib.sha256(data).hexdigest() for data in CONTENT.values()
        }
        assert len(web.asked) == 3
    path = cache.folder / "files" / "1111111111111111" / "b" / "c"
    assert results["b/c"].path == path
    assert path.stat().st_mode & 0o777 == 0o444
    assert list((cache.folder / "parts").iterdir()) == []


@pytest.mark.parametrize("known", ["sha256", "md5", "both", None])
def test_another_process_finds_them(web, cache, known):
    """By the stamps alone, without reading a byte: also files without any digest."""
    items = all_of(web, known=known)
    bring(cache, *items)
    again = FileCache.open(cache.folder)
    for item in items:
        path = again.path_of(item.snapshot, item.path)
        path.chmod(0)
        path.chmod(0o444)
    bring(cache, *items)
    assert all(result.url == "" for result in bring(FileCache.open(cache.folder), *items).values())


def test_what_is_not_there(web, cache):
    """None, and nothing is made for the question."""
    assert find(cache, item_of(web, "a")) is None
    assert not cache.folder.exists()


@pytest.mark.parametrize("how", ["same size", "other size", "other inode", "times set back"])
def test_an_altered_file_is_noticed(web, cache, how):
    """However it was altered, it is not found, and is fetched again."""
    item = item_of(web, "a")
    path = bring(cache, item)["a"].path
    before = path.stat()
    path.chmod(0o644)
    if how == "other inode":
        other = path.with_name("other")
        other.write_bytes(CONTENT["a"][::-1])
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    else:
        path.write_bytes(CONTENT["a"][:-1] + b"?" if how != "other size" else b"short")
    if how == "times set back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find(FileCache.open(cache.folder), item) is None
    assert find(cache, item) is None
    assert bring(cache, item)["a"].path.read_bytes() == CONTENT["a"]
    assert len(web.asked) == 2


def test_a_touched_file_is_hashed_once(web, cache):
    """Other times, right bytes: read once, then stamped again."""
    item = item_of(web, "a")
    path = bring(cache, item)["a"].path
    os.utime(path)
    lines = len(_stamps(cache))
    assert find(cache, item) == path
    assert find(cache, item) == path
    assert len(_stamps(cache)) == lines + 1


def test_a_stamp_is_no_leave_for_other_content(web, cache):
    """A file that is right as it is, but not the wanted one, is not handed out."""
    bring(cache, item_of(web, "a"))
    other = item_of(web, "a", content=b"x" * 3_000)
    assert find(cache, other) is None
    failure = bring(cache, other)["a"]
    assert isinstance(failure.error, WrongBytesError)


def test_md5_after_sha256(web, cache):
    """A stamp without the MD5 that is asked for does not count: the file is hashed."""
    bring(cache, item_of(web, "a"))
    assert find(cache, item_of(web, "a", known="md5")) is not None
    wrong = Md5("0" * 32)
    assert cache.find(FIRST, "a", sha256=None, md5=wrong) is None


def test_without_a_digest_only_a_stamp_counts(web, cache):
    """Nothing else could tell whether it is what was fetched."""
    item = item_of(web, "a", known=None)
    path = bring(cache, item)["a"].path
    assert find(cache, item) == path
    os.utime(path)
    assert find(cache, item) is None


def _stamps(cache, snapshot=FIRST):
    return (cache.folder / "stamps" / f"{snapshot[:16]}.log").read_text().splitlines()


def test_broken_stamps_are_passed_over(web, cache):
    """Cut lines, garbage, a log that is gone: files are hashed, and never wrongly trusted."""
    items = all_of(web)
    bring(cache, *items)
    log = cache.folder / "stamps" / f"{FIRST[:16]}.log"
    whole = log.read_bytes()
    for data in (
        whole[:-1],
        whole[:-3],
        whole[:40],
        b"\xff\xfe\n" + whole,
        b"",
        whole + b"1\t2\t3",
        b"x\t" * 7 + b".\n",
    ):
        log.write_bytes(data)
        again = FileCache.open(cache.folder)
        assert all(find(again, item) is not None for item in items)
        assert all(find(FileCache.open(cache.folder), item) is not None for item in items)
    log.unlink()
    assert all(find(FileCache.open(cache.folder), item) is not None for item in items)
    assert len(web.asked) == 3


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.builds(
            Stamp,
            *[st.integers(0, 2**63)] * 4,
            st.just(Sha256("a" * 64)),
            st.one_of(st.none(), st.just(Md5("b" * 32))),
        ),
        max_size=5,
    )
)
def test_stamps_are_read_back(tmp_path_factory, stamps):
    """Any path, any numbers; also by who had the log open before."""
    path = tmp_path_factory.mktemp("stamps") / "x.log"
    writer, reader = StampLog(path), StampLog(path)
    for name, stamp in stamps.items():
        writer.add(name, stamp)
    reader.refresh()
    assert dict(reader.items()) == dict(StampLog(path).items()) == stamps


def test_the_same_content_elsewhere_is_linked(web, cache):
    """Another snapshot, another path: no transfer, no second copy; and no stamp is lost by the link."""
    bring(cache, *all_of(web))
    renamed = CacheItem(snapshot=SECOND, path="new/name", wanted=item_of(web, "a").wanted)
    again = FileCache.open(cache.folder)
    results = list(again.bring([renamed, *all_of(web, snapshot=SECOND)], transport=impatient(offline=True), jobs=2))
    assert all(isinstance(result, Got) for result in results)
    assert (cache.folder / "files" / SECOND[:16] / "new/name").read_bytes() == CONTENT["a"]
    assert again.path_of(SECOND, "a").samefile(cache.path_of(FIRST, "a"))
    for name in ((FIRST, "a"), (SECOND, "a"), (SECOND, "new/name")):
        state = cache.path_of(*name).stat()
        assert StampLog(cache.folder / "stamps" / f"{name[0][:16]}.log").get(name[1]).fits(state)
    assert len(web.asked) == 3


def test_the_same_content_twice_in_one_go(web, cache):
    """One transfer, two names, two results; and the same file asked for twice."""
    items = [
        item_of(web, "a"),
        CacheItem(snapshot=FIRST, path="copy", wanted=item_of(web, "a").wanted),
        CacheItem(snapshot=SECOND, path="a", wanted=item_of(web, "a").wanted),
        item_of(web, "a"),
    ]
    results = list(cache.bring(items, transport=impatient(), jobs=4))
    assert sorted(str(result.path.relative_to(cache.folder / "files")) for result in results) == sorted(
        [f"{FIRST[:16]}/a", f"{FIRST[:16]}/a", f"{FIRST[:16]}/copy", f"{SECOND[:16]}/a"]
    )
    assert all(result.path.read_bytes() == CONTENT["a"] for result in results)
    assert len(web.asked) == 1


def test_where_links_are_refused(web, cache, monkeypatch):
    """File systems without hard links get copies."""

    def refuse(*names):
        raise PermissionError(1, "Operation not permitted")

    bring(cache, item_of(web, "a"))
    monkeypatch.setattr(os, "link", refuse)
    got = bring(cache, item_of(web, "a", snapshot=SECOND), offline=True)["a"]
    assert got.path.read_bytes() == CONTENT["a"]
    assert got.path.stat().st_mode & 0o777 == 0o444
    assert find(FileCache.open(cache.folder), item_of(web, "a", snapshot=SECOND)) == got.path


def test_an_altered_copy_is_not_linked(web, cache):
    """Content that changed since it was stamped is fetched, not spread."""
    path = bring(cache, item_of(web, "a"))["a"].path
    path.chmod(0o644)
    path.write_bytes(CONTENT["a"][::-1])
    got = bring(cache, item_of(web, "a", snapshot=SECOND))["a"]
    assert got.path.read_bytes() == CONTENT["a"]
    assert len(web.asked) == 2


def test_one_bad_file_stops_no_other(web, cache):
    """Wrong bytes and a refusal are failures of their files; nothing of them is left."""
    web.script["a"] += [send_other(b"x" * 3_000)]
    web.script["b/c"] += [status(404)]
    results = bring(cache, *all_of(web))
    assert {name for name, result in results.items() if isinstance(result, Failure)} == {"a", "b/c"}
    assert sum(path.is_file() for path in (cache.folder / "files").rglob("*")) == 1
    assert list((cache.folder / "parts").iterdir()) == []
    assert all(isinstance(result, Got) for result in bring(cache, *all_of(web)).values())


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "a//b", "a/./b", "", "a\0b", "a/"])
def test_paths_that_lead_elsewhere(web, cache, path):
    """Refused before anything is read or written."""
    with pytest.raises(UnsafePathError, match="expected a path below a folder"):
        cache.find(FIRST, path, sha256=None, md5=None)


@pytest.mark.parametrize("snapshot", ["..", "a/../../b", "", "/"])
def test_snapshots_that_lead_elsewhere(web, cache, snapshot):
    """A snapshot's id from a file that somebody edited is no way out either."""
    with pytest.raises(UnsafePathError, match="expected a path below a folder"):
        cache.find(snapshot, "a", sha256=None, md5=None)


def test_a_link_in_the_cache_is_no_file_of_it(web, cache, tmp_path):
    """A symlink where a file should be is replaced, and what it leads to stays."""
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENT["a"])
    place = cache.path_of(FIRST, "a")
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    item = item_of(web, "a")
    assert find(cache, item) is None
    assert bring(cache, item)["a"].path.read_bytes() == CONTENT["a"]
    assert not place.is_symlink()
    assert outside.read_bytes() == CONTENT["a"]


def _use(folder, items, counted):
    results = list(FileCache.open(folder).bring(items, transport=impatient(timeout_s=30), jobs=2))
    counted.put(sum(isinstance(result, Got) and result.path.is_file() for result in results))


def test_many_processes_at_once(web, cache):
    """Twenty of them on one empty cache: each gets every file, each file is asked for once."""

    def slowly(handler, content, etag):
        time.sleep(0.1)
        behave(handler, content, etag)

    for path in CONTENT:
        web.script[path] += [slowly] * 20
    context = multiprocessing.get_context("fork")
    counted = context.SimpleQueue()
    crew = [context.Process(target=_use, args=(cache.folder, all_of(web), counted)) for _ in range(20)]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
    assert [counted.get() for _ in crew] == [3] * 20
    assert len(web.asked) == 3
    assert all(find(FileCache.open(cache.folder), item) is not None for item in all_of(web))


READ = """
import json, os, sys
from pathlib import Path
from opendata_pkg.cache.cache import CacheItem, FileCache
from opendata_pkg.cache.wanted import Wanted
from opendata_pkg.web.transport import Transport
os.setgid(65534); os.setuid(65534)
cache = FileCache.open(Path(sys.argv[1]))
items = [CacheItem(snapshot=s, path=p, wanted=Wanted(name=p, urls=("http://127.0.0.1:9/a",), size_bytes=None, sha256=d))
         for s, p, d in json.loads(sys.argv[2])]
for result in cache.bring(items, transport=Transport.create(offline=True), jobs=4):
    print(getattr(result, "path", None) or result.error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
@pytest.mark.parametrize("stamped", [True, False])
def test_a_cache_that_may_only_be_read(web, cache, tmp_path, stamped):
    """With or without stamps it is read; what is missing is said, and nothing is written."""
    bring(cache, *all_of(web))
    if not stamped:
        shutil.rmtree(cache.folder / "stamps")
    for folder in [*tmp_path.parents, tmp_path]:
        if folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    before = sorted((path, path.lstat().st_mtime_ns) for path in cache.folder.rglob("*"))
    asked = [(FIRST, path, hashlib.sha256(data).hexdigest()) for path, data in CONTENT.items()]
    code = [sys.executable, "-c", READ, str(cache.folder), json.dumps([*asked, (FIRST, "none", "0" * 64)])]
    done = subprocess.run(code, capture_output=True, check=False, text=True, cwd="/")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    refused = [line for line in lines if "cannot write" in line]
    assert len(refused) == 1
    assert set(lines) - set(refused) == {str(cache.path_of(FIRST, path)) for path in CONTENT}
    assert sorted((path, path.lstat().st_mtime_ns) for path in cache.folder.rglob("*")) == before


def test_many_files_are_found_at_once(cache):
    """Stamps are read once, and each file costs one look: far below a tenth of a millisecond."""
    folder = cache.snapshot_folder(FIRST)
    folder.mkdir(parents=True)
    digest = Sha256(hashlib.sha256(b"x").hexdigest())
    (cache.folder / "stamps").mkdir()
    lines = []
    for number in range(2_000):
        path = folder / f"{number}"
        path.write_bytes(b"x")
        state = path.stat()
        fields = (1, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, digest, "-", number, ".")
        lines.append("\t".join(map(str, fields)) + "\n")
    (cache.folder / "stamps" / f"{FIRST[:16]}.log").write_text("".join(lines))
    begun = time.process_time()
    again = FileCache.open(cache.folder)
    assert all(again.find(FIRST, f"{number}", sha256=digest, md5=None) for number in range(2_000))
    assert time.process_time() - begun < 0.3


class _Listening(Reporter):
    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)

    def start(self, task, total=None, unit="files"):
        self.said.append((task, total, unit))


def test_a_large_transfer_is_announced(web, cache):
    """How much is to come is said before it comes; what is there already does not count."""
    reporter = _Listening()
    huge = Wanted(name="huge", urls=("http://127.0.0.1:9/huge",), size_bytes=2_500_000_000, sha256=Sha256("0" * 64))
    bring(cache, item_of(web, "a"))
    items = [*all_of(web), CacheItem(snapshot=FIRST, path="huge", wanted=huge)]
    list(cache.bring(items, transport=impatient(tries=1), jobs=2, reporter=reporter))
    assert reporter.said == ["to fetch: 3 files, 2.5 GB", ("fetching", 2_500_006_000, "bytes")]


def _age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * 86_400,) * 2)


def test_prune_by_age(web, cache):
    """Files that nobody used for long go, with their stamps and empty folders; the rest stays found."""
    results = bring(cache, *all_of(web))
    _age(results["b/c"].path, 40)
    _age(results["b/d é #'.swc"].path, 40)
    _age(results["a"].path, 2)
    find(cache, item_of(web, "a"))
    would = prune(cache, older_than_days=30, dry_run=True)
    assert results["b/c"].path.exists()
    assert prune(cache, older_than_days=30) == would
    assert (would.removed, would.freed_bytes, would.kept, would.kept_bytes) == (2, 6_000, 1, 3_000)
    assert not results["b/c"].path.parent.exists()
    assert len(_stamps(cache)) == 1
    assert find(FileCache.open(cache.folder), item_of(web, "a")) is not None


def test_prune_to_a_size(web, cache):
    """The longest unused go first; content under two names counts once, and goes with both."""
    results = bring(cache, *all_of(web))
    bring(cache, item_of(web, "a", snapshot=SECOND))
    for days, path in enumerate(CONTENT):
        _age(results[path].path, 10 - days)
    result = prune(cache, max_bytes=6_000)
    assert (result.removed, result.freed_bytes, result.kept, result.kept_bytes) == (2, 3_000, 2, 6_000)
    assert not cache.path_of(FIRST, "a").exists()
    assert not cache.path_of(SECOND, "a").exists()
    assert not cache.snapshot_folder(SECOND).exists()


def test_prune_spares_what_is_under_way(web, cache):
    """Leftovers of stopped downloads go, one that somebody fills stays."""
    parts = cache.folder / "parts"
    parts.mkdir(parents=True)
    (parts / "left.part").write_bytes(b"x" * 10)
    (parts / "busy.part").write_bytes(b"x" * 10)
    code = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, parts / "busy.part"], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        result = prune(cache)
        other.kill()
    assert (result.removed_parts, result.freed_bytes) == (1, 10)
    assert [path.name for path in parts.iterdir()] == ["busy.part"]


def test_others_go_on_after_a_prune(web, cache):
    """A process that had read the stamps before finds, brings and stamps as if nothing had been."""
    long_lived = FileCache.open(cache.folder)
    results = bring(long_lived, *all_of(web))
    _age(results["a"].path, 40)
    prune(FileCache.open(cache.folder), older_than_days=30)
    assert find(long_lived, item_of(web, "a")) is None
    assert all(isinstance(result, Got) for result in bring(long_lived, *all_of(web)).values())
    assert len(web.asked) == 4
    again = FileCache.open(cache.folder)
    assert all(find(again, item) is not None for item in all_of(web))


def test_the_sum(web, cache):
    """Per snapshot and in all, content under two names counted once in the whole."""
    assert sum_up(cache).files == 0
    bring(cache, *all_of(web))
    bring(cache, item_of(web, "a", snapshot=SECOND))
    (cache.folder / "parts" / "x.part").write_bytes(b"12345")
    (cache.folder / "other").mkdir()
    (cache.folder / "other" / "y").write_bytes(b"123")
    found = sum_up(cache)
    assert (found.files, found.size_bytes, found.parts, found.part_bytes) == (4, 9_000, 1, 5)
    assert [(entry.snapshot, entry.files, entry.size_bytes) for entry in found.snapshots] == [
        (FIRST[:16], 3, 9_000),
        (SECOND[:16], 1, 3_000),
    ]
    assert found.other == {"other": 3}


def test_the_command(web, monkeypatch, tmp_path):
    """`cache info` and `cache prune`, in words and as JSON."""
    monkeypatch.setenv("OPENDATA_CACHE", str(tmp_path / "cache"))
    assert opendata("cache", "info")[0] == 0
    bring(FileCache.open(), *all_of(web))
    status_, text, _ = opendata("cache", "info")
    assert opendata("cache") == (status_, text, "")
    assert (status_, text.splitlines()[:2]) == (0, [f"cache {tmp_path / 'cache'}", "files 3, 9.0 kB"])
    document = json.loads(opendata("cache", "info", "--json")[1])
    assert document["snapshots"] == [{"files": 3, "size_bytes": 9000, "snapshot": FIRST[:16]}]
    assert opendata("cache", "prune", "--max-size", "5kB", "--dry-run")[1].startswith("would remove 2 files")
    assert json.loads(opendata("cache", "prune", "--max-size", "5kB", "--json")[1])["kept"] == 1
    assert opendata("cache", "prune", "--older-than", "0")[1].startswith("removed 1 file and")
    assert opendata("cache", "info", "--dry-run")[0] == 2
    assert opendata("cache", "prune", "--max-size", "much")[0] == 2
