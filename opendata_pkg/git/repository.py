"""Bare repositories of a store, and the one way in which this package runs git.

Bulk writing goes through `opendata_pkg.git.pack`. Refs that are files are set as files, and what stands whole in packs
is read from them; all else git does, which knows packed refs, deltas and what a steward's own `git gc` made of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import zlib
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from opendata_pkg.files import write_bytes, write_text
from opendata_pkg.git.objects import hex_id, object_id
from opendata_pkg.git.pack import PackWriter
from opendata_pkg.git.packs import Packs
from opendata_pkg.model import InputError, ObjectId, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class GitError(SourceError):
    """git failed at something that it should be able to do; carries what it said."""


class BrokenRepositoryError(InputError):
    """A repository lacks an object that its refs need."""


_LOOSE_REF = re.compile(r"[0-9a-f]{40}\n")
_PACKED_REF = re.compile(r"^([0-9a-f]{40}) (.+)$", re.MULTILINE)
# A loose object is "<type> SP <size> NUL <content>", compressed.
_TAG_OF_COMMIT = re.compile(rb"tag [0-9]+\0object ([0-9a-f]{40})\ntype commit\n")
# What a writer that is killed leaves behind: packs, and whatever else it was about to give its name.
_LEFTOVERS = "objects/pack/tmp_*", "objects/*/.*.part", "refs/*/.*.part", "refs/*/*/.*.part", "info/.*.part", ".*.part"
# So many names of objects fit into a pipe (64 KiB on Linux, 16 on old macOS) while git is busy with what it says.
_IDS_AT_ONCE = 256
_BLOCK_BYTES = 1 << 20

# A bare repository as `git init --bare` makes it, less templates and whatever the user's own settings would add.
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


@cache
def git_environment() -> dict[str, str]:
    """The environment of our git calls: nothing of the user's own settings, and any owner of the store.

    git refuses a repository that another user owns. `-c safe.directory` and GIT_CONFIG_COUNT do not help there, by
    design; a file named by GIT_CONFIG_GLOBAL does (docs/how-to/read-with-stock-tools.md).
    """
    handle, name = tempfile.mkstemp(prefix="opendata-gitconfig-")
    with os.fdopen(handle, "w") as stream:
        stream.write("[safe]\n\tdirectory = *\n")
    import atexit  # noqa: PLC0415 - only where git is run at all

    atexit.register(Path(name).unlink, missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": name, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return environment


def call_git(*arguments: str, cwd: Path, data: bytes = b"", environment: Mapping[str, str] | None = None) -> bytes:
    """Run git in `cwd` and return its stdout; in `git_environment()` unless another one is given.

    Raises:
        BrokenRepositoryError: there is no such folder.
        GitError: git is not installed, or failed; carries its stderr.
    """
    if not cwd.is_dir():
        raise no_repository(cwd)
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            input=data,
            capture_output=True,
            check=False,
            env=git_environment() if environment is None else environment,
        )
    except FileNotFoundError as error:
        raise GitError("expected git on PATH, found none: install git 2.30 or later") from error
    if done.returncode != 0:
        raise _failure(arguments[0], cwd, done.returncode, done.stderr)
    return done.stdout


def git_blocks(
    *arguments: str, cwd: Path, data: bytes = b"", environment: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """What `call_git` returns, as it comes: in blocks, so that it is worked on while git goes on.

    Raises:
        GitError: git failed, said after the last block; carries its stderr.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(data)
        given.seek(0)
        command = ["git", *arguments]
        with _running(command, cwd=cwd, stdin=given.fileno(), stderr=said.fileno(), environment=environment) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            while block := process.stdout.read(_BLOCK_BYTES):
                yield block
            status = process.wait()
        if status != 0:
            said.seek(0)
            raise _failure(arguments[0], cwd, status, said.read())


def _failure(command: str, cwd: Path, status: int, said: bytes) -> GitError:
    return GitError(f"git {command} failed in {cwd} (exit status {status}): {said.decode(errors='replace').strip()}")


class Repository:
    """One bare repository at `path`."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched until a method needs it."""
        self.path = path

    def create(self) -> None:
        """Make it where it is not there yet, its HEAD naming `main`; `unsynced` files are yet to be synced."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        if not (self.path / "config").exists():
            write_text(self.path / "config", _CONFIG, sync=False)
        if not (self.path / "HEAD").exists():
            write_text(self.path / "HEAD", "ref: refs/heads/main\n", sync=False)

    def remove_leftovers(self) -> None:
        """Remove what a killed writer left behind; the caller holds the store's lock, and none is at work."""
        for names in _LEFTOVERS:
            for stale in self.path.glob(names):
                stale.unlink()

    def unsynced(self, *refs: str) -> list[Path]:
        """The files that `create`, and `set_refs` of these refs, have written."""
        return [path for name in ("config", "HEAD", *refs) if (path := self.path / name).exists()]

    def exists(self) -> bool:
        """Whether there is a repository."""
        return (self.path / "HEAD").is_file()

    def writer(self, *, publish: bool = True) -> PackWriter:
        """A writer of one new pack; `publish` as it says."""
        return PackWriter(self.path / "objects" / "pack", publish=publish)

    def loose_object(self, kind: bytes, body: bytes) -> tuple[ObjectId, dict[Path, bytes]]:
        """The id of an object, and the file that it is to be; no file if there is one."""
        name = hex_id(object_id(kind, body))
        path = self.path / "objects" / name[:2] / name[2:]
        return name, {} if path.exists() else {path: zlib.compress(b"%s %d\0" % (kind, len(body)) + body)}

    def write_loose(self, kind: bytes, body: bytes) -> ObjectId:
        """Write one object as a file of its own: for the few that come one at a time, such as tags."""
        name, files = self.loose_object(kind, body)
        for path, data in files.items():
            write_bytes(path, data)
            path.chmod(0o444)
        return name

    def tagged_commit(self, tag: ObjectId) -> ObjectId | None:
        """The commit of an annotated tag that is a file of its own, as `write_loose` writes it; None: git may know.

        git-cat-file(1) shows the format: a tag begins with "object <id> LF type <type> LF".
        """
        try:
            content = zlib.decompress((self.path / "objects" / tag[:2] / tag[2:]).read_bytes())
        except (FileNotFoundError, zlib.error):
            return None
        match = _TAG_OF_COMMIT.match(content)
        return None if match is None else ObjectId(match[1].decode())

    def refs(self) -> dict[str, ObjectId]:
        """Every ref and the object it names."""
        lines = call_git("for-each-ref", "--format=%(refname) %(objectname)", cwd=self.path).decode().splitlines()
        return {name: ObjectId(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def head(self, name: str) -> ObjectId | None:
        """Where a ref is.

        gitrepository-layout(5): a ref is a file with an object's name, or in packed-refs. What is none, git may know.
        """
        try:
            text = (self.path / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self.refs().get(name) if (self.path / "reftable").exists() else self._packed_refs().get(name)
        return ObjectId(text[:40]) if _LOOSE_REF.fullmatch(text) else self.refs().get(name)

    def _packed_refs(self) -> dict[str, ObjectId]:
        """What `git pack-refs` has put together: lines "<id> SP <ref>"; others say more of the one before."""
        try:
            text = (self.path / "packed-refs").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        return {name: ObjectId(value) for value, name in _PACKED_REF.findall(text)}

    def has_loose_refs_only(self) -> bool:
        """Whether all refs are files of their own, as they are until somebody runs `git gc` or `git refs migrate`."""
        return not (self.path / "packed-refs").exists() and not (self.path / "reftable").exists()

    def set_refs(self, values: Mapping[str, ObjectId]) -> None:
        """Set refs that only the holder of the store's lock sets, one by one; `unsynced` files are yet to be synced.

        To start git takes longer.
        """
        if (files := self.ref_files(values)) is None:
            self.update_refs(values)
            return
        for path, data in files.items():
            write_bytes(path, data, sync=False)

    def ref_files(self, values: Mapping[str, ObjectId]) -> dict[Path, bytes] | None:
        """The files that set refs; None where refs are no files.

        gitrepository-layout(5): a file in `refs/` is looked at before packed-refs.
        """
        if (self.path / "reftable").exists():
            return None
        return {self.path / name: f"{value}\n".encode() for name, value in values.items()}

    def delete_refs(self, *names: str) -> None:
        """Delete refs that only the holder of the store's lock sets, as far as they are there."""
        if (self.path / "reftable").exists() or not self._packed_refs().keys().isdisjoint(names):
            self.update_refs(dict.fromkeys(names))
            return
        for path in filter(Path.exists, map(self.path.joinpath, names)):
            path.unlink()

    def update_refs(self, changes: Mapping[str, ObjectId | None]) -> None:
        """Set or delete (None) refs, all or none."""
        commands = [
            f"delete {name}\0\0" if value is None else f"update {name}\0{value}\0\0" for name, value in changes.items()
        ]
        call_git("update-ref", "-z", "--stdin", cwd=self.path, data="".join(commands).encode())

    def faults(self) -> tuple[str, ...]:
        """What `git fsck --strict` finds wrong, a line each: every object is read and hashed, every link followed."""
        command = ["git", "fsck", "--strict", "--no-dangling", "--no-progress"]
        done = subprocess.run(command, cwd=self.path, capture_output=True, check=False, env=git_environment())
        if done.returncode == 0:
            return ()
        said = (done.stderr + done.stdout).decode(errors="replace").splitlines()
        return tuple(said) or (f"git fsck ended with {done.returncode} and said nothing",)

    def files_of(self, commit: ObjectId) -> Iterator[tuple[bytes, bytes]]:
        """(path, content) of every file in a commit's tree, in path order, streamed."""
        listing = call_git("ls-tree", "-r", "-z", "--full-tree", commit, cwd=self.path)
        entries = [line.split(b"\t", 1) for line in listing.split(b"\0") if line]
        ids = [meta.split(b" ")[2] for meta, _ in entries]
        for (_, path), body in zip(entries, self.read_objects(ids), strict=True):
            yield path, body

    def read_objects(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """The bodies of objects named by hex ids, in order, through one `git cat-file`.

        Raises:
            BrokenRepositoryError: one is not there, or damaged.
        """
        for name, body in self.find_objects(ids):
            if body is None:
                raise _broken(self.path, name)
            yield body

    def find_objects(self, names: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """(name, body) of objects by any names that git knows, such as `main:README.md`, in order; None: not there."""
        wanted = list(names)
        with tempfile.TemporaryFile() as listed:
            listed.write(b"".join(name + b"\n" for name in wanted))
            listed.seek(0)
            with _running(["git", "cat-file", "--batch", "--buffer"], cwd=self.path, stdin=listed.fileno()) as process:
                assert process.stdout is not None  # noqa: S101 - for the type checker
                for name in wanted:
                    yield name, _next_object(process.stdout, name)

    @contextmanager
    def reader(self) -> Iterator[ObjectReader]:
        """A reader of objects by id, one run of them after another, that ends with the block."""
        reader = ObjectReader(self.path)
        try:
            yield reader
        finally:
            reader.close()


class ObjectReader:
    """Reads objects: what stands whole in packs from there, all else through a running `git cat-file --batch`."""

    def __init__(self, path: Path) -> None:
        """No process is started until git is needed."""
        self._path = path
        self._packs = Packs(path / "objects" / "pack")
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """The bodies of objects of 20-byte ids, in order; to be read to the end before more is.

        Raises:
            BrokenRepositoryError: one is not there, or damaged.
        """
        wanted = list(ids)
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            some = wanted[start : start + _IDS_AT_ONCE]
            found = list(map(self._packs.read, some))
            if None in found:
                others = self._ask([raw_id for raw_id, body in zip(some, found, strict=True) if body is None])
                yield from (next(others) if body is None else body for body in found)
            else:
                yield from found  # type: ignore[misc]

    def tree_of(self, commit: ObjectId) -> bytes:
        """The 20-byte id of a commit's tree: "tree SP <id> LF" is what a commit begins with."""
        (body,) = self.read([bytes.fromhex(commit)])
        return bytes.fromhex(body[5:45].decode())

    def close(self) -> None:
        """End what was started."""
        self._packs.close()
        if self._process is not None:
            self._process.kill()
            # Waits for it, and closes the pipes.
            self._process.__exit__(None, None, None)

    def _ask(self, ids: Sequence[bytes]) -> Iterator[bytes]:
        """What git says of a few objects."""
        if self._process is None:
            command = ["git", "cat-file", "--batch"]
            self._process = subprocess.Popen(
                command, cwd=self._path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=git_environment()
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - for the type checker
        assert stdout is not None  # noqa: S101 - for the type checker
        names = [raw_id.hex().encode() for raw_id in ids]
        # It ends at an object that is damaged: told when that is read.
        with suppress(BrokenPipeError):
            os.write(stdin.fileno(), b"".join(name + b"\n" for name in names))
        for name in names:
            if (body := _next_object(stdout, name)) is None:
                raise _broken(self._path, name)
            yield body


def _next_object(stream: IO[bytes], name: bytes) -> bytes | None:
    """The next object that a `git cat-file --batch` says, the one of that name; None if it is not there, or damaged."""
    # "<object> SP <type> SP <size> LF <contents> LF", or "<object> SP missing LF"; or nothing more, where git met an
    # object that is damaged.
    line = stream.readline()
    if not line or line == name + b" missing\n":
        return None
    size_bytes = int(line.rpartition(b" ")[2])
    body = stream.read(size_bytes + 1)
    return body[:-1] if len(body) == size_bytes + 1 else None


def no_repository(path: Path) -> BrokenRepositoryError:
    """The error of a repository that is not there."""
    return BrokenRepositoryError(f"expected a repository at {path}, found none: restore the store from a copy")


def _broken(path: Path, name: bytes) -> BrokenRepositoryError:
    return BrokenRepositoryError(
        f"{path} lacks the object {name.decode()}, or it is damaged: check it with git fsck, "
        "and restore the store from a copy"
    )


@contextmanager
def _running(
    command: list[str],
    *,
    cwd: Path,
    stdin: int,
    stderr: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose stdout is read, and which is gone when the block ends, however it ends."""
    used = git_environment() if environment is None else environment
    with subprocess.Popen(command, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=used) as process:
        try:
            yield process
        finally:
            process.kill()
