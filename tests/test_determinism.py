"""The same snapshots give the same commits on every machine, for everybody, however the store came to be."""

import os
import stat
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from opendata_pkg.building.build import build
from opendata_pkg.building.promises import UndigestedError
from opendata_pkg.building.release import release
from opendata_pkg.git.repository import Repository
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.store.store import Store
from tests.core_support import DAY_ZERO, catalogue_of, entry_of, every_ref, git, published, snapshot_of
from tests.git.test_repository import HOSTILE

NOBODY = 65534

CATALOGUE = """\
description: Some data with 'quotes', "more" and é.
licenses: [{name: CC-BY-4.0, path: "https://creativecommons.org/licenses/by/4.0/"}]
contributors: [{title: Ada Lovelace, givenName: Ada, familyName: Lovelace, roles: [creator]}]
branches:
  Rat: {title: Rats, branches: {Cortex: {}, Deep/Layer: {title: "Ünïcode"}}}
  Mouse: {formerly: [Mice]}
  Fish:
ignore: [{prefix: tmp/, reason: scratch}]
"""
NAMES = (
    "a",
    "a/b",
    "A",
    "é",
    "e\u0301",
    "i",
    "I",
    "\u0131",
    "İ",
    "ß",
    "x y+z",
    "100%",
    "new\nline",
    ".git/x",
    "日本/長",
    "z" * 300,
    "a//b",
)


def chain():
    """Three states of a bucket: many kinds of names, digests, versions and dates; then changes of every kind."""
    entries = [entry_of(f"{folder}{name}", name) for folder in ("", "Rat/", "Rat/Cortex/") for name in NAMES]
    entries += [entry_of(f"Rat/Deep/Layer/{n}", str(n % 40), version=f"v{n}", day=n % 7) for n in range(200)]
    entries += [entry_of(f"Mouse/md5-{n}", str(n), known="md5", version="null") for n in range(5)]
    entries += [entry_of(f"Mouse/none-{n}", str(n), known=None, size_bytes=None if n else 1) for n in range(3)]
    entries += [entry_of("Mouse/undated", last_modified=None), entry_of("tmp/x"), entry_of("folder/", "")]
    entries.append(entry_of("Rat/exact", last_modified=DAY_ZERO + timedelta(days=3, microseconds=123456)))
    first = {entry.key: entry for entry in entries}
    second = dict(list(first.items())[::-1]) | {
        key: entry_of(key, "changed", version="w", day=30) for key in ("Rat/Deep/Layer/7", "Mouse/md5-1", "é")
    }
    for key in ("Mouse/md5-2", "Rat/Cortex/é", "Rat/Cortex/a//b"):
        del second[key]
    second |= {"Fish/new": entry_of("Fish/new"), "Mouse/md5-3": entry_of("Mouse/md5-3", "3", known="both")}
    third = {key: entry for key, entry in second.items() if not key.startswith("Fish/")} | {
        "Mouse/md5-2": first["Mouse/md5-2"]
    }
    return [snapshot_of(*state.values()) for state in (first, second, third)]


@pytest.fixture(scope="module")
def inputs():
    """A folder that everybody can read: the chain's snapshots and their catalogue."""
    with tempfile.TemporaryDirectory(prefix="opendata-test-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        for number, snapshot in enumerate(chain(), start=1):
            snapshot.write(path / f"{number}.parquet")
        (path / "catalogue.yaml").write_bytes(catalogue_of(CATALOGUE).source_bytes)
        yield path


def machine(inputs, name, *, uid=0, umask="022", options=(), cwd=None, **environment):
    """The store as it comes out on one machine: its refs, and every byte of text that readers see."""
    folder = inputs / name
    folder.mkdir()
    if uid:
        os.chown(folder, uid, uid)
    store = Path(os.path.relpath(folder / "store", cwd)) if cwd else folder / "store"
    root = str(Path(__file__).parents[1])
    words = [sys.executable, *options, "-m", "tests.rebuilding", inputs, store, str(uid), umask]
    everything = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(words, cwd=cwd or root, env=everything, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if uid:
        # So that git, which refuses other people's repositories, lets us look.
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 0, 0, follow_symlinks=False)
    return every_ref(folder / "store"), published(folder / "store")


@pytest.fixture(scope="module")
def here(inputs):
    """What comes out in the plainest of surroundings."""
    return machine(inputs, "here", TZ="UTC", LC_ALL="C.UTF-8", PYTHONHASHSEED="0")


def assert_same(found, wanted):
    """Ref by ref and file by file, so that a difference is told by name."""
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    assert [name for name, data in wanted[1].items() if found[1][name] != data] == []


def test_there_is_something_to_compare(here):
    """Three releases of six datasets, with text and refs in plenty."""
    refs, texts = here
    assert len([ref for ref in refs if "refs/tags/" in ref]) >= 12
    assert len(texts) > 100
    assert {"index.json", "releases/3.0.0/index.json", "git/rat.git/info/refs"} <= texts.keys()


def test_another_user_zone_seed_locale_and_umask(inputs, here, tmp_path):
    """Another user with a private umask, far east, in Turkish, from another folder, without a home."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    if any(not folder.stat().st_mode & stat.S_IXOTH for folder in Path(__file__).parents):
        pytest.skip("this checkout is in a folder that other users may not enter")
    found = machine(
        inputs, "nobody", uid=NOBODY, umask="077", cwd="/", TZ="Pacific/Chatham", LC_ALL="tr_TR.UTF-8", LANG="tr_TR.UTF-8",
        PYTHONHASHSEED="4242", HOME="/nonexistent", USER="nobody", XDG_CONFIG_HOME="/nonexistent",
    )  # fmt: skip
    assert_same(found, here)


def test_another_zone_seed_locale_and_settings(inputs, here, tmp_path):
    """Far west, ASCII, optimised Python, one thread, and a git configuration that signs, rewrites and renames."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(HOSTILE)
    found = machine(
        inputs, "elsewhere", options=["-O"], umask="002", TZ="America/St_Johns", LC_ALL="POSIX", LANG="C", PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0", PYTHONHASHSEED="99", HOME=str(home), GIT_CONFIG_GLOBAL=str(home / ".gitconfig"),
        GIT_AUTHOR_NAME="Mallory", GIT_COMMITTER_DATE="1999-01-01T00:00:00Z", OMP_NUM_THREADS="1", ARROW_IO_THREADS="1",
    )  # fmt: skip
    assert_same(found, here)


def test_a_store_with_a_past(inputs, here, tmp_path):
    """Drafts thrown away, refused and partial builds, `git gc`: what is released is what a fresh store has."""
    store = tmp_path / "store"
    catalogue = catalogue_of(CATALOGUE)
    snapshots = [Snapshot.read(inputs / f"{number}.parquet") for number in (1, 2, 3)]
    for number, snapshot in enumerate(snapshots, start=1):
        for other in snapshots:
            build(other, catalogue, store, allow_undigested="**")
        build(snapshot, catalogue, store, only=["Rat"], allow_undigested="**")
        with pytest.raises(UndigestedError):
            build(snapshot, catalogue, store)
        build(snapshot, catalogue, store, allow_undigested="**")
        release(f"{number}.0.0", store)
        for repository in (store / "git").iterdir():
            if Repository(repository).refs():
                git(repository, "gc", "--quiet", "--prune=now")
    assert every_ref(store, drafts=False) == here[0]
    texts = published(store)
    wanted = {name: data for name, data in here[1].items() if name.startswith("releases/") or name == "index.json"}
    assert {name: data for name, data in texts.items() if name in wanted} == wanted


def test_rebuilding_from_the_store_itself(inputs, here, tmp_path):
    """A published store holds all that it takes to make it again: snapshots and catalogues, release by release."""
    old = Store.open(inputs / "here" / "store")
    new = tmp_path / "store"
    for version in old.versions():
        state = old.release(version)
        build(old.read_snapshot(state.snapshot), old.read_catalogue(state.catalogue), new, allow_undigested="**")
        release(version, new)
    assert_same((every_ref(new), published(new)), here)


def test_the_order_of_listing_does_not_matter(tmp_path):
    """Whatever order a server lists in: the same snapshot id and commits."""
    entries = list(chain()[0].objects())
    commits = set()
    for name, order in (("up", entries), ("down", entries[::-1]), ("mixed", entries[::2] + entries[1::2])):
        snapshot = snapshot_of(*order)
        build(snapshot, catalogue_of(CATALOGUE), tmp_path / name, allow_undigested="**")
        commits.add((snapshot.id, *every_ref(tmp_path / name)))
    assert len(commits) == 1


def test_what_a_scan_says_of_itself_does_not_matter(tmp_path):
    """Times, notes and counts of the scan, and the tier of the objects, are in the header and nowhere else."""
    entries = [entry_of("Rat/a"), entry_of("b")]
    plain = snapshot_of(*entries)
    told = snapshot_of(
        *(entry_of(entry.key, storage_class="GLACIER") for entry in entries),
        source="listing.csv", method="listing-file", started=DAY_ZERO, finished=DAY_ZERO, older_versions=7, notes=("a note",),
        bucket=None,
    )  # fmt: skip
    assert plain.id == told.id
    for name, snapshot in (("plain", plain), ("told", told)):
        build(snapshot, catalogue_of(), tmp_path / name)
    assert every_ref(tmp_path / "plain") == every_ref(tmp_path / "told")


def test_where_rows_are_does_not_matter(tmp_path, monkeypatch):
    """A snapshot of more than memory should hold, mapped from a file in pieces, gives the same store, release by release."""
    files = []
    for number, snapshot in enumerate(chain()):
        files.append(tmp_path / f"{number}.parquet")
        snapshot.write(files[-1])

    def publish_all(store):
        for number, file in enumerate(files):
            build(Snapshot.read(file), catalogue_of(CATALOGUE), store, allow_undigested="**")
            release(f"{number}.0.0", store)

    publish_all(tmp_path / "memory")
    for name in ("columns.spool.SPOOL_BYTES", "snapshot.snapshot.SPOOL_BYTES"):
        monkeypatch.setattr(f"opendata_pkg.{name}", 0)
    for name in ("snapshot.snapshot.BATCH_ROWS", "snapshot.pair.BATCH_ROWS", "snapshot.pair.READ_ROWS"):
        monkeypatch.setattr(f"opendata_pkg.{name}", 2)
    assert Snapshot.read(files[0]).table["key"].num_chunks > 1
    publish_all(tmp_path / "file")
    assert published(tmp_path / "file") == published(tmp_path / "memory")
    assert every_ref(tmp_path / "file") == every_ref(tmp_path / "memory")
