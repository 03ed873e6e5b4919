"""Clones of a store's datasets: where HEAD is, what is installed and checked out, and what is left after a failure."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from opendata_pkg.git import bring
from opendata_pkg.git import clone as git_clone
from opendata_pkg.git.bring import DamagedPackError, NotARepositoryError
from opendata_pkg.git.person import NEUTRAL_EMAIL
from opendata_pkg.git.repository import BrokenRepositoryError
from opendata_pkg.model import UsageError
from opendata_pkg.plan.selection import EmptySelectionError, Rules
from opendata_pkg.readers import cloning
from opendata_pkg.readers.cloning import OccupiedError
from opendata_pkg.targets.opening import open_target
from opendata_pkg.web.transport import OfflineError, RefusedError
from tests.clone_support import CONTENTS, FIRST, LATER, SECOND, Listener, make_clone, publish_contents
from tests.core_support import dataset, git, git_text, paths_in, repository_of
from tests.serving import serve, truncate

RAT = "Rat"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five datasets in two versions; nothing serves their contents."""
    folder = tmp_path_factory.mktemp("clone") / "store"
    base = "http://127.0.0.1:9/bucket/"
    publish_contents(folder, FIRST, CONTENTS, base)
    publish_contents(folder, SECOND, CONTENTS | LATER, base)
    return folder


@pytest.fixture(params=["path", "web"])
def where(request, store, static_server):
    """The store by its path, and by its URL on a plain web server."""
    return store if request.param == "path" else static_server(store)


def status_of(clone):
    """What git finds changed."""
    return git_text(clone, "status", "--porcelain")


def present(clone):
    """The annexed files that are checked out."""
    links = (path.relative_to(clone) for path in clone.rglob("*") if path.is_symlink())
    return {str(path) for path in links if ".git" not in path.parts}


def left_behind(folder):
    """Everything in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def test_head_is_the_release(where, store, tmp_path):
    """A clone of the last version is on `main` at the released commit, tracks the store, has its tags, and is clean."""
    made = make_clone(RAT, where, tmp_path / "rat")
    clone, entry = made.folder, dataset(store, RAT)
    assert git_text(clone, "rev-parse", "HEAD", "origin/main") == "\n".join([entry.written.commits.main] * 2)
    assert git_text(clone, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git_text(clone, "rev-parse", "--abbrev-ref", "main@{upstream}", "origin/HEAD") == "origin/main\norigin/main"
    assert git_text(clone, "describe", "--exact-match", "HEAD") == SECOND
    assert git_text(clone, "rev-parse", "git-annex~1") == entry.written.commits.annex
    assert status_of(clone) == ""
    assert present(clone) == {
        path.removeprefix("Rat/") for path in CONTENTS if path.startswith(("Rat/cell", "Rat/raw"))
    }
    assert (made.branch, made.version, made.selected) == (RAT, SECOND, None)
    assert git_text(clone, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    assert left_behind(tmp_path) == ["rat"]


def test_settings_are_those_of_datalad(store, tmp_path, git_identity):
    """Beside the uuid, the settings are `datalad clone`'s, and one that keeps git-annex from asking the store."""
    made = make_clone(RAT, store, tmp_path / "ours")
    command = ["datalad", "clone", str(repository_of(store, "rat")), str(tmp_path / "theirs")]
    subprocess.run(command, check=True, capture_output=True)
    ours, theirs = (
        dict(line.split("=", 1) for line in git_text(folder, "config", "--local", "--list").splitlines())
        for folder in (made.folder, tmp_path / "theirs")
    )
    assert ours.pop("annex.uuid") != theirs.pop("annex.uuid")
    assert ours.pop("remote.origin.annex-ignore") == "true"
    assert ours == theirs
    hooks = [
        {path.name: path.read_text() for path in (folder / ".git/hooks").iterdir() if path.suffix != ".sample"}
        for folder in (made.folder, tmp_path / "theirs")
    ]
    assert hooks[0] == hooks[1]
    attributes = [(folder / ".git/info/attributes").read_text() for folder in (made.folder, tmp_path / "theirs")]
    assert attributes[0] == attributes[1]
    log = git_text(made.folder, "cat-file", "blob", "git-annex:uuid.log")
    assert git_text(made.folder, "config", "annex.uuid") in log
    assert str(tmp_path / "ours") in log


def test_older_version(where, store, tmp_path):
    """An older version is on a git branch of its own; subdatasets are on `main`, at the commits that it names."""
    made = make_clone(f".@{FIRST}", where, tmp_path / "old", recursive=True)
    assert git_text(made.folder, "symbolic-ref", "HEAD") == f"refs/heads/v{FIRST}"
    assert {installed.branch: installed.commit for installed in made.datasets} == {
        branch or ".": dataset(store, branch, FIRST).written.commits.main
        for branch in ("", "Mouse", "Rat", "Rat/Cortex", "Rat/Deep/Layer")
    }
    assert git_text(made.folder / "Rat/Cortex", "symbolic-ref", "HEAD") == "refs/heads/main"
    assert not (made.folder / "Rat/Cortex/new.swc").is_symlink()
    assert git_text(made.folder, "submodule", "status", "--recursive").count("\n") == 3
    assert status_of(made.folder) == ""


def test_subdatasets_are_as_datalad_makes_them(store, tmp_path):
    """Subdatasets have their own `.git` folders, and are active in their parents, at the store's address."""
    made = make_clone(".", store, tmp_path / "whole", recursive=True)
    assert [installed.path for installed in made.datasets] == [".", "Mouse", "Rat", "Rat/Cortex", "Rat/Deep/Layer"]
    for path in ("Mouse", "Rat", "Rat/Cortex"):
        assert (made.folder / path / ".git").is_dir()
    settings = git_text(made.folder / "Rat", "config", "--get-regexp", r"^submodule\.rat\.cortex").splitlines()
    address = repository_of(store, "rat.cortex")
    assert settings == ["submodule.rat.cortex.active true", f"submodule.rat.cortex.url {address}"]
    assert [line[0] for line in git_text(made.folder, "submodule", "status", "--recursive").splitlines()] == [" "] * 4


def test_one_dataset_only(store, tmp_path):
    """Without `recursive`, subdatasets are empty folders, and files selected in them are counted."""
    made = make_clone(".", store, tmp_path / "top", include=("*.swc", "top.txt"))
    assert list((made.folder / "Rat").iterdir()) == []
    assert made.selected == ("top.txt",)
    assert made.elsewhere == 17


def test_rules_choose_subdatasets(store, tmp_path):
    """With rules, the subdatasets that hold a selected file are installed, and those on the way; links are all there."""
    made = make_clone(".", store, tmp_path / "some", path="Rat/Cortex", recursive=True)
    assert [installed.path for installed in made.datasets] == [".", "Rat", "Rat/Cortex"]
    assert set(made.selected) == {"Rat/Cortex/übung.swc", "Rat/Cortex/new.swc"}
    assert (made.folder / "Rat/cell 1.swc").is_symlink()
    assert [line[0] for line in git_text(made.folder, "submodule", "status").splitlines()] == ["-", " "]


def test_sparse(where, tmp_path):
    """A sparse clone has the selected links and the datasets' own texts, and git finds it clean."""
    made = make_clone(RAT, where, tmp_path / "sparse", include=("*1.swc",), sparse=True)
    wanted = {"cell 1.swc", "cell 11.swc", "raw/twin of cell 1.swc"}
    assert present(made.folder) == wanted == set(made.selected)
    assert {"datapackage.json", "README.md", "_opendata", ".datalad", "Cortex"} <= set(left_behind(made.folder))
    assert status_of(made.folder) == ""
    git(made.folder, "sparse-checkout", "disable")
    assert len(present(made.folder)) == 14
    assert status_of(made.folder) == ""


def test_a_sparse_index_is_gits_own(store, tmp_path):
    """Our index of a sparse clone says of every file what git makes of the patterns."""
    made = make_clone(RAT, store, tmp_path / "sparse", include=("*1.swc",), sparse=True)
    ours = git(made.folder, "ls-files", "-t", "-s")
    assert ours.count(b"S 120000") == 11
    git(made.folder, "read-tree", "-m", "-u", "HEAD")
    assert git(made.folder, "ls-files", "-t", "-s") == ours


def test_sparse_with_settings_of_ones_own(store, tmp_path, home):
    """Whatever a person wants of their indexes, a sparse clone is clean, and the one of the checkout is gone."""
    settings = "[core]\nsplitIndex = true\nuntrackedCache = true\nautocrlf = input\n[index]\nversion = 4\n"
    (home / "gitconfig").write_text(settings)
    made = make_clone(RAT, store, tmp_path / "sparse", include=("*1.swc",), sparse=True)
    assert "opendata-index" not in left_behind(made.folder / ".git")
    assert present(made.folder) == {"cell 1.swc", "cell 11.swc", "raw/twin of cell 1.swc"}
    assert status_of(made.folder) == ""


def test_sparse_in_subdatasets(store, tmp_path):
    """Each dataset of a sparse clone has what is selected of it; one that is only on the way has its texts."""
    made = make_clone(".", store, tmp_path / "sparse", path="Rat/Cortex/new.swc", recursive=True, sparse=True)
    assert present(made.folder) == {"Rat/Cortex/new.swc"}
    assert status_of(made.folder) == status_of(made.folder / "Rat") == ""


def test_new_files_of_a_sparse_clone(store, tmp_path):
    """A person's new files at the top are part of a sparse checkout: git adds and keeps them."""
    made = make_clone(RAT, store, tmp_path / "sparse", include=("*1.swc",), sparse=True)
    (made.folder / "note.txt").write_text("mine\n")
    git(made.folder, "add", "note.txt")
    git(made.folder, "commit", "--quiet", "--message", "a note")
    git(made.folder, "sparse-checkout", "reapply")
    assert (made.folder / "note.txt").exists()
    assert status_of(made.folder) == ""


def test_sparse_guard(store, tmp_path):
    """A commit that would delete what is not checked out is refused in words; one that deletes another file is not."""
    made = make_clone(RAT, store, tmp_path / "sparse", include=("*1.swc",), sparse=True)
    git(made.folder, "rm", "--cached", "--sparse", "--quiet", "cell 2.swc")
    done = subprocess.run(["git", "commit", "-m", "gone"], cwd=made.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "would delete files that are only not checked out here: 1,\nsuch as cell 2.swc" in done.stderr
    git(made.folder, "reset", "--quiet")
    git(made.folder, "sparse-checkout", "reapply")
    assert status_of(made.folder) == ""
    git(made.folder, "rm", "--quiet", "cell 1.swc")
    git(made.folder, "commit", "--quiet", "--message", "meant")
    assert "cell 1.swc" not in paths_in(made.folder)


def test_occupied_folder(store, tmp_path):
    """A folder that holds anything is left alone; an empty one is taken."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        with pytest.raises(OccupiedError, match="name another one"):
            make_clone(RAT, store, tmp_path / name)
    assert left_behind(tmp_path / "full") == ["mine.txt"]
    assert (make_clone(RAT, store, tmp_path / "empty").folder / "cell 1.swc").is_symlink()


def test_default_folder(store, tmp_path, monkeypatch):
    """Without a folder, the clone is named as its branch; that of the root as its repository."""
    monkeypatch.chdir(tmp_path)
    assert make_clone("Rat/Deep/Layer", store, None).folder == tmp_path / "Layer"
    assert make_clone(".", store, None).folder == tmp_path / "example"


def test_nothing_to_clone(store, tmp_path):
    """Sparse without rules and rules without files are refused before anything is made."""
    with pytest.raises(UsageError, match="which files to check out"):
        make_clone(RAT, store, tmp_path / "x", sparse=True)
    with pytest.raises(EmptySelectionError):
        make_clone(RAT, store, tmp_path / "x", include=("*.nothing",))
    assert left_behind(tmp_path) == []


@pytest.fixture
def nobody(home):
    """A machine from whose host and user names git can make no identity."""
    (home / "gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")


def test_no_identity(nobody, store, tmp_path):
    """For somebody of whom git knows nothing, the clone has a neutral identity of its own, which is said."""
    listener = Listener()
    made = make_clone(".", store, tmp_path / "clone", recursive=True, reporter=listener)
    assert [text for text in listener.messages if "git config user.name" in text] == listener.messages[:1]
    for installed in made.datasets:
        assert git_text(made.folder / installed.path, "config", "user.email") == NEUTRAL_EMAIL
    (made.folder / "note.txt").write_text("mine\n")
    git(made.folder, "add", "note.txt")
    git(made.folder, "commit", "--quiet", "--message", "a note")


def test_what_annex_lacks_is_said(store, tmp_path, git_identity, monkeypatch):
    """A clone is made where git-annex is missing or cannot work, and told what to install."""

    def lookup(name):
        raise OSError("protocol not found")

    monkeypatch.setattr(socket, "getprotobyname", lookup)
    git = Path(shutil.which("git"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    listener = Listener()
    make_clone("Rat", store, tmp_path / "clone", reporter=listener)
    assert [message for message in listener.messages if "git-annex is not on PATH" in message]
    assert [message for message in listener.messages if "apt install netbase" in message]


def test_own_identity(git_identity, store, tmp_path):
    """Somebody with an identity keeps it; nothing is said."""
    listener = Listener()
    made = make_clone(RAT, store, tmp_path / "clone", reporter=listener)
    assert listener.messages == []
    assert "user.name" not in git_text(made.folder, "config", "--local", "--list")
    assert git_text(made.folder, "log", "-1", "--format=%an", "git-annex") == "A Scientist"


@pytest.mark.parametrize("way", ["path", "web"])
def test_repacked_store(way, store, tmp_path, static_server):
    """A store whose steward has let git repack it, deltas and packed refs and all, is cloned like any other."""
    copy = shutil.copytree(store, tmp_path / "copy")
    for repository in (copy / "git").iterdir():
        git(repository, "gc", "--quiet", "--prune=now")
        git(repository, "update-server-info")
    made = make_clone(RAT, copy if way == "path" else static_server(copy), tmp_path / "clone", recursive=True)
    assert made.datasets[0].commit == dataset(store, RAT).written.commits.main
    assert git_text(made.folder, "tag") == f"{FIRST}\n{SECOND}"
    assert git_text(made.folder, "fsck", "--strict", "--no-dangling", "--no-progress") == ""


def test_borrowed_objects(store, tmp_path):
    """Objects that a store's repository borrows from another one come too."""
    copy = shutil.copytree(store, tmp_path / "copy")
    repository, lender = repository_of(copy, "rat"), tmp_path / "lender.git"
    shutil.copytree(repository, lender)
    shutil.rmtree(repository / "objects" / "pack")
    (repository / "objects" / "pack").mkdir()
    (repository / "objects" / "info" / "alternates").write_text(f"{lender / 'objects'}\n")
    made = make_clone(RAT, copy, tmp_path / "clone")
    shutil.rmtree(lender)
    assert git_text(made.folder, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    assert git_text(made.folder, "rev-parse", "HEAD") == dataset(store, RAT).written.commits.main


def damage(path):
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)


def packs_of(store, name):
    """The packs of a repository, the largest first."""
    folder = repository_of(store, name) / "objects" / "pack"
    return sorted(folder.glob("*.pack"), key=lambda path: -path.stat().st_size)


def no_looking(*_, **__):
    """Stands for git's way to find out what a pack holds, where it is not to be gone."""
    raise AssertionError


def test_bound_packs_are_taken_as_they_are(store, tmp_path, static_server, monkeypatch):
    """From the web, packs and indexes that are as the release says are not looked through; and nothing else differs."""
    monkeypatch.setattr(bring, "receive_pack", no_looking)
    monkeypatch.setattr(git_clone, "check_complete", no_looking)
    made = make_clone(".", static_server(store), tmp_path / "clone", recursive=True)
    for installed in made.datasets:
        clone = made.folder / installed.path
        assert git_text(clone, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
        assert status_of(clone) == ""
    ours, theirs = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (made.folder / "Rat/.git/objects/pack", repository_of(store, "rat") / "objects" / "pack")
    )
    assert ours == theirs


def swap_index(copy):
    """Another index of the same pack, as an older git writes it."""
    pack = packs_of(copy, "rat")[0]
    git(pack.parent, "index-pack", "--index-version=1", "-o", pack.parent / "other.idx", pack)
    (pack.parent / "other.idx").replace(pack.with_suffix(".idx"))


def drop_list(copy):
    """An index without a list of packs, as stores have that were made before there was one."""
    index = json.loads((copy / "index.json").read_bytes())
    for release in index["releases"]:
        del release["packs"]
    (copy / "index.json").write_text(json.dumps(index))


def repack(copy):
    """All packs made one."""
    git(repository_of(copy, "rat"), "repack", "-ad", "--quiet")


def altered_list(copy):
    """A list that is not the one that the index binds, though it tells the truth."""
    for path in (copy / "releases").glob("*/packs.json"):
        path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("harm", "looks"),
    [
        (swap_index, []),
        (lambda copy: [path.unlink() for path in repository_of(copy, "rat").glob("objects/pack/*.idx")], []),
        (drop_list, [True]),
        (repack, [True]),
        (altered_list, [True]),
        (lambda copy: [path.unlink() for path in (copy / "releases").glob("*/packs.json")], [True]),
    ],
    ids=["other index", "no indexes", "no list", "repacked", "other list", "list gone"],
)
def test_packs_that_are_not_bound(harm, looks, store, tmp_path, static_server, monkeypatch):
    """Wherever the list does not say what is there, git looks at all that comes; where it says it of packs, less far."""
    copy, looked = shutil.copytree(store, tmp_path / "copy"), []

    def check(*arguments, deep):
        looked.append(deep)
        check_complete(*arguments, deep=deep)

    harm(copy)
    check_complete = git_clone.check_complete
    monkeypatch.setattr(git_clone, "check_complete", check)
    made = make_clone(RAT, static_server(copy), tmp_path / "clone")
    assert looked == looks
    assert git_text(made.folder, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    assert git_text(made.folder, "rev-parse", "HEAD") == dataset(store, RAT).written.commits.main


@pytest.fixture
def slow_line(monkeypatch):
    """Every line is slow, from the first bytes on."""
    monkeypatch.setattr(bring, "_TRIAL_BYTES", 50)
    monkeypatch.setattr(bring, "_FAST_BYTES_S", float("inf"))


def test_bound_packs_on_a_slow_line(store, tmp_path, slow_line, monkeypatch):
    """No index is transferred, nor any byte twice: git makes it, and need not look for what may be missing."""
    monkeypatch.setattr(git_clone, "check_complete", no_looking)
    with serve() as web:
        for path in store.rglob("*"):
            if path.is_file():
                web.put(str(path.relative_to(store)), path.read_bytes())
        names = [str(path.relative_to(store)) for path in packs_of(store, "rat")]
        for name in names:
            web.script[name].append(truncate(100))
        made = make_clone(RAT, web.url, tmp_path / "clone")
        asked = {(path, given) for path, given, _ in web.asked if "/objects/pack/" in path}
    assert asked == {(name, given) for name in names for given in (None, "bytes=100-")}
    assert git_text(made.folder, "fsck", "--strict", "--no-dangling", "--no-progress") == ""
    assert status_of(made.folder) == ""


def test_a_damaged_pack_on_a_slow_line(store, tmp_path, static_server, slow_line):
    """It is git that sees it first."""
    copy = shutil.copytree(store, tmp_path / "copy")
    damage(packs_of(copy, "rat")[0])
    with pytest.raises(DamagedPackError):
        make_clone(RAT, static_server(copy), tmp_path / "clone")


def test_other_objects_under_a_bound_name(store, tmp_path, static_server):
    """A sound pack of other objects under the name of a bound one, index and all, is not taken for it."""
    copy = shutil.copytree(store, tmp_path / "copy")
    ours, theirs = packs_of(copy, "rat")[0], packs_of(copy, "mouse")[0]
    for suffix in (".pack", ".idx"):
        theirs.with_suffix(suffix).replace(ours.with_suffix(suffix))
    (tmp_path / "work").mkdir()
    with pytest.raises(BrokenRepositoryError, match="lacks objects that its release needs"):
        make_clone(RAT, static_server(copy), tmp_path / "work" / "clone")
    assert left_behind(tmp_path / "work") == []


def test_bound_packs_that_break_off(store, tmp_path):
    """A connection that breaks in the middle of a pack: it goes on from there, and the whole is what was bound."""
    with serve() as web:
        for path in store.rglob("*"):
            if path.is_file():
                web.put(str(path.relative_to(store)), path.read_bytes())
        pack = str(packs_of(store, "rat")[0].relative_to(store))
        web.script[pack].append(truncate(100))
        made = make_clone(RAT, web.url, tmp_path / "clone")
        asked = [given for path, given, _ in web.asked if path == pack]
    assert asked == [None, "bytes=100-"]
    assert git_text(made.folder, "fsck", "--strict", "--no-dangling", "--no-progress") == ""


@pytest.mark.parametrize("number", [0, 1])
def test_every_pack_is_checked(number, store, tmp_path, static_server):
    """One altered byte in any of the packs, that of the files or that of their logs, is noticed."""
    copy = shutil.copytree(store, tmp_path / "copy")
    damage(packs_of(copy, "rat")[number])
    (tmp_path / "work").mkdir()
    with pytest.raises(DamagedPackError):
        make_clone(RAT, static_server(copy), tmp_path / "work" / "clone", include=("*.swc",), sparse=True)
    assert left_behind(tmp_path / "work") == []


def test_what_is_missing_stops_a_checkout(store, tmp_path):
    """A file whose bytes are gone from the store is told of; nobody gets a clone without it."""
    copy = shutil.copytree(store, tmp_path / "copy")
    repository = repository_of(copy, "rat")
    git(repository, "config", "gc.auto", "0")
    git(repository, "repack", "-adk", "--quiet")
    for pack in packs_of(copy, "rat"):
        data = pack.read_bytes()
        for other in pack.parent.glob(f"{pack.stem}.*"):
            other.unlink()
        git(repository, "unpack-objects", "-q", data=data)
    link = git_text(repository, "rev-parse", f"{dataset(store, RAT).written.commits.main}:cell 1.swc")
    (repository / "objects" / link[:2] / link[2:]).unlink()
    (tmp_path / "work").mkdir()
    with pytest.raises(BrokenRepositoryError, match="lacks objects that its release needs"):
        make_clone(RAT, copy, tmp_path / "work" / "clone")
    assert left_behind(tmp_path / "work") == []


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (damage, DamagedPackError),
        (lambda pack: os.truncate(pack, pack.stat().st_size // 2), DamagedPackError),
        (lambda pack: pack.unlink(), RefusedError),
        (lambda pack: (pack.parents[1] / "info" / "packs").write_text(""), BrokenRepositoryError),
        (lambda pack: (pack.parents[2] / "info" / "refs").unlink(), NotARepositoryError),
    ],
    ids=["altered", "truncated", "gone", "unlisted", "no refs"],
)
def test_damaged_store_on_the_web(harm, error, store, tmp_path, static_server):
    """Packs that are altered, cut off, missing or not listed end in a sentence, and leave nothing behind."""
    copy = shutil.copytree(store, tmp_path / "copy")
    harm(packs_of(copy, "rat")[0])
    (tmp_path / "work").mkdir()
    with pytest.raises(error):
        make_clone(RAT, static_server(copy), tmp_path / "work" / "clone")
    assert left_behind(tmp_path / "work") == []


def test_damaged_store_in_a_folder(store, tmp_path):
    """A store in a folder that lacks the release's objects is told of, and leaves nothing behind."""
    copy = shutil.copytree(store, tmp_path / "copy")
    for pack in packs_of(copy, "rat"):
        pack.unlink()
    (tmp_path / "work").mkdir()
    with pytest.raises(BrokenRepositoryError, match="lacks objects that its release needs"):
        make_clone(RAT, copy, tmp_path / "work" / "clone")
    shutil.rmtree(repository_of(copy, "rat"))
    with pytest.raises(NotARepositoryError, match="found none"):
        make_clone(RAT, copy, tmp_path / "work" / "clone")
    assert left_behind(tmp_path / "work") == []


def test_offline(store, tmp_path, static_server):
    """Offline, a store in a folder can be cloned; one on the web is refused without a request."""
    make_clone(RAT, store, tmp_path / "near", offline=True)
    target = open_target(RAT, store=static_server(store))
    with pytest.raises(OfflineError):
        cloning.clone(target, tmp_path / "far", offline=True)
    assert left_behind(tmp_path) == ["near"]


def test_failure_leaves_nothing(store, tmp_path, monkeypatch):
    """When a subdataset cannot be made, there is no clone at all."""
    copy = shutil.copytree(store, tmp_path / "copy")
    shutil.rmtree(repository_of(copy, "rat.deep.layer"))
    (tmp_path / "work").mkdir()
    with pytest.raises(NotARepositoryError):
        make_clone(".", copy, tmp_path / "work" / "clone", recursive=True)
    assert left_behind(tmp_path / "work") == []


CHILD = """
import sys
from pathlib import Path
from pathlib import Path
from opendata_pkg.readers import cloning
from opendata_pkg.git import clone
from opendata_pkg.targets.opening import open_target

def slow(*arguments, **options):
    print("here", flush=True)
    import time
    time.sleep(60)

clone.check_out = slow
cloning.clone(open_target("Rat", store=sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGINT])
def test_interrupted(with_signal, store, tmp_path):
    """A clone that is killed is not there; what it left is gone after Ctrl-C, or after the next clone to that place."""
    command = [sys.executable, "-c", CHILD, str(store), str(tmp_path / "clone")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"here\n"
        assert not (tmp_path / "clone").exists()
        child.send_signal(with_signal)
        child.wait(20)
    if with_signal == signal.SIGINT:
        assert left_behind(tmp_path) == []
    make_clone(RAT, store, tmp_path / "clone")
    assert left_behind(tmp_path) == ["clone"]


def test_others_at_work_are_left_alone(store, tmp_path):
    """What another clone to the same place is making stays."""
    around = tmp_path / ".clone.opendata-other"
    (around / "clone").mkdir(parents=True)
    with (around / "lock").open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        make_clone(RAT, store, tmp_path / "clone")
        assert around.is_dir()


@pytest.mark.parametrize("way", ["path", "web"])
def test_release_in_between(way, store, tmp_path, static_server):
    """While a steward publishes, refs are ahead of the index: HEAD is the released commit that the index names."""
    copy = shutil.copytree(store, tmp_path / "copy")
    address = copy if way == "path" else static_server(copy)
    target, index = open_target(RAT, store=address), (copy / "index.json").read_bytes()
    publish_contents(copy, "1.2.0", {"Rat/cell 1.swc": "other\n"}, "http://127.0.0.1:9/bucket/")
    (copy / "index.json").write_bytes(index)
    made = cloning.clone(target, tmp_path / "clone", rules=Rules())
    assert git_text(made.folder, "rev-parse", "main") == dataset(store, RAT).written.commits.main
    assert git_text(made.folder, "rev-list", "--count", "main..origin/main") == "1"
