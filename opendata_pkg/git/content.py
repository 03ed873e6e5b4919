"""The annexed files of a clone, in bulk: their keys, their URLs, where content goes, and telling git-annex about it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.annex import (
    MAX_POINTER_BYTES,
    key_file,
    key_of_link,
    key_of_pointer,
    location_in,
    location_log_with,
    log_stem,
    object_path,
    parse_web_log,
)
from opendata_pkg.git.annex_branch import AnnexBranch
from opendata_pkg.git.annexed import ANNEX, config_values
from opendata_pkg.git.objects import GITLINK, SYMLINK
from opendata_pkg.git.person import call_annex, person_environment
from opendata_pkg.git.repository import GitError, Repository, call_git
from opendata_pkg.model import AnnexKey, InputError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SKIPPED = b"S"
# git takes any of these for no.
_NOT_SHARED = frozenset({None, "false", "umask", "0", "no", "off"})


class NotACloneError(InputError):
    """A folder that is in no dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnexedFile:
    """A file of a dataset whose content git-annex has or can have; `path` from the dataset's top.

    `is_unlocked`: it is a plain file, filled with the content when that is there.
    """

    path: str
    key: AnnexKey
    is_unlocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a dataset's index has at some paths: annexed files, and the paths of subdatasets, installed or not."""

    files: tuple[AnnexedFile, ...]
    subdatasets: tuple[str, ...]


class AnnexClone:
    """A dataset with a working tree at `top`."""

    def __init__(self, top: Path) -> None:
        """Nothing is read yet."""
        self.top = top
        self._settings: dict[str, str] | None = None

    @classmethod
    def of(cls, path: Path) -> AnnexClone:
        """The innermost dataset that a path is in.

        Raises:
            NotACloneError: it is in none.
        """
        folder = next(parent for parent in (path, *path.parents) if parent.is_dir() and not parent.is_symlink())
        try:
            said = call_git("rev-parse", "--show-toplevel", cwd=folder, environment=person_environment())
        except GitError as error:
            raise NotACloneError(f"expected a path in a dataset, got {path}: change into a clone ({error})") from error
        return cls(Path(os.fsdecode(said.rstrip(b"\n"))))

    @cached_property
    def annex(self) -> Path:
        """git-annex's folder."""
        said = call_git("rev-parse", "--git-common-dir", cwd=self.top, environment=person_environment())
        return self.top / os.fsdecode(said.rstrip(b"\n")) / "annex"

    @cached_property
    def _folders(self) -> tuple[str, str]:
        """Where content is, and where it is while it comes, as strings for thousands of names."""
        return str(self.annex / "objects"), str(self.annex / "tmp")

    @cached_property
    def _branch(self) -> AnnexBranch:
        return AnnexBranch(self.annex.parent)

    def setting(self, name: str) -> str | None:
        """A setting of the repository, as the person's git sees it; None if it is not there, or empty."""
        if self._settings is None:
            self._settings = config_values(self.top)
        return self._settings.get(name.lower()) or None

    @cached_property
    def wants_secure_keys(self) -> bool:
        """Whether content without a secure digest is refused."""
        return self.setting("annex.securehashesonly") == "true"

    def prepare(self) -> None:
        """Make sure that it is an annex, with the git-annex branches of its remotes merged.

        Raises:
            UsageError: its content is kept in a way that only git-annex itself knows.
            GitError: git-annex is not installed, or failed.
        """
        if self.setting("annex.uuid") is None:
            call_annex("init", "--quiet", cwd=self.top)
            self._settings = None
        special = {
            "annex.crippledfilesystem": self.setting("annex.crippledfilesystem") == "true",
            "annex.freezecontent-command": self.setting("annex.freezecontent-command") is not None,
            "core.sharedRepository": self.setting("core.sharedRepository") not in _NOT_SHARED,
        }
        if found := [name for name, is_set in special.items() if is_set]:
            raise UsageError(f"{self.top} has {found[0]} set, with which only git-annex can work: use git annex get")
        if self._is_behind():
            call_annex("merge", "--quiet", cwd=self.top)

    def _is_behind(self) -> bool:
        """Whether a remote's git-annex branch, or git-annex's journal, has what the local branch has not."""
        journal = self.annex / "journal"
        if journal.is_dir() and any(journal.iterdir()):
            return True
        said = call_git(
            "for-each-ref", "--format=%(objectname)", "refs/remotes/*/git-annex", f"--no-merged={ANNEX}", cwd=self.top
        )
        return bool(said.strip())

    def listing(self, below: Sequence[str]) -> Listing:
        """What stands at these paths (from the top; `.`: everything), less what a sparse checkout leaves out."""
        said = call_git("--literal-pathspecs", "ls-files", "-z", "-s", "-t", "--", *below, cwd=self.top)
        links: list[tuple[str, bytes]] = []
        blobs: list[tuple[str, bytes]] = []
        subdatasets: list[str] = []
        for line in said.split(b"\0")[:-1]:
            meta, raw = line.split(b"\t", 1)
            tag, mode, blob, _ = meta.split(b" ")
            if tag == _SKIPPED:
                continue
            if mode == GITLINK:
                subdatasets.append(os.fsdecode(raw))
            else:
                (links if mode == SYMLINK else blobs).append((os.fsdecode(raw), blob))
        files = self._with_keys(links, is_unlocked=False) + self._with_keys(self._small(blobs), is_unlocked=True)
        return Listing(files=tuple(files), subdatasets=tuple(subdatasets))

    def _small(self, blobs: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Those that are small enough for pointers: texts need not be read to know that they are none."""
        names = b"".join(blob + b"\n" for _, blob in blobs)
        said = call_git("cat-file", "--batch-check=%(objectsize)", "--buffer", cwd=self.top, data=names).split()
        sizes = (int(size) if size.isdigit() else MAX_POINTER_BYTES + 1 for size in said[: len(blobs)])
        return [entry for entry, size in zip(blobs, sizes, strict=False) if size <= MAX_POINTER_BYTES]

    def _with_keys(self, entries: list[tuple[str, bytes]], *, is_unlocked: bool) -> list[AnnexedFile]:
        read = key_of_pointer if is_unlocked else key_of_link
        bodies = Repository(self.top).read_objects(blob for _, blob in entries)
        keys = [read(body) for body in bodies]
        return [
            AnnexedFile(path=path, key=key, is_unlocked=is_unlocked)
            for (path, _), key in zip(entries, keys, strict=True)
            if key is not None
        ]

    def object_of(self, key: AnnexKey) -> str:
        """Where a key's content is, or would be."""
        return f"{self._folders[0]}/{object_path(key)}"

    def part_of(self, key: AnnexKey) -> str:
        """Where a key's content is while it comes, also if git-annex itself brings it."""
        return f"{self._folders[1]}/{key_file(key)}"

    def urls_of(self, keys: Iterable[AnnexKey]) -> dict[AnnexKey, tuple[str, ...]]:
        """The web addresses that the git-annex branch offers for keys; none for those that it does not know."""
        paths = {key: _log_path(key, ".log.web") for key in keys}
        logs = self._branch.read(paths.values())
        return {
            key: tuple(sorted(_offered(logs.get(path, b"")), key=lambda url: "versionId=" not in url))
            for key, path in paths.items()
        }

    def record(self, keys: Iterable[AnnexKey]) -> None:
        """Tell git-annex that contents are here now: its branch gets a line for each, in one commit.

        As if another clone had pushed there, which git-annex expects. Where the settings want it otherwise, or somebody
        else writes to the branch just now, git-annex's own command does it, key by key.
        """
        wanted = list(keys)
        uuid = self.setting("annex.uuid") or ""
        if self.setting("annex.private") is None and self.setting("annex.alwayscommit") is None:
            with suppress(GitError):
                self._commit(wanted, uuid.encode())
                return
        lines = "".join(f"{key} {uuid} 1\n" for key in wanted)
        call_annex("setpresentkey", "--batch", "--quiet", cwd=self.top, data=lines.encode(errors="surrogateescape"))
        # It leaves that in git-annex's journal; any other command commits it.
        call_annex("merge", "--quiet", cwd=self.top)

    def _commit(self, keys: Sequence[AnnexKey], uuid: bytes) -> None:
        """Write the lines into the git-annex branch ourselves."""
        paths = [_log_path(key, ".log") for key in keys]
        logs, now_s = self._branch.read(paths), time.time()
        person = call_git("var", "GIT_COMMITTER_IDENT", cwd=self.top, environment=person_environment()).strip()
        files = {path: location_log_with(logs.get(path, b""), uuid, now_s) for path in paths}
        self._branch.commit(files, person)

    def unrecorded(self, keys: Iterable[AnnexKey]) -> list[AnnexKey]:
        """Those of the keys that git-annex does not believe to be here."""
        here = (self.setting("annex.uuid") or "").encode()
        paths = {key: _log_path(key, ".log") for key in keys}
        logs = self._branch.read(paths.values())
        return [key for key, path in paths.items() if not _is_present(logs.get(path, b""), here)]

    def fill(self, files: Iterable[AnnexedFile]) -> None:
        """Fill unlocked files whose content has come, unless a person has changed them; git then finds them clean.

        They are checked out anew, through git-annex's filter, which knows the content.
        """
        names = []
        for file in files:
            path = self.top / file.path
            with suppress(OSError):
                if path.stat().st_size <= MAX_POINTER_BYTES and key_of_pointer(path.read_bytes()) == file.key:
                    path.unlink()
                    names.append(os.fsencode(file.path))
        if not names:
            return
        data = b"".join(name + b"\0" for name in names)
        environment = person_environment()
        call_git("checkout-index", "-f", "-u", "-q", "-z", "--stdin", cwd=self.top, data=data, environment=environment)
        call_annex("smudge", "--update", cwd=self.top)


def _log_path(key: AnnexKey, extension: str) -> bytes:
    """A key's log in the git-annex branch."""
    return f"{log_stem(key)}{extension}".encode(errors="surrogateescape")


def _offered(log: bytes) -> Mapping[str, object]:
    """The http(s) addresses of a URL log that are still offered."""
    return {
        url: since
        for url, (since, is_offered) in parse_web_log(log).items()
        if is_offered and url.startswith(("http://", "https://"))
    }


def _is_present(log: bytes, uuid: bytes) -> bool:
    """Whether a location log has a repository."""
    state = location_in(log, uuid)
    return state is not None and state[1]


def relative_to_top(clone: AnnexClone, path: Path) -> str:
    """A path as git names it in a dataset.

    Raises:
        NotFoundError: there is nothing at it.
    """
    if not path.exists() and not path.is_symlink():
        raise NotFoundError(
            f"no file or folder at {path}: paths are of the clone's working tree; a sparse clone has what was asked "
            "for, and git sparse-checkout add /PATH brings more"
        )
    return os.path.relpath(path.parent.resolve() / path.name if path.name else path, clone.top.resolve())
