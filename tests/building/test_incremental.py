"""Builds on an earlier release: what did not change is taken over by id, and the result is what building all would give."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.building import build as building
from opendata_pkg.building import crew
from opendata_pkg.building.build import build
from opendata_pkg.building.promises import UndigestedError
from opendata_pkg.building.release import release
from opendata_pkg.building.settling import Settling
from opendata_pkg.cli.build import build_document
from opendata_pkg.dataset import inventory
from opendata_pkg.git.foreign import ForeignCommitError
from opendata_pkg.git.packs import ids_in
from opendata_pkg.model import OpenDataError
from opendata_pkg.progress import Reporter
from opendata_pkg.snapshot import storage as snapshot_io
from opendata_pkg.store.store import Store
from opendata_pkg.workers import LostWorkerError, Workers
from tests.core_support import (
    catalogue_of,
    entry_of,
    every_ref,
    git,
    git_text,
    publish,
    published,
    repository_of,
    snapshot_of,
    temporary_files,
)

STEADY = [f"Rat/{folder}/{number}" for folder in ("x", "y/z") for number in range(6)] + [f"top{n}" for n in range(6)]
KEYS = st.sampled_from(
    [
        *STEADY[::3],
        *("Rat/x/new", "Rat/y", "Rat/y/z", "Rat/README.md", "Rat/readme.md/a", "Rat/CITATION.cff", "Rat/%", "Rat/.git"),
        *(
            "Rat/Cortex/a",
            "Rat/Cortex/b/c",
            "Mouse/m",
            "a/b/c",
            "a",
            "Rat/q",
            "Rat/q/r",
            "README.md",
            'Rat/x/1,"a"',
            'Rat/",',
        ),
    ]
)
OBJECT = st.fixed_dictionaries(
    {
        "content": st.sampled_from("vwx"),
        "version": st.sampled_from([None, "null", "v1", "v2"]),
        "known": st.sampled_from(["sha256", "sha256", "md5", "both", None]),
        "day": st.integers(0, 2),
        "etag": st.sampled_from([None, "e", '"quoted",\n']),
    }
)
CHANGES = st.dictionaries(KEYS, st.none() | OBJECT, max_size=5)


def history_of(changes):
    """Snapshots, each the one before with some objects set or (None) gone; most objects never change."""
    objects = {key: {"content": key, "version": "v1"} for key in STEADY}
    for change in changes:
        objects.update(change)
        yield snapshot_of(*(entry_of(key, **fields) for key, fields in objects.items() if fields is not None))


def write_all(store, snapshots, *, file=None, **options):
    """Release a history, each snapshot from that file if there is one; the refs after it."""
    for number, snapshot in enumerate(snapshots, start=1):
        if file is not None:
            snapshot.write(file)
            snapshot = building.snapshot_for(store, file)  # noqa: PLW2901 - the same, as commands read it
        build(snapshot, catalogue_of(), store, allow_undigested="**", **options)
        release(f"{number}.0.0", store)
    return every_ref(store, drafts=False)


@settings(max_examples=10)
@given(st.lists(CHANGES, min_size=2, max_size=4))
@example([{"README.md": None}, {"README.md": {"content": "v"}}, {"README.md": None}])
@example([{"Rat/q": {"content": "v"}}, {"Rat/q": None, "Rat/q/r": {"content": "v"}}, {"Rat/q": {"content": "w"}}])
@example([{"Rat/x/new": {"content": "v", "known": None}}, {"Rat/x/new": {"content": "v"}}, {"Rat/x/new": None}])
def test_any_history_gives_what_building_all_gives(tmp_path_factory, changes):
    """Objects that come, go, return, change, are copied, lose or get digests: the same refs and texts, sound to git."""
    folder = tmp_path_factory.mktemp("history")
    snapshots = list(history_of(changes))
    with pytest.MonkeyPatch.context() as patch:
        # So that even these few files stand in several shards.
        patch.setattr(inventory, "_MEAN_ROWS", 3)
        # And in several row groups.
        patch.setattr(snapshot_io, "_LEAST_ROWS", 1)
        patch.setattr(snapshot_io, "_MORE_ROWS", 3)
        refs = write_all(folder / "store", snapshots, file=folder / "s.parquet")
        patch.setattr(crew._Drafts, "_little", lambda *_: None)
        patch.setattr(crew.Before, "has_same_names", lambda *_: False)
        assert write_all(folder / "all", snapshots) == refs
    ours, theirs = published(folder / "store"), published(folder / "all")
    packs = {name for name in ours | theirs if name.endswith(("objects/info/packs", "opendata-superseded"))}
    assert {name: ours[name] for name in ours.keys() - packs} == {name: theirs[name] for name in theirs.keys() - packs}
    for repository in (folder / "store" / "git").iterdir():
        assert git_text(repository, "fsck", "--strict", "--full") == ""


def test_a_small_change_writes_few_objects(tmp_path):
    """One object of hundreds: one link, one log, and the folders on the way to them; nothing else again."""
    keys = [f"Rat/{folder}/{number}" for folder in range(10) for number in range(30)]
    publish(tmp_path, "1.0.0", snapshot_of(*keys))
    before = set(indexes_of(tmp_path))
    publish(tmp_path, "2.0.0", snapshot_of(*keys[1:], entry_of(keys[0], "other")))
    (index,) = set(indexes_of(tmp_path)) - before
    # A link; folder `0`, `Rat`'s top; its shard, descriptor, README, citation with three folders; two logs' blobs with
    # their two folders each and the top; two commits.
    assert len(ids_in(index)) < 25


def indexes_of(store):
    """The indexes of the packs of the dataset of rats."""
    return (repository_of(store, "rat") / "objects" / "pack").glob("*.idx")


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """A store of hundreds of files in shards of ten; the path of each shard that a release 2.0.0 has as 1.0.0 had it.

    Its argument is what happens in between to the folder of the shards.
    """
    monkeypatch.setattr(inventory, "_MEAN_ROWS", 10)
    keys = [f"Rat/{number:03}" for number in range(300)]

    def kept(meanwhile):
        publish(tmp_path, "1.0.0", snapshot_of(*keys))
        first, second = (tmp_path / "releases" / version / "rat" / "files" for version in ("1.0.0", "2.0.0"))
        meanwhile(first)
        publish(tmp_path, "2.0.0", snapshot_of(*keys[:150], *keys[151:], "Rat/150a"))
        assert len(list(second.iterdir())) > 20
        return [path for path in second.iterdir() if (first / path.name).exists() and path.samefile(first / path.name)]

    return kept


def test_shards_without_a_change_are_the_same_file(shards):
    """All but the one or two that a change is in are those of the release before, and take no room again."""
    assert len(shards(lambda _: None)) > 20


def test_a_damaged_shard_is_not_taken_over(shards, tmp_path):
    """What was altered or lost in the last release is made anew from the snapshot: the next release is whole."""

    def spoil(folder):
        altered, lost = sorted(folder.iterdir())[:2]
        altered.write_bytes(altered.read_bytes().replace(b"Rat/", b"Cat/"))
        lost.unlink()

    kept = shards(spoil)
    spoilt = sorted((tmp_path / "releases" / "2.0.0" / "rat" / "files").iterdir())[:2]
    assert not any(path in kept for path in spoilt)
    assert all(b"Cat/" not in path.read_bytes() for path in spoilt)


def test_shards_of_a_release_with_another_descriptor_are_not_taken_over(shards):
    """A descriptor that is not the one released says nothing of what the shards were."""
    assert shards(lambda folder: (folder.parent / "datapackage.json").write_bytes(b"{}")) == []


def test_what_did_not_change_is_not_opened(tmp_path):
    """A repository without permission to be read is none's concern, as long as its dataset stays as it is."""
    publish(tmp_path, "1.0.0", snapshot_of("Rat/a", "Mouse/m"))
    mouse = repository_of(tmp_path, "mouse")
    mouse.rename(tmp_path / "elsewhere")
    publish(tmp_path, "2.0.0", snapshot_of("Rat/a", "Rat/b", "Mouse/m"))
    assert not mouse.exists()


# ---- nothing changed


class Listening(Reporter):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def message(self, text):
        """Keep it."""
        self.said.append(text)


def build_again(store, snapshot, long_way, **options):
    """Build what was released last, in a copy of the store; all that can be seen of it, then of its release."""
    copy = store.with_name(f"{store.name}-{long_way}")
    shutil.copytree(store, copy)
    listening = Listening()
    with pytest.MonkeyPatch.context() as patch:
        if long_way:
            patch.setattr(building, "draft_as_released", lambda *_: None)
        try:
            built = build(snapshot, catalogue_of(), copy, reporter=listening, **options)
        except OpenDataError as error:
            return type(error), str(error).replace(str(copy), "STORE"), listening.said
    if not options.get("dry_run"):
        draft = {path.name: path.read_bytes() for path in (copy / "draft").rglob("*") if path.is_file()}
        released = release("9.0.0", copy)
    else:
        draft = released = None
    built = replace(built, report=built.report and built.report.relative_to(copy))
    # With the order of what is listed.
    shown = repr(built), built_text(built), built
    refs = every_ref(copy)
    seen = published(copy)
    shutil.rmtree(copy)
    return shown, draft, released, refs, seen, listening.said


def built_text(built):
    """What the command prints."""
    return json.dumps(build_document(built))


@settings(max_examples=10)
@given(st.lists(CHANGES, min_size=1, max_size=3), st.sampled_from([None, "**", "Rat/"]), st.booleans())
@example([{"tmp/x": {"content": "v"}, "Rat/folder/": {"content": "", "known": None}}], None, False)
@example(
    [{"Rat/x/new": {"content": "v", "version": None}}, {"Rat/x/new": {"content": "w", "version": None}}], "**", False
)
@example([{"Rat/x/new": {"content": "v", "known": None}, "a": {"content": "v", "known": None}}], "Rat/", False)
@example([{"Rat/x/new": {"content": "v", "known": None}, "tmp/": {"content": "v", "known": None}}], "Rat/", True)
@example([{"Rat/%": {"content": "v"}, "Rat/y": {"content": "v"}, 'Rat/\u2028,"a': {"content": "v"}}], None, True)
def test_the_same_again_is_what_looking_at_all_gives(tmp_path_factory, changes, allowed, dry_run):
    """The last release's snapshot: result, draft, report, release, refs, messages or error as if all were looked at."""
    store = tmp_path_factory.mktemp("same") / "store"
    for number, snapshot in enumerate(history_of(changes), start=1):
        build(snapshot, catalogue_of(), store, allow_undigested="**")
        release(f"{number}.0.0", store)
    options = {"allow_undigested": allowed, "dry_run": dry_run}
    short, long = (build_again(store, snapshot, long_way, **options) for long_way in (False, True))
    assert short == long


# ---- several processes


@pytest.fixture
def halves(monkeypatch):
    """Every dataset is written by two processes."""
    monkeypatch.setattr(crew, "_MANY_FILES", 0)


@pytest.mark.usefixtures("halves")
def test_processes_write_what_one_writes(tmp_path):
    """The same refs and texts, whether one process wrote all, or two each dataset."""
    change = {"Rat/x/0": {"content": "w"}, "Mouse/m": {"content": "v", "version": None}, "Rat/q": {"content": "v"}}
    snapshots = list(history_of([change, {"Rat/x/0": None, "Mouse/m": {"content": "w"}}, {"a": {"content": "v"}}]))
    assert write_all(tmp_path / "two", snapshots, jobs=2) == write_all(tmp_path / "one", snapshots, jobs=1)
    left = [path for path in published(tmp_path / "two") if not path.endswith("info/packs")]
    assert left == [path for path in published(tmp_path / "one") if not path.endswith("info/packs")]
    assert temporary_files(tmp_path / "two") == []


@pytest.mark.usefixtures("halves")
def test_an_error_in_a_process_is_told_here(tmp_path):
    """As the error that it is; no draft is left, the next build works, and nothing temporary stays behind it."""
    snapshot = snapshot_of("Rat/a", "Mouse/m")
    publish(tmp_path, "1.0.0", snapshot)
    annex = git_text(repository_of(tmp_path, "rat"), "rev-parse", "git-annex")
    # An object that only the writing process looks for.
    for pack in (repository_of(tmp_path, "rat") / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(bytes(len(pack.read_bytes())))
    with pytest.raises(Exception, match=f"lacks the object {annex}|lacks the object|failed in"):
        build(snapshot_of("Rat/a", "Rat/b", "Mouse/m"), catalogue_of(), tmp_path, jobs=2)
    assert not Store.open(tmp_path).has_draft()
    # A process that is stopped while it tidies up leaves that to whoever writes next.
    build(snapshot, catalogue_of(), tmp_path, jobs=2)
    assert [path for path in temporary_files(tmp_path) if "rat.git" not in path.parts] == []


@pytest.mark.usefixtures("halves")
def test_somebody_pushed(tmp_path):
    """Their commit is kept, and it is said, also when processes are at work."""
    publish(tmp_path, "1.0.0", snapshot_of("Rat/a"))
    rat = repository_of(tmp_path, "rat")
    git(rat, "update-ref", "refs/heads/main", "refs/heads/git-annex")
    with pytest.raises(ForeignCommitError, match="somebody has written to the store"):
        build(snapshot_of("Rat/b"), catalogue_of(), tmp_path, jobs=2)
    assert not Store.open(tmp_path).has_draft()


def test_processes_that_were_not_needed(tmp_path, monkeypatch):
    """They begin while it is not known yet that there is little to write, and end with the build, also if it fails."""
    monkeypatch.setattr(crew, "_FEW_FILES", 3)
    monkeypatch.setattr(crew, "count_cores", lambda: 2)
    begun = []

    class Noted(Workers):
        def __init__(self, *words, **more):
            super().__init__(*words, **more)
            begun.append(self)

    monkeypatch.setattr(crew, "Workers", Noted)
    first, second = snapshot_of("Rat/a", "Rat/b", "Mouse/m"), snapshot_of("Rat/a", "Rat/b", "Mouse/m", "Mouse/n")
    assert write_all(tmp_path / "two", [first, second]) == write_all(tmp_path / "one", [first, second], jobs=1)
    assert len(begun) == 2
    with pytest.raises(UndigestedError):
        build(snapshot_of("Rat/a", "Rat/b", entry_of("c", "c", known=None)), catalogue_of(), tmp_path / "three")
    assert len(begun) == 3
    assert all(process.poll() is not None for workers in begun for process in workers._processes)


def test_who_writes_stops_before_it_is_tidied_up(tmp_path, monkeypatch):
    """An error here, while another process writes a larger dataset: it ends before what is half made is removed."""
    begun, tidied = [], []
    drop = Store.drop_draft

    class Noted(Workers):
        def __init__(self, *words, **more):
            super().__init__(*words, **more)
            begun.extend(self._processes)

    def noting_drop(store):
        tidied.append([process.returncode for process in begun])
        return drop(store)

    monkeypatch.setattr(crew, "Workers", Noted)
    monkeypatch.setattr(crew, "Settling", _RefusingSettling)
    monkeypatch.setattr(Store, "drop_draft", noting_drop)
    keys = [f"Rat/{number}" for number in range(20_000)]
    with pytest.raises(OSError, match="refused"):
        build(snapshot_of("Mouse/m", *keys), catalogue_of(), tmp_path, jobs=2)
    # Before anything is written, and when it is removed.
    assert tidied[0] == [None, None]
    assert len(tidied) == 2
    assert None not in tidied[1]
    assert temporary_files(tmp_path) == []
    assert not (tmp_path / "draft").exists()


class _RefusingSettling(Settling):
    """Takes the first dataset, and no more."""

    def take(self, dataset):
        super().take(dataset)
        raise OSError("refused")


def test_calls_have_results_by_their_tags():
    """Each process does one call after another; who waits is told which is done."""
    with Workers(2) as workers:
        found = {}
        for number in range(10):
            if not workers.idle:
                tag, value = workers.wait()
                found[tag] = value
            workers.call(number, divmod, number, 3)
        while len(found) < 10:
            tag, value = workers.wait()
            found[tag] = value
    assert found == {number: divmod(number, 3) for number in range(10)}


def test_errors_come_with_their_traceback():
    """The error itself, and as a note where it was."""
    with Workers(1) as workers:
        workers.call("a", divmod, 1, 0)
        with pytest.raises(ZeroDivisionError) as caught:
            workers.wait()
    assert "in a worker:\nTraceback" in caught.value.__notes__[0]


def test_a_killed_process_is_told():
    """As when memory runs out: a sentence, and the other processes end."""
    with Workers(2) as workers:
        workers.call("a", time.sleep, 60)
        workers.call("b", time.sleep, 60)
        workers._processes[0].kill()
        with pytest.raises(LostWorkerError, match=r"was ended from outside \(SIGKILL\): nothing was published"):
            workers.wait()
    assert all(process.poll() is not None for process in workers._processes)


def test_what_prints_does_no_harm(capfd):
    """A function that prints disturbs no result."""
    with Workers(1) as workers:
        workers.call("a", print, "hello")
        assert workers.wait() == ("a", None)
    assert capfd.readouterr().err == "hello\n"


def test_processes_end_with_who_asked(tmp_path):
    """Killed in the middle of it, who asked leaves nobody behind; and the lock is held until they are gone."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from opendata_pkg.workers import Workers\n"
        "with Workers(2) as workers:\n"
        "    workers.call('a', time.sleep, 60)\n"
        "    print(*(process.pid for process in workers._processes), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        # So that both have begun to listen.
        time.sleep(0.5)
        parent.kill()
    ending = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < ending:
        time.sleep(0.05)
    assert [pid for pid in pids if is_alive(pid)] == []


def is_alive(pid):
    """Whether there is such a process; one that has ended and waits for its parent to see it is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not stat.startswith("Z")


BUILDER = """\
import sys
from pathlib import Path
from opendata_pkg.building import build as building
from opendata_pkg.building import crew
from opendata_pkg.building.build import build
from opendata_pkg.cli.build import build_document
from opendata_pkg.catalogue.catalogue import Catalogue
from opendata_pkg.snapshot.snapshot import Snapshot
crew._MANY_FILES = 0
folder = Path(sys.argv[1])
build(Snapshot.read(folder / "snapshot.parquet"), Catalogue.load(folder / "catalogue.yaml"), folder / "store", jobs=2)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_build_by_processes_is_stopped_at_any_time(tmp_path, stop):
    """Ctrl-C or SIGKILL while others work: the old release as it was, no half draft, nobody left; then it can be done."""
    first, second = snapshot_of("Rat/a"), snapshot_of(*(f"Rat/{number}" for number in range(3000)))
    store = tmp_path / "store"
    publish(store, "1.0.0", first)
    before = published(store)
    second.write(tmp_path / "snapshot.parquet")
    (tmp_path / "catalogue.yaml").write_bytes(catalogue_of().source_bytes)
    stopped, drafts = 0, []
    for delay in (0.3, 0.6, 0.9, 1.2, 1.5):
        # A group of its own: as by a terminal, Ctrl-C reaches all of it.
        with subprocess.Popen(
            [sys.executable, "-c", BUILDER, tmp_path], stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(delay)
            (os.killpg if stop is signal.SIGINT else os.kill)(process.pid, stop)
            failed = process.wait() != 0
        stopped += failed
        wait_for_lock(store)
        # The new snapshot may be kept already: nothing names it yet.
        after = published(store)
        assert {name: after.get(name) for name in before} == before
        if Store.open(store).has_draft():
            # It was done before the signal came, in this round or an earlier one.
            drafts.append(Store.open(store).draft().to_dict())
        if stop is signal.SIGINT:
            assert temporary_files(store) == []
    assert stopped
    build(second, catalogue_of(), store)
    assert all(draft == Store.open(store).draft().to_dict() for draft in drafts)
    publish(store, "2.0.0", second)
    assert git_text(repository_of(store, "rat"), "fsck", "--strict", "--full", "--no-dangling") == ""
    assert temporary_files(store) == []


def wait_for_lock(store):
    """Processes of a killed build may hold the lock for a moment."""
    ending = time.monotonic() + 20
    while True:
        try:
            with Store.open(store).locked():
                return
        except Exception:
            if time.monotonic() > ending:
                raise
            time.sleep(0.05)
