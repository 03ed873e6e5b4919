"""Bare repositories of a store, and the one way in which this package runs git.

Bulk writing goes through `opendata_pkg.git.pack`; refs and reading through git itself, which knows packed refs, deltas
and whatever a steward's own `git gc` made of them.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zlib
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.files import write_bytes, write_text
from opendata_pkg.git.objects import hex_id, object_id
from opendata_pkg.git.pack import PackWriter
from opendata_pkg.model import InputError, ObjectId, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class GitError(SourceError):
    """git failed at something that it should be able to do; carries what it said."""


class ForeignCommitError(InputError):
    """A published branch was moved by somebody else."""


class BrokenRepositoryError(InputError):
    """A repository lacks an object that its refs need."""


Heads = tuple[ObjectId | None, ObjectId | None]
"""Where `main` and `git-annex` of a repository are; None: nowhere yet."""

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
        raise BrokenRepositoryError(f"expected a repository at {cwd}, found none: restore the store from a copy")
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
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git {arguments[0]} failed in {cwd} (exit status {done.returncode}): {said}")
    return done.stdout


class Repository:
    """One bare repository at `path`."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched until a method needs it."""
        self.path = path

    def create(self) -> None:
        """Make it where it is not there yet; its HEAD names `main`."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        if not (self.path / "config").exists():
            write_text(self.path / "config", _CONFIG)
        if not (self.path / "HEAD").exists():
            write_text(self.path / "HEAD", "ref: refs/heads/main\n")

    def exists(self) -> bool:
        """Whether there is a repository."""
        return (self.path / "HEAD").is_file()

    def writer(self) -> PackWriter:
        """A writer of one new pack; what a killed writer left behind is removed: the caller holds the store's lock."""
        folder = self.path / "objects" / "pack"
        for stale in folder.glob("tmp_*"):
            stale.unlink()
        return PackWriter(folder)

    def write_loose(self, kind: bytes, body: bytes) -> ObjectId:
        """Write one object as a file of its own: for the few that come one at a time, such as tags."""
        name = hex_id(object_id(kind, body))
        path = self.path / "objects" / name[:2] / name[2:]
        if not path.exists():
            write_bytes(path, zlib.compress(b"%s %d\0" % (kind, len(body)) + body))
            path.chmod(0o444)
        return name

    def refs(self) -> dict[str, ObjectId]:
        """Every ref and the object it names."""
        lines = call_git("for-each-ref", "--format=%(refname) %(objectname)", cwd=self.path).decode().splitlines()
        return {name: ObjectId(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def update_refs(self, changes: Mapping[str, ObjectId | None]) -> None:
        """Set or delete (None) refs, all or none."""
        commands = [
            f"delete {name}\0\0" if value is None else f"update {name}\0{value}\0\0" for name, value in changes.items()
        ]
        call_git("update-ref", "-z", "--stdin", cwd=self.path, data="".join(commands).encode())

    def refresh_server_info(self) -> None:
        """Refresh the two files in which clients over dumb HTTP read what refs and packs there are."""
        call_git("update-server-info", cwd=self.path)

    def check_heads(self, released: Heads, *also: Heads) -> None:
        """Check that the published branches stand where the last release left them, or at one of the other places.

        Raises:
            ForeignCommitError: somebody else has moved them; their work is left as it is.
        """
        refs = self.refs()
        heads = refs.get("refs/heads/main"), refs.get("refs/heads/git-annex")
        if heads == released or heads in also:
            return
        for name, expected, found in zip(("main", "git-annex"), released, heads, strict=True):
            if found != expected:
                raise ForeignCommitError(
                    f"expected refs/heads/{name} of {self.path} at {expected or 'no commit'}, as last released, got "
                    f"{found or 'none'}: somebody has written to the store; "
                    "move their work to another repository and set the ref back"
                )

    def faults(self) -> tuple[str, ...]:
        """What `git fsck --strict` finds wrong, a line each: every object is read and hashed, every link followed."""
        command = ["git", "fsck", "--strict", "--no-dangling", "--no-progress"]
        done = subprocess.run(command, cwd=self.path, capture_output=True, check=False, env=git_environment())
        if done.returncode == 0:
            return ()
        said = (done.stderr + done.stdout).decode(errors="replace").splitlines()
        return tuple(said) or (f"git fsck ended with {done.returncode} and said nothing",)

    def tree_of(self, commit: ObjectId) -> ObjectId:
        """The tree of a commit."""
        return ObjectId(call_git("rev-parse", "--verify", f"{commit}^{{tree}}", cwd=self.path).decode().strip())

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
                raise BrokenRepositoryError(
                    f"{self.path} lacks the object {name.decode()}, or it is damaged: check it with git fsck, "
                    "and restore the store from a copy"
                )
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
                    # "<object> SP <type> SP <size> LF <contents> LF", or "<object> SP missing LF"; or nothing more,
                    # where git met an object that is damaged.
                    line = process.stdout.readline()
                    if line == name + b" missing\n":
                        yield name, None
                        continue
                    size_bytes = int(line.rpartition(b" ")[2]) if line else 0
                    body = process.stdout.read(size_bytes + 1) if line else b""
                    yield name, body[:-1] if len(body) == size_bytes + 1 else None


@contextmanager
def _running(command: list[str], *, cwd: Path, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose stdout is read, and which is gone when the block ends, however it ends."""
    with subprocess.Popen(command, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, env=git_environment()) as process:
        try:
            yield process
        finally:
            process.kill()
