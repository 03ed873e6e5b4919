"""Clones verified: what git-annex put there, in every shape that it has, against what `git annex fsck` says of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from opendata_pkg import annex
from opendata_pkg.digests.findings import Status
from opendata_pkg.model import InputError
from opendata_pkg.verification.clone import is_clone, verify_clone
from opendata_pkg.verification.store import verify_store
from opendata_pkg.verification.verifying import verify
from tests.core_support import link_of

pytestmark = pytest.mark.usefixtures("git_identity")

BACKENDS = (
    "SHA256E",
    "SHA256",
    "MD5E",
    "SHA1",
    "SHA224E",
    "SHA384",
    "SHA512E",
    "SHA3_256E",
    "BLAKE2B512E",
    "BLAKE2S256",
)
SECURITY = "annex.security.allowed-ip-addresses"


def told(result):
    """The findings as (status, path) pairs."""
    return [(finding.status.value, finding.path) for finding in result.findings]


def state_of(folder):
    """Everything that writing to a folder would change, git's own files too."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_ino)
        for path in [folder, *folder.rglob("*")]
    }


def content_of(clone, path):
    """The file behind an annexed file's symlink, made writable."""
    content = (clone / path).resolve()
    content.parent.chmod(0o755)
    content.chmod(0o644)
    return content


@pytest.fixture(scope="module")
def pristine(tool, identity, tmp_path_factory):
    """A repository with a file of each backend, one in a folder, one with an odd name, and two plain ones."""
    folder = tmp_path_factory.mktemp("pristine") / "clone"
    folder.mkdir()

    def run(*words):
        tool(*words, cwd=folder, env=identity)

    run("git", "init", "--quiet", "--initial-branch=main")
    run("git", "annex", "init", "--quiet")
    for backend in BACKENDS:
        (folder / f"{backend}.tar.gz").write_text(f"content of {backend}")
        run("git", "annex", "add", "--quiet", f"--backend={backend}", f"{backend}.tar.gz")
    (folder / "sub").mkdir()
    for path in ("sub/größe &%:x.swc", "twin", "twin too"):
        (folder / path).write_text("the same in three" if "twin" in path else path)
    run("git", "annex", "add", "--quiet", "sub", "twin", "twin too")
    (folder / "note.txt").write_text("in git")
    (folder / "link").symlink_to("note.txt")
    run("git", "add", "note.txt", "link")
    run("git", "commit", "--quiet", "-m", "x")
    return folder


@pytest.fixture
def clone(pristine, tool, tmp_path):
    """A copy of it to harm."""
    copy = Path(shutil.copytree(pristine, tmp_path / "clone", symlinks=True))
    # Its index has the times and inodes of the other.
    tool("git", "update-index", "-q", "--refresh", cwd=copy)
    return copy


def test_every_backend_that_hashes_is_verified(clone):
    """Each file by the digest in its key; what git keeps itself is git's; nothing is written, not even to `.git`."""
    before = state_of(clone)
    result = verify(clone)
    assert told(result) == []
    assert result.counts == {Status.OK: len(BACKENDS) + 3}
    assert result.against == "the keys of its files"
    assert state_of(clone) == before


def test_keys_without_a_digest_are_told_so(clone, tool):
    """WORM and URL keys bind a size at best."""
    (clone / "worm").write_text("1234")
    tool("git", "annex", "add", "--quiet", "--backend=WORM", "worm", cwd=clone)
    result = verify_clone(clone)
    assert told(result) == [("unverifiable", "worm")]
    assert result.findings[0].note == "its key (WORM) holds no digest; it has the recorded size"
    content_of(clone, "worm").write_text("12345")
    assert told(verify_clone(clone)) == [("changed", "worm")]


def test_spoiled_content_is_found_as_git_annex_finds_it(clone, tool):
    """The same size, other bytes; both names of one content; git-annex fsck names the same files."""
    wrong = ["MD5E.tar.gz", "SHA3_256E.tar.gz", "sub/größe &%:x.swc", "twin"]
    for path in wrong:
        content = content_of(clone, path)
        content.write_bytes(content.read_bytes().swapcase())
    result = verify_clone(clone)
    assert told(result) == [("changed", path) for path in sorted([*wrong, "twin too"], key=str.encode)]
    said = tool("git", "annex", "fsck", "--json", cwd=clone, status=1)
    failed = {entry["file"] for entry in map(json.loads, said.splitlines()) if not entry["success"]}
    # It moves a content that is spoiled away, so that the second name of one is only missing then.
    assert failed | {"twin", "twin too"} == {finding.path for finding in result.findings}


def test_fast_looks_at_sizes_only_and_says_so(clone):
    """Spoiled bytes of the right size pass; another size does not."""
    content = content_of(clone, "MD5E.tar.gz")
    content.write_bytes(content.read_bytes().swapcase())
    content_of(clone, "SHA1.tar.gz").write_text("short")
    result = verify_clone(clone, fast=True)
    assert told(result) == [("changed", "SHA1.tar.gz")]
    assert result.read_bytes == 0
    assert "by size alone" in result.notes[0]


def test_content_that_is_not_here_is_no_fault(clone, tool):
    """Dropped contents are counted, locked and unlocked; git-annex counts as many."""
    tool("git", "annex", "unlock", "--quiet", "SHA1.tar.gz", cwd=clone)
    tool("git", "annex", "drop", "--quiet", "--force", "SHA1.tar.gz", "SHA256E.tar.gz", "twin", cwd=clone)
    assert (clone / "SHA1.tar.gz").read_text().startswith("/annex/objects/")
    result = verify_clone(clone)
    assert result.ok
    here = tool("git", "annex", "find", "--in=here", cwd=clone).splitlines()
    absent = tool("git", "annex", "find", "--not", "--in=here", cwd=clone).splitlines()
    assert result.counts == {Status.OK: len(here), Status.ABSENT: len(absent)}
    assert len(absent) == 4


def test_unlocked_files_and_what_people_do_to_them(clone, tool):
    """Content in the working tree is checked there: as it is, changed, deleted, its link replaced."""
    tool("git", "annex", "unlock", "--quiet", ".", cwd=clone)
    assert verify_clone(clone).counts == {Status.OK: len(BACKENDS) + 3}
    (clone / "SHA1.tar.gz").write_text("changed by hand")
    (clone / "twin").unlink()
    (clone / "twin too").unlink()
    (clone / "twin too").symlink_to("nothing")
    result = verify_clone(clone)
    assert told(result) == [("changed", "SHA1.tar.gz"), ("missing", "twin"), ("missing", "twin too")]
    assert "git checkout brings it back" in result.findings[1].note


def test_an_adjusted_branch_is_verified(clone, tool):
    """As crippled file systems have it: all unlocked, in a git branch of its own."""
    tool("git", "annex", "adjust", "--quiet", "--unlock", cwd=clone)
    assert verify_clone(clone).counts == {Status.OK: len(BACKENDS) + 3}


def test_a_sparse_clone_counts_what_is_here(clone, tool):
    """What is not checked out is checked in the annex, if its content is there."""
    tool("git", "sparse-checkout", "set", "--no-cone", "sub/", cwd=clone)
    assert not (clone / "twin").is_symlink()
    result = verify_clone(clone)
    assert result.counts == {Status.OK: len(BACKENDS) + 3}
    (key,) = {path for path in (clone / ".git/annex/objects").rglob("SHA1-*") if path.is_file()}
    key.parent.chmod(0o755)
    key.unlink()
    assert verify_clone(clone).counts == {Status.OK: len(BACKENDS) + 2, Status.ABSENT: 1}


def test_installed_subdatasets_are_verified_with_it(clone, tool, tmp_path):
    """Those two levels down too; those that are not installed are counted, and told of."""
    for name in ("inner", "other"):
        source = tmp_path / name
        tool("git", "init", "--quiet", source, cwd=tmp_path)
        tool("git", "annex", "init", "--quiet", cwd=source)
        (source / "deep.swc").write_text(f"deep in {name}")
        tool("git", "annex", "add", "--quiet", "deep.swc", cwd=source)
        tool("git", "commit", "--quiet", "-m", "x", cwd=source)
        tool("git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, f"sub/{name}", cwd=clone)
    tool("git", "commit", "--quiet", "-m", "submodules", cwd=clone)
    below = clone / "sub" / "inner"
    tool("git", "annex", "init", "--quiet", cwd=below)
    tool("git", "annex", "get", "--quiet", "deep.swc", cwd=below)
    tool("git", "submodule", "--quiet", "deinit", "--force", "sub/other", cwd=clone)
    result = verify_clone(clone)
    assert result.counts == {Status.OK: len(BACKENDS) + 4}
    assert result.notes == ("subdatasets that are not installed, and were not looked into: 1",)
    content_of(below, "deep.swc").write_text("DEEP IN INNER"[:13])
    assert told(verify_clone(clone)) == [("changed", "sub/inner/deep.swc")]


def test_what_is_a_clone(clone, tool, tmp_path):
    """The top of a repository that git-annex has a part in; no folder in one, no plain repository, no broken `.git`."""
    assert is_clone(clone)
    assert not is_clone(clone / "sub")
    plain = tmp_path / "plain"
    tool("git", "init", "--quiet", plain, cwd=tmp_path)
    assert not is_clone(plain)
    (tmp_path / "broken" / ".git").mkdir(parents=True)
    assert not is_clone(tmp_path / "broken")
    (clone / "sub" / ".git").mkdir()
    assert not is_clone(clone / "sub")
    with pytest.raises(InputError, match="expected the top of a clone"):
        verify_clone(clone / "sub")


def test_a_clone_that_git_would_refuse_is_read(clone, tool, monkeypatch):
    """Somebody else's folder, a setting that would run a program, a variable that points elsewhere: none matters."""
    tool("git", "config", "core.fsmonitor", "touch /nonexistent/fsmonitor; false", cwd=clone)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    if os.getuid() == 0:
        for path in [clone, clone / ".git"]:
            os.chown(path, 65534, 65534)
    assert verify_clone(clone).counts == {Status.OK: len(BACKENDS) + 3}


def test_keys_are_read_as_git_annex_writes_them(clone, tool):
    """From symlinks and pointers back to the very key, odd characters and all; its size and digest out of it."""
    for path in tool("git", "annex", "find", "--print0", cwd=clone).split("\0")[:-1]:
        key = tool("git", "annex", "lookupkey", "--", path, cwd=clone).removesuffix("\n")
        target = os.fsencode((clone / path).readlink())
        assert annex.key_of_link(target) == key
        assert target.endswith(annex.object_paths(key)[0].encode())
        facts = annex.read_key(key)
        assert facts.size_bytes == (clone / path).stat().st_size
        assert facts.digest.partition(":")[2] in key


@pytest.mark.parametrize("key", ["URL-s5-m1--http&c%%x", "WORM-s3-m1--a/b:c%d&e", "SHA256E-s1--x&y.%z"])
def test_any_key_comes_back_from_its_symlink(key):
    """Whatever characters are in it."""
    assert annex.key_of_link(link_of(key, "a/b/c/d").encode()) == key


def test_what_binds_no_content():
    """Keys of other backends, chunks, and texts that are no keys; links that are nobody's annex."""
    url = annex.read_key("URL-s5-m1700000000--http&c%x")
    assert (url.size_bytes, url.digest, url.is_known) == (5, None, True)
    short = annex.read_key("SHA256E--0123")
    assert (short.size_bytes, short.digest, short.is_known) == (None, None, False)
    with pytest.raises(InputError, match="expected a git-annex key"):
        annex.read_key("nonsense")
    assert annex.key_of_link(b"../elsewhere/file") is None
    assert annex.key_of_pointer(b"/annex/objects/") is None


@pytest.mark.s3
def test_a_clone_of_a_published_store(published, tool, tmp_path):
    """Cloned and got by DataLad: before, nothing is here; afterwards, all is as released; the store is, too."""
    tool("datalad", "clone", published.repository(), "clone", cwd=tmp_path)
    tool("datalad", "get", "-n", "-r", ".", cwd=tmp_path / "clone")
    clone = tmp_path / "clone"
    before = verify(clone)
    files = sum(entry["files"] for entry in published.datasets("2026.1.1").values())
    assert before.counts == {Status.ABSENT: files}
    for folder, folders, names in os.walk(clone):
        if ".git" in (*folders, *names):
            tool("git", "config", SECURITY, "127.0.0.1", cwd=folder)
    tool("datalad", "get", "-r", ".", cwd=clone)
    after = verify(clone)
    assert after.counts == {Status.OK: files}
    assert after.size_bytes == sum(
        len(body) for key, body in published.second.items() if not key.startswith("staging/")
    )
    assert verify_store(published.store).ok
