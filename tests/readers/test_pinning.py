"""Pin: a lock holds exactly what was selected, with a digest for every file, and changes only when somebody says so."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from opendata_pkg.citation import citation_text
from opendata_pkg.comparison.differences import Kind
from opendata_pkg.lock.lock import Lock, NoLockError
from opendata_pkg.model import Grade, NotFoundError, UsageError
from opendata_pkg.plan.selection import Rules
from opendata_pkg.progress import Reporter
from opendata_pkg.readers.filling import NoAddressError, UnreadableFilesError
from opendata_pkg.readers.pinning import NoRoomError, NoSelectionError, PinnedAlreadyError, check_name, pin, unpin
from opendata_pkg.readers.syncing import sync
from opendata_pkg.targets.opening import open_target
from tests.core_support import catalogue_of, entry_of, publish, snapshot_of

SWC = Rules(include=("*.swc",))
KEYS = ("Rat/Cortex/a.swc", "Rat/Cortex/b.asc", "Rat/c d.swc", "Mouse/e.swc", "top.txt")


class Told(Reporter):
    """Keeps what was said."""

    def __init__(self):
        self.messages = []

    def message(self, text):  # noqa: D102
        self.messages.append(text)


def yes(_name, _change):
    """Whoever is asked agrees."""
    return True


@pytest.fixture
def lock(tmp_path):
    """Where the lock is to be."""
    return tmp_path / "paper" / "opendata.lock"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket as a folder and its URL."""
    folder = tmp_path_factory.mktemp("bucket")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def served(bucket):
    """A bucket of files that hold their own keys, as a folder and its URL."""
    for key in KEYS:
        (bucket[0] / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket[0] / key).write_text(key)
    return bucket


@pytest.fixture(scope="module")
def store(tmp_path_factory, bucket):
    """A store with two releases of it: in the second, one file is new, one gone, one other."""
    path = tmp_path_factory.mktemp("published") / "store"
    publish(path, "2024.1.0", snapshot_of(*KEYS, base_url=bucket[1]))
    later = snapshot_of(
        *(key for key in KEYS if key not in {"Rat/c d.swc", "Rat/Cortex/a.swc"}),
        entry_of("Rat/Cortex/a.swc", "other", day=3),
        entry_of("Rat/new.swc", "new", day=3),
        base_url=bucket[1],
    )
    publish(path, "2024.2.0", later)
    return path


def rows(path):
    """Paths of a lock, by selection."""
    found = {name: [] for name in Lock(path).selections}
    for file in Lock(path).files:
        found[file.selection].append(file.path)
    return found


def test_from_a_store(lock, store, served):
    """What was asked, from where, at which version, with digest, commit and citation; the files can be had at once."""
    result = pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    assert (result.files, result.overwritable, result.only_md5, result.hashed, result.written) == (2, 2, 0, 0, True)
    opened = Lock(lock)
    opened.check()
    (entry,) = opened.selections.values()
    selection = open_target("Rat@2024.1.0", store=store).select(SWC)
    assert (entry.name, entry.branch, entry.version, entry.folder) == ("Rat", "Rat", "2024.1.0", None)
    assert (entry.snapshot, entry.commit) == (selection.origin.snapshot, selection.origin.commit)
    assert (entry.source, dict(entry.rules)) == (str(store), {"include": ["*.swc"]})
    assert (entry.digest, entry.citation) == (selection.digest, citation_text(selection))
    assert [file.path for file in opened.files] == ["Rat/Cortex/a.swc", "Rat/c d.swc"]
    assert [file.urls for file in opened.files] == [(f"{served[1]}Rat/Cortex/a.swc",), (f"{served[1]}Rat/c%20d.swc",)]
    assert opened["Rat/c d.swc"].read_text() == "Rat/c d.swc"
    assert sync(opened).files == 2


def test_the_whole_branch_across_datasets(lock, store):
    """Without rules, all at or below the branch is pinned, whatever datasets it is in."""
    pin("Rat@2024.1.0", lock=lock, store=store)
    pin(".@2024.1.0:top.txt", lock=lock, store=store)
    assert rows(lock) == {"Rat": ["Rat/Cortex/a.swc", "Rat/Cortex/b.asc", "Rat/c d.swc"], "example": ["top.txt"]}


def test_the_same_again(lock, store):
    """Pinning what is pinned already changes nothing, not even the file's time."""
    pin("Rat@2024.1.0", lock=lock, store=store)
    before = lock.stat()
    assert pin("Rat@2024.1.0", lock=lock, store=store).written is False
    assert lock.stat() == before


def test_another_version_is_refused(lock, store):
    """Another version of a selection is refused in a sentence with both; the lock stays."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    before = lock.read_bytes()
    sentence = (
        "Rat is pinned at version 2024.1.0, and version 2024.2.0 was asked for: move to it with --update, or keep"
    )
    with pytest.raises(PinnedAlreadyError, match=sentence):
        pin("Rat", lock=lock, rules=SWC, store=store)
    with pytest.raises(
        PinnedAlreadyError, match=r"selection Rat is Rat@2024.1.0 --include \*.swc, and Rat@2024.1.0 was"
    ):
        pin("Rat@2024.1.0", lock=lock, store=store)
    with pytest.raises(PinnedAlreadyError, match=r", and Rat@2024.1.0:Cortex --exclude x was asked for"):
        pin("Rat@2024.1.0:Cortex", lock=lock, rules=Rules(exclude=("x",)), name="Rat", store=store)
    assert lock.read_bytes() == before


def test_update(lock, store):
    """An update shows what changes, asks, and then replaces the selection and nothing else."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    pin("Mouse@2024.1.0", lock=lock, store=store)
    before = lock.read_bytes()
    seen = []

    def no(name, change):
        seen.append((name, {kind: total.files for kind, total in change.totals.items() if total.files}))
        return False

    declined = pin("Rat", lock=lock, rules=SWC, store=store, update=True, confirm=no)
    assert (declined.written, lock.read_bytes()) == (False, before)
    assert seen == [("Rat", {Kind.ADDED: 1, Kind.REMOVED: 1, Kind.CHANGED: 1})]
    done = pin("Rat", lock=lock, rules=SWC, store=store, update=True, confirm=yes)
    assert (done.written, done.selection.version, len(done.change)) == (True, "2024.2.0", 3)
    assert rows(lock) == {"Mouse": ["Mouse/e.swc"], "Rat": ["Rat/Cortex/a.swc", "Rat/new.swc"]}
    Lock(lock).check()


def test_update_with_nobody_to_ask(lock, store):
    """An update that changes files is refused if nobody can be asked."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    before = lock.read_bytes()
    with pytest.raises(UsageError, match=r"selection Rat would change: .* say --yes"):
        pin("Rat", lock=lock, rules=SWC, store=store, update=True)
    assert lock.read_bytes() == before


def test_update_without_a_changed_file(lock, store):
    """A newer version with the same files is taken without asking: nothing that anybody uses changes."""
    pin("Mouse@2024.1.0", lock=lock, store=store)
    result = pin("Mouse", lock=lock, store=store, update=True)
    assert (result.written, len(result.change), Lock(lock).selections["Mouse"].version) == (True, 0, "2024.2.0")


def test_two_versions(lock, store, served):
    """Two versions side by side: the second one's files go to a folder of its own, and both can be had."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    sync(Lock(lock))
    for key, content in (("Rat/Cortex/a.swc", "other"), ("Rat/new.swc", "new")):
        (served[0] / key).write_text(content)
    result = pin("Rat@2024.2.0", lock=lock, rules=SWC, store=store, name="newer")
    assert result.selection.folder == "newer"
    sync(Lock(lock)).check_complete()
    opened = Lock(lock, offline=True)
    assert opened["Rat:Rat/Cortex/a.swc"].read_text() == "Rat/Cortex/a.swc"
    assert opened["newer:Rat/Cortex/a.swc"].read_text() == "other"
    assert opened["Rat/new.swc"] == lock.parent / "data" / "newer" / "Rat" / "new.swc"
    # The folder stays when the other version has gone, and its own moves on: paths in scripts stay true.
    unpin("Rat", lock=lock)
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store, name="newer", update=True, confirm=yes)
    assert Lock(lock).selections["newer"].folder == "newer"


def test_the_same_files_twice(lock, store, served):
    """Selections that overlap with the same content share their files, in no folder."""
    pin("Rat@2024.1.0", lock=lock, store=store)
    assert pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store, name="swc").selection.folder is None
    assert sync(Lock(lock)).files == 3


def test_no_room(lock, store):
    """Files that cannot be put beside the others even in a folder are refused with what stands in the way."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    text = lock.read_text().replace('"path": "Rat/c d.swc"', '"path": "newer"')
    lock.write_text(text)
    with pytest.raises(NoRoomError, match=r"cannot be put beside the others: .*'newer', which is a file of the lock"):
        pin("Rat@2024.2.0", lock=lock, rules=SWC, store=store, name="newer")


def test_unpin(lock, store):
    """A selection is taken out with its files; the others stay as they are; a name that is not there is said."""
    pin("Mouse@2024.1.0", lock=lock, store=store)
    alone = lock.read_bytes()
    pin("Rat@2024.1.0", lock=lock, store=store)
    result = unpin("Rat", lock=lock)
    assert (result.files, result.left, lock.read_bytes()) == (3, 1, alone)
    with pytest.raises(NoSelectionError, match=r"no selection 'Rat' in .*: it has Mouse"):
        unpin("Rat", lock=lock)
    assert unpin("Mouse", lock=lock).left == 0
    with pytest.raises(NoLockError, match="no lock at"):
        unpin("Mouse", lock=lock.with_name("other.lock"))


def test_an_empty_selection_writes_nothing(lock, store):
    """Rules that give no file are an error that names what is near; no lock is made."""
    with pytest.raises(NotFoundError, match=r"\*\.swc"):
        pin("Rat@2024.1.0", lock=lock, rules=Rules(include=("*.swk",)), store=store)
    assert not lock.exists()


def test_two_pins_at_once(lock, store):
    """Pins that run at the same time wait for each other: none is lost."""
    started = threading.Barrier(4)

    def one(number):
        started.wait()
        pin("Rat@2024.1.0", lock=lock, store=store, name=f"s{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert sorted(Lock(lock).selections) == ["s0", "s1", "s2", "s3"]
    assert [path.name for path in lock.parent.iterdir()] == ["opendata.lock"]


def test_files_without_a_digest_are_hashed(lock, tmp_path, served):
    """What has no digest is fetched into the cache and hashed; what could be overwritten says so by its grade."""
    entries = [entry_of(key, key, known="none") for key in KEYS[:2]] + [
        entry_of("Rat/c d.swc", "Rat/c d.swc", known="md5")
    ]
    path = tmp_path / "listed.parquet"
    snapshot_of(*entries, base_url=served[1]).write(path)
    told = Told()
    result = pin(str(path), lock=lock, reporter=told)
    assert (result.hashed, result.hashed_bytes, result.only_md5) == (2, sum(map(len, KEYS[:2])), 1)
    assert result.grades == {Grade.FIXED: 0, Grade.VERIFIABLE: 3}
    assert any("without a digest: 2 files, 32 bytes, now fetched" in text for text in told.messages)
    opened = Lock(lock, offline=True)
    opened.check()
    assert list(opened.selections) == ["listed"]
    assert [file.sha256 for file in opened.files[:2]] == [hashlib.sha256(key.encode()).hexdigest() for key in KEYS[:2]]
    # They are in the cache now.
    assert opened[KEYS[0]].read_text() == KEYS[0]
    # And known when pinned again, without the web.
    assert pin(str(path), lock=lock, offline=True).written is False


def test_sizes_are_learned_too(lock, tmp_path, served):
    """A file of which neither size nor digest was known has both in the lock."""
    path = tmp_path / "listed.parquet"
    snapshot_of(entry_of("top.txt", "top.txt", known="none", size_bytes=None), base_url=served[1]).write(path)
    pin(str(path), lock=lock)
    assert Lock(lock).files[0].size_bytes == len("top.txt")
    Lock(lock).check()


def test_files_that_cannot_be_read(lock, tmp_path, served):
    """If a file without a digest cannot be had, nothing is pinned, and each is named."""
    path = tmp_path / "listed.parquet"
    snapshot_of(entry_of("gone", known="none"), entry_of("top.txt", known="none"), base_url=served[1]).write(path)
    with pytest.raises(UnreadableFilesError, match=r"2 of 2 files without a digest could not be read") as caught:
        pin(str(path), lock=lock)
    assert "gone" in str(caught.value)
    assert not lock.exists()


def test_files_of_a_folder_without_an_address(lock, tmp_path):
    """A snapshot of a folder that is nowhere on the web cannot be pinned; the sentence says what is missing."""
    path = tmp_path / "listed.parquet"
    snapshot_of("a", base_url=None).write(path)
    with pytest.raises(NoAddressError, match=r"no URL .*--base-url"):
        pin(str(path), lock=lock)


@pytest.mark.s3
def test_straight_from_a_bucket(lock, s3_server):
    """No store is needed: a prefix of a bucket is pinned with versions that cannot be overwritten, and had later."""
    s3_server.make_bucket("pin-versions")
    client = s3_server.client()
    for key in ("data/a.swc", "data/b c.swc", "other/d.swc"):
        client.put_object(Bucket="pin-versions", Key=key, Body=key.encode())
    result = pin("s3://pin-versions/data", lock=lock, endpoint_url=s3_server.endpoint_url)
    assert (result.files, result.overwritable) == (2, 0)
    entry = result.selection
    assert (entry.name, entry.branch, entry.version, entry.source) == ("data", ".", None, "s3://pin-versions/data")
    assert [len(file.urls) for file in Lock(lock).files] == [2, 2]
    for key in ("data/a.swc", "data/b c.swc"):
        client.put_object(Bucket="pin-versions", Key=key, Body=b"overwritten")
    sync(Lock(lock)).check_complete()
    assert Lock(lock, offline=True)["data/b c.swc"].read_text() == "data/b c.swc"
    with pytest.raises(
        PinnedAlreadyError, match=r"data is pinned at snapshot \w{12}, and snapshot \w{12} was asked for"
    ):
        pin("s3://pin-versions/data", lock=lock, endpoint_url=s3_server.endpoint_url)


@pytest.mark.s3
def test_overwritten_in_a_bucket_without_versions(lock, s3_server):
    """Where a bucket keeps no versions, pin warns; a file that was overwritten since is named, and never brought."""
    s3_server.make_bucket("pin-mutable", versioned=False)
    client = s3_server.client()
    client.put_object(Bucket="pin-mutable", Key="a.swc", Body=b"1 1 1")
    client.put_object(Bucket="pin-mutable", Key="b.swc", Body=b"2 2 2")
    assert pin("s3://pin-mutable", lock=lock, endpoint_url=s3_server.endpoint_url).overwritable == 2
    client.put_object(Bucket="pin-mutable", Key="a.swc", Body=b"9 9 9")
    result = sync(Lock(lock), to=lock.parent / "elsewhere")
    names = {failure.place: failure.error.exit_status for failure in result.failed}
    assert names in ({"a.swc": 6}, {})
    if not names:
        # It was hashed when it was pinned, so that the cache has its bytes of then.
        assert (lock.parent / "elsewhere" / "a.swc").read_bytes() == b"1 1 1"


def test_names(lock, store):
    """A name is what a shell and a file system take; by default it is the last folder."""
    for name in ("", "a b", "-a", "a/b", "é", "x" * 101):
        with pytest.raises(UsageError, match="expected a name of letters"):
            check_name(name)
    assert pin("Rat/Cortex@2024.1.0", lock=lock, store=store).selection.name == "Cortex"
    assert pin(".@2024.1.0", lock=lock, store=store).selection.name == "example"


def test_written_as_the_schema_says(lock, store, run_opendata):
    """What pin writes passes the command that checks documents."""
    pin("Rat@2024.1.0", lock=lock, rules=SWC, store=store)
    assert json.loads(lock.read_bytes())["format"] == 1
    assert catalogue_of().id == "example"
    run_opendata("validate", lock)
