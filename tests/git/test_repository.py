"""Bare repositories, and git run without anything of the user's own."""

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from opendata_pkg.git.objects import FILE, Commit, TreeEntry, hex_id, tag_body, write_tree
from opendata_pkg.git.repository import (
    BrokenRepositoryError,
    GitError,
    Repository,
    call_git,
    git_environment,
)
from opendata_pkg.git.upkeep import refresh_server_info
from tests.core_support import git, git_text

ZERO = "0" * 40


@pytest.fixture
def repository(tmp_path):
    """An empty repository of ours."""
    found = Repository(tmp_path / "r.git")
    found.create()
    return found


def commit_of(repository, files, *, parents=(), time=1):
    """A commit with these files (path → content)."""
    with repository.writer() as writer:
        entries = [TreeEntry(path, FILE, writer.add(b"blob", body)) for path, body in sorted(files.items())]
        tree = write_tree(writer, entries)
        commit = Commit(tree=tree, parents=tuple(map(bytes.fromhex, parents)), time=time, message="m")
        return hex_id(writer.add(b"commit", commit.body()))


def test_it_is_a_bare_repository(repository):
    """As git itself makes one; making it again changes nothing."""
    assert git_text(repository.path, "rev-parse", "--is-bare-repository") == "true"
    assert git_text(repository.path, "symbolic-ref", "HEAD") == "refs/heads/main"
    before = {path: path.stat().st_mtime_ns for path in repository.path.rglob("*") if path.is_file()}
    repository.create()
    assert {path: path.stat().st_mtime_ns for path in repository.path.rglob("*") if path.is_file()} == before
    assert repository.exists()
    assert not Repository(repository.path.parent / "other.git").exists()


def test_refs_are_set_all_or_none(repository):
    """One that cannot be set, and none is."""
    commit = commit_of(repository, {b"a": b"x"})
    repository.update_refs({"refs/heads/main": commit})
    bad = {"refs/heads/other": commit, "refs/heads/broken": "1" * 40, "refs/heads/main": None}
    with pytest.raises(GitError, match="git update-ref failed in "):
        repository.update_refs(bad)
    assert repository.refs() == {"refs/heads/main": commit}


def test_refs_set_without_git_are_seen_by_it(repository):
    """Also where an older value is packed; git can move and delete them then."""
    name = "refs/opendata/draft/main"
    first, second = (commit_of(repository, {b"a": body}) for body in (b"x", b"y"))
    repository.update_refs({name: first})
    git(repository.path, "pack-refs", "--all")
    repository.set_refs({name: second})
    assert (git_text(repository.path, "rev-parse", name), repository.head(name)) == (second, second)
    assert repository.path / name in repository.unsynced(name)
    repository.update_refs({name: None})
    assert repository.refs() == {}


@pytest.mark.parametrize("packed", [False, True])
def test_refs_deleted_without_git_are_gone_for_it(repository, packed):
    """Packed or not; and what a killed writer was about to set is no ref, and is removed."""
    first, second = (commit_of(repository, {b"a": body}) for body in (b"x", b"y"))
    names = "refs/opendata/draft/main", "refs/opendata/draft/git-annex", "refs/heads/main"
    repository.set_refs(dict.fromkeys(names, first))
    (repository.path / "refs" / "opendata" / "draft" / ".main.1.part").write_text("")
    if packed:
        git(repository.path, "pack-refs", "--all")
    repository.remove_leftovers()
    repository.set_refs({names[2]: second})
    repository.delete_refs(*names[:2])
    assert repository.refs() == {names[2]: second}
    assert list((repository.path / "refs" / "opendata" / "draft").glob("*")) == []
    repository.delete_refs(names[2], names[0])
    assert repository.refs() == {}


def test_refs_come_and_go(repository):
    """Set, moved, deleted in one go; deleting what is not there is no error, so that a release can be done again."""
    first = commit_of(repository, {b"a": b"x"})
    second = commit_of(repository, {b"a": b"y"}, parents=[first])
    repository.update_refs({"refs/heads/main": first, "refs/opendata/draft/main": second})
    for _ in range(2):
        repository.update_refs({"refs/heads/main": second, "refs/opendata/draft/main": None})
    assert repository.refs() == {"refs/heads/main": second}


def test_dumb_clients_see_every_change(repository):
    """`info/refs` and `objects/info/packs` are what a static web server hands out: they follow each update."""
    for content in (b"x", b"y"):
        commit = commit_of(repository, {b"a": content})
        repository.update_refs({"refs/heads/main": commit})
        refresh_server_info(repository.path)
        assert (repository.path / "info" / "refs").read_text() == f"{commit}\trefs/heads/main\n"
    packs = (repository.path / "objects" / "info" / "packs").read_text().split()
    assert sorted(packs[1::2]) == sorted(path.name for path in (repository.path / "objects/pack").glob("*.pack"))


def as_git_lists(repository):
    """What git makes of `info/refs`, and which packs it lists."""
    git(repository.path, "update-server-info", "--force")
    return (repository.path / "info" / "refs").read_text(), sorted(
        (repository.path / "objects" / "info" / "packs").read_text().splitlines()
    )


@pytest.mark.parametrize("harm", ["", "pack-refs", "gc", "light", "notes", "part", "nested", "symbolic"])
def test_dumb_clients_see_what_git_would_list(repository, harm):
    """Byte for byte, with drafts, tags and whatever a steward has added to what a release leaves there."""
    refs = {}
    for number in range(12):
        commit = commit_of(repository, {b"a": b"%d" % number})
        tag = repository.write_loose(b"tag", tag_body(commit=commit, name=f"{number}.0.0", time=5))
        refs |= {"refs/heads/main": commit, f"refs/tags/{number}.0.0": tag, "refs/opendata/draft/main": commit}
    repository.set_refs(refs)
    if harm in {"pack-refs", "gc"}:
        git(repository.path, *(("pack-refs", "--all") if harm == "pack-refs" else ("gc", "--quiet")))
    elif harm == "light":
        repository.set_refs({"refs/tags/light": commit, "refs/tags/2.0.0-x": tag})
    elif harm == "notes":
        repository.set_refs({"refs/notes/of-tag": tag})
    elif harm == "nested":
        outer = tag_body(commit=tag, name="outer", time=6).replace(b"type commit", b"type tag")
        repository.set_refs({"refs/tags/outer": repository.write_loose(b"tag", outer)})
    elif harm == "symbolic":
        git(repository.path, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    elif harm == "part":
        (repository.path / "refs" / "tags" / ".1.0.0.x.part").write_text(f"{tag}\n")
    refresh_server_info(repository.path)
    ours = (repository.path / "info" / "refs").read_text()
    packs = sorted((repository.path / "objects" / "info" / "packs").read_text().splitlines())
    assert (ours, packs) == as_git_lists(repository)
    assert len(packs) == (2 if harm == "gc" else 13)


def test_loose_objects(repository):
    """A tag written by itself is read by git, and writing it twice is once."""
    commit = commit_of(repository, {b"a": b"x"})
    body = tag_body(commit=commit, name="1.0.0", time=5)
    tag = repository.write_loose(b"tag", body)
    assert repository.write_loose(b"tag", body) == tag
    repository.update_refs({"refs/tags/1.0.0": tag, "refs/heads/main": commit})
    assert git_text(repository.path, "cat-file", "-t", "1.0.0") == "tag"
    assert git_text(repository.path, "rev-parse", "1.0.0^{commit}") == commit
    assert git_text(repository.path, "fsck", "--strict") == ""
    path = repository.path / "objects" / tag[:2] / tag[2:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_files_of_a_commit(repository):
    """Every file with its content, in the order of paths, whatever bytes are in either."""
    files = {b"a/b": b"", b"a-b": b"two\nlines\n", b"\xff\n": b"\0\r\n", b"c": b"z" * 100_000, b"a/c d": b"missing"}
    commit = commit_of(repository, files)
    assert list(repository.files_of(commit)) == sorted(files.items())
    assert list(repository.files_of(commit_of(repository, {}))) == []
    with repository.reader() as reader:
        assert reader.tree_of(commit).hex() == git_text(repository.path, "rev-parse", f"{commit}^{{tree}}")


def test_many_files_do_not_jam(repository):
    """More names and contents than pipes hold."""
    files = {b"%06d" % number: b"%d" % number * 20 for number in range(30_000)}
    assert dict(repository.files_of(commit_of(repository, files))) == files


def commands_of_children():
    """The commands of this process's children that run; `ps` is not on every machine."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # "PID (NAME) STATE PPID …", and a name may hold anything.
            parent = (process / "stat").read_bytes().rpartition(b")")[2].split()[1]
            if int(parent) == os.getpid():
                commands.append((process / "cmdline").read_bytes())
    return commands


def test_what_is_read_in_part_is_ended(repository):
    """A reader that stops early leaves no process behind."""
    commit = commit_of(repository, {b"%d" % number: b"x" * 10_000 for number in range(500)})
    files = repository.files_of(commit)
    next(files)
    assert [words for words in commands_of_children() if b"cat-file" in words]
    files.close()
    assert [words for words in commands_of_children() if b"cat-file" in words] == []


def test_a_missing_object_is_named(repository):
    """A sentence with the object and what to do, not a wrong tree."""
    says = rf"lacks the object {'1' * 40}, or it is damaged: check it with git fsck"
    with repository.reader() as reader, pytest.raises(BrokenRepositoryError, match=says):
        list(reader.read([b"\x11" * 20]))


def test_a_damaged_pack_is_a_sentence(repository):
    """Bytes that went bad on disk are told as such, however far git got."""
    commit = commit_of(repository, {b"%03d" % number: os.urandom(2000) for number in range(50)})
    (pack,) = (repository.path / "objects" / "pack").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[40_000:40_400] = bytes(400)
    pack.chmod(0o644)
    pack.write_bytes(data)
    with pytest.raises(BrokenRepositoryError, match=r"check it with git fsck"):
        list(repository.files_of(commit))


def test_git_says_what_went_wrong(tmp_path):
    """Git's own words, with the command and the folder."""
    with pytest.raises(GitError, match=r"git rev-parse failed in .*exit status 128\): fatal: not a git repository"):
        call_git("rev-parse", "HEAD", cwd=tmp_path)


def test_no_git_is_a_sentence(tmp_path, monkeypatch):
    """Without git on PATH: which one to install."""
    git_environment.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"expected git on PATH, found none: install git"):
        call_git("version", cwd=tmp_path)
    git_environment.cache_clear()


HOSTILE = """\
[user]
\tname = Mallory
\temail = mallory@example.org
\tsigningkey = nobody
[commit]
\tgpgsign = true
[tag]
\tgpgsign = true
\tforceSignAnnotated = true
[init]
\tdefaultBranch = trunk
[core]
\tautocrlf = true
\tquotepath = true
\thooksPath = /nowhere
\tcompression = 9
\tlogAllRefUpdates = always
\tfsmonitor = false
[log]
\tshowSignature = true
[transfer]
\tfsckObjects = true
[i18n]
\tcommitEncoding = latin1
[alias]
\tls-tree = !false
"""


def test_nothing_of_the_users_settings_counts(tmp_path):
    """Signing, line ends, default branch, reflogs, aliases: the same repository, ref by ref and file by file."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.git.test_repository import commit_of\n"
        "from opendata_pkg.git.repository import Repository\n"
        "repository = Repository(Path(sys.argv[1])); repository.create()\n"
        "first = commit_of(repository, {b'a': b'1\\r\\n', b'\\xc3\\xa9': b'2'})\n"
        "repository.update_refs({'refs/heads/main': first})\n"
        "second = commit_of(repository, {b'a': b'3'}, parents=[first])\n"
        "repository.update_refs({'refs/heads/main': second, 'refs/tags/x': first})\n"
        "assert len(list(repository.files_of(first))) == 2\n"
    )
    config = tmp_path / "hostile"
    config.write_text(HOSTILE)
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    for path in (home / ".gitconfig", home / ".config" / "git" / "config"):
        path.write_text(HOSTILE)
    plain = dict(os.environ)
    hostile = plain | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_SYSTEM": str(config),
        "GIT_CONFIG_NOSYSTEM": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_AUTHOR_DATE": "1999-01-01T00:00:00Z",
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_TRACE": "1",
        "GIT_DEFAULT_HASH": "sha256",
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "objects"),
    }
    found = []
    for name, environment in (("plain", plain), ("hostile", hostile)):
        folder = tmp_path / f"{name}.git"
        subprocess.run(
            [sys.executable, "-c", script, folder],
            check=True,
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
        )
        found.append({str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert found[0] == found[1]


def test_a_store_of_another_user_is_no_trouble(repository):
    """Git's check of who owns a repository is off for our own calls, and for nothing else."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    commit = commit_of(repository, {b"a": b"x"})
    for path in [repository.path, *repository.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    repository.update_refs({"refs/heads/main": commit})
    assert repository.refs() == {"refs/heads/main": commit}
    config = Path(git_environment()["GIT_CONFIG_GLOBAL"])
    assert config.read_text() == "[safe]\n\tdirectory = *\n"


def test_hex_ids_are_text():
    """Twenty bytes as forty digits."""
    assert hex_id(bytes(20)) == ZERO


def test_git_is_called_with_bytes(repository):
    """What is handed to git reaches it as it is."""
    assert (
        call_git("hash-object", "--stdin", cwd=repository.path, data=b"x\r\n").decode().strip()
        == git(repository.path, "hash-object", "--stdin", data=b"x\r\n").decode().strip()
    )
