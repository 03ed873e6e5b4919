"""A clone against the keys of its files: every annexed file whose content is here, and those of installed subdatasets.

What git itself keeps, it vouches for by its own digests: `git fsck` and `git status` say whether that holds.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opendata_pkg import annex
from opendata_pkg.digests.file_checks import Subject, check_files, missing
from opendata_pkg.digests.file_digests import DEFAULT_JOBS
from opendata_pkg.digests.findings import Status, Tally, Verification
from opendata_pkg.git.content import NotACloneError
from opendata_pkg.git.objects import GITLINK, SYMLINK
from opendata_pkg.git.repository import GitError, Repository, call_git
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opendata_pkg.model import AnnexKey

_POINTER = b"/annex/objects/"
_KEYS = "the keys of its files"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One line of git's index. `sparse`: it is not checked out on purpose."""

    path: str
    mode: bytes
    id: bytes
    sparse: bool


@dataclass(slots=True)
class _Found:
    """What is to be read, in this clone and those below; and what was counted on the way."""

    subjects: list[Subject] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    not_installed: int = 0


def is_clone(folder: Path) -> bool:
    """Whether a folder is the top of a git repository that git-annex has a part in."""
    if not (folder / ".git").exists():
        return False
    try:
        # A broken `.git` makes git look further up, and find another repository or none.
        if call_git("rev-parse", "--show-cdup", cwd=folder).strip():
            return False
    except GitError:
        return False
    return bool(call_git("for-each-ref", "refs/heads/git-annex", "refs/remotes/*/git-annex", cwd=folder))


def verify_clone(
    folder: Path, *, fast: bool = False, jobs: int = DEFAULT_JOBS, reporter: Reporter = SILENT
) -> Verification:
    """Check every annexed file of a clone whose content is here against the digest in its key.

    Content that is not here is counted as such: that is no fault. A file that was deleted or changed in the working
    tree is one. With `fast`, a content of the size in its key is taken to be right.

    Raises:
        NotACloneError: the folder is no clone.
        GitError: git failed.
    """
    if not is_clone(folder):
        raise NotACloneError(f"expected the top of a clone at {folder}: name the folder that `opendata clone` made")
    found, notes = _Found(), []
    reporter.message(f"looking at the files of {folder}")
    _collect(folder, "", found)
    trusted = 0

    def trust(subject: Subject, _: os.stat_result) -> bool:
        return fast and subject.size_bytes is not None

    for checked in check_files(found.subjects, jobs=jobs, trust=trust, reporter=reporter):
        trusted += checked.trusted
        found.tally.read_bytes += checked.read_bytes
        if checked.finding is None:
            found.tally.good(checked.size_bytes)
        else:
            found.tally.add(checked.finding)
    if fast:
        notes.append(f"--fast: {counted(trusted, 'file')} taken to be right by size alone, not read")
    if found.not_installed:
        notes.append(f"subdatasets that are not installed, and were not looked into: {found.not_installed:,}")
    return found.tally.result(target=str(folder), against=_KEYS, notes=notes)


def _collect(folder: Path, prefix: str, found: _Found) -> None:
    entries = list(_index(folder))
    keys = _keys(folder, entries)
    git_folder = folder / os.fsdecode(call_git("rev-parse", "--git-common-dir", cwd=folder).removesuffix(b"\n"))
    for entry in entries:
        if entry.mode == GITLINK:
            below = folder / entry.path
            if (below / ".git").exists():
                _collect(below, f"{prefix}{entry.path}/", found)
            else:
                found.not_installed += 1
            continue
        key = keys.get(entry.id)
        if key is not None:
            _take(folder, git_folder, prefix, entry, key, found)


def _index(folder: Path) -> Iterator[_Entry]:
    # "[TAG SP] MODE SP OBJECT SP STAGE TAB PATH"; the tag `S` is for what a sparse checkout leaves out.
    listing = call_git("-c", "core.fsmonitor=false", "ls-files", "-t", "-s", "-z", cwd=folder)
    for line in listing.split(b"\0"):
        if line:
            meta, path = line.split(b"\t", 1)
            tag, mode, name, _ = meta.split(b" ")
            yield _Entry(path=os.fsdecode(path), mode=mode, id=name, sparse=tag == b"S")


def _keys(folder: Path, entries: list[_Entry]) -> dict[bytes, AnnexKey]:
    """The keys of those blobs that are symlinks into the annex or pointers, by the blob's id."""
    links = {entry.id for entry in entries if entry.mode == SYMLINK}
    files = sorted({entry.id for entry in entries if entry.mode not in {SYMLINK, GITLINK}} - links)
    sizes = call_git(
        "cat-file", "--batch-check=%(objectsize)", cwd=folder, data=b"".join(name + b"\n" for name in files)
    ).splitlines()
    # A blob that is not there has no size ("OBJECT SP missing"): reading it says so.
    small = {name for name, size in zip(files, sizes, strict=True) if not _is_large(size)}
    wanted = sorted(links | small)
    keys = {}
    for name, body in zip(wanted, Repository(folder).read_objects(wanted), strict=True):
        key = annex.key_of_link(body) if name in links else annex.key_of_pointer(body)
        if key is not None:
            keys[name] = key
    return keys


def _is_large(size: bytes) -> bool:
    return size.isdigit() and int(size) > annex.MAX_POINTER_BYTES


def _take(folder: Path, git_folder: Path, prefix: str, entry: _Entry, key: AnnexKey, found: _Found) -> None:
    """Decide what is to be read for an annexed file, if anything is."""
    facts = annex.read_key(key)
    size_bytes, digest = facts.size_bytes, facts.digest
    note = "" if digest is not None else f"its key ({key.split('-', 1)[0]}) holds no digest"
    if note and size_bytes is not None:
        note += "; it has the recorded size"
    file = _content(folder, git_folder, entry, key)
    subject = Subject(
        name=prefix + entry.path, file=file or folder / entry.path, size_bytes=size_bytes, digest=digest, note=note
    )
    if file is not None:
        found.subjects.append(subject)
    elif entry.sparse or _is_there(folder / entry.path):
        found.tally.counts[Status.ABSENT] += 1
    else:
        found.tally.add(missing(subject, "it was deleted from the working tree: git checkout brings it back"))


def _content(folder: Path, git_folder: Path, entry: _Entry, key: AnnexKey) -> Path | None:
    """The file that holds an annexed file's content, None if it is not here."""
    if entry.sparse:
        objects = git_folder / "annex" / "objects"
        return next((objects / path for path in annex.object_paths(key) if (objects / path).is_file()), None)
    path = folder / entry.path
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            # A link of somebody's own that leads nowhere is no content to be fetched.
            return path if path.exists() or annex.key_of_link(os.fsencode(path.readlink())) is None else None
        if stat.S_ISREG(status.st_mode) and status.st_size <= annex.MAX_POINTER_BYTES:
            with path.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # What cannot be looked at is told by whoever tries to read it.
        return path
    return path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
