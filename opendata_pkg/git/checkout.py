"""Files of a new clone: all of them, or those that are wanted."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from opendata_pkg.files import replacing
from opendata_pkg.git.annexed import wants_adjusting
from opendata_pkg.git.beside import beside
from opendata_pkg.git.index import SparseIndex, TreeLine
from opendata_pkg.git.objects import GITLINK, SYMLINK
from opendata_pkg.git.person import call_annex, person_environment
from opendata_pkg.git.repository import call_git, git_blocks
from opendata_pkg.git.sparse import Sparse, set_sparse, sparse_patterns
from opendata_pkg.model import ObjectId

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path


# What is checked out are symlinks and texts that git-annex has no part in: its filter need not be started for them.
# "MODE SP TYPE SP ID TAB PATH NUL" (git-ls-tree(1), with -z).
_LINE = re.compile(rb"([0-7]{6}) (?:blob|commit) (.{40})\t([^\0]+)\0", re.DOTALL)
_INDEX_OF_SOME = "opendata-index"
_NO_FILTER = tuple(word for name in ("smudge", "clean", "process") for word in ("-c", f"filter.annex.{name}="))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodule:
    """A subdataset as its parent's commit has it: `path` from the parent's top, `name` as in `.gitmodules`."""

    name: str
    path: str
    commit: ObjectId


def check_out(
    clone: Path, commit: ObjectId, files: Collection[str] | None, *, ready: Callable[[], None] = lambda: None
) -> None:
    """Check out a commit: everything, or with `files` only those annexed files and all that is not annexed.

    What is in the way is overwritten. `ready` is called before anything is written: it waits for who is still at work
    on the repository's settings.

    Raises:
        GitError: objects are missing, or a file cannot be written.
    """
    some = None if files is None else _choose(clone, commit, files)
    ready()
    if some is not None:
        set_sparse(clone, some.sparse.patterns)
    if some is not None and some.sparse.is_exact:
        _check_out_some(clone, some)
    else:
        environment = person_environment()
        call_git(*_NO_FILTER, "read-tree", "--reset", "-u", commit, cwd=clone, environment=environment)


def adjust(clone: Path) -> None:
    """On a file system without symlinks, let git-annex make its adjusted branch of plain files, as always there."""
    if wants_adjusting(clone):
        call_annex("init", "--quiet", cwd=clone)


@dataclass(frozen=True, slots=True)
class _Some:
    """A sparse checkout: all lines of the tree, which of them are checked out, and patterns for those."""

    lines: list[TreeLine]
    wanted: list[int]
    sparse: Sparse


def _choose(clone: Path, commit: ObjectId, files: Collection[str]) -> _Some | None:
    """What to check out, and the patterns that say so; None: everything is wanted."""
    lines: list[TreeLine] = []
    begun = b""
    # Each block is taken apart while git lists the next.
    for block in git_blocks("ls-tree", "-r", "-z", "--full-tree", commit, cwd=clone):
        whole, end, begun = (begun + block).rpartition(b"\0")
        lines += _LINE.findall(whole + end)
    asked = {path.encode() for path in files}
    wanted = [number for number, (mode, _, path) in enumerate(lines) if mode != SYMLINK or path in asked]
    if len(wanted) == len(lines):
        return None
    # All at once, since they are many.
    paths = b"\0".join([path for _, _, path in lines]).decode().split("\0")
    is_other = bytearray(b"\1") * len(lines)
    for number in wanted:
        is_other[number] = 0
    return _Some(lines, wanted, sparse_patterns([paths[number] for number in wanted], compress(paths, is_other)))


def _check_out_some(clone: Path, some: _Some) -> None:
    """Check out what is wanted, in an index of its own; then write that of all files.

    git's own way, which it takes whenever it changes the checkout later, compares all files with all patterns.
    """
    apart = clone / ".git" / _INDEX_OF_SOME
    environment = person_environment() | {"GIT_INDEX_FILE": str(apart)}
    wanted = [some.lines[number] for number in some.wanted]
    asked = b"".join(b"%s %s\t%s\0" % line for line in wanted)

    def write_files() -> None:
        call_git("update-index", "-z", "--index-info", cwd=clone, data=asked, environment=environment)
        call_git(*_NO_FILTER, "checkout-index", "--all", "--force", "--quiet", cwd=clone, environment=environment)

    with beside(write_files):
        index = SparseIndex(some.lines, some.wanted)
    apart.unlink()
    top = os.fsencode(clone) + b"/"
    there = {path: os.lstat(top + path) for mode, _, path in wanted if mode != GITLINK}
    with replacing(clone / ".git" / "index", sync=False) as stream:
        index.write(stream, there)


def submodules_of(clone: Path) -> tuple[Submodule, ...]:
    """The subdatasets of a clone's HEAD, by the bytes of their paths."""
    if not call_git("ls-tree", "HEAD", ".gitmodules", cwd=clone):
        return ()
    options = ("--null", "--get-regexp", r"^submodule\..*\.path$")
    said = call_git("config", "--blob", "HEAD:.gitmodules", *options, cwd=clone)
    found = (entry.split("\n", 1) for entry in said.decode().split("\0") if entry)
    names = {path: key.removeprefix("submodule.").removesuffix(".path") for key, path in found}
    listing = call_git("--literal-pathspecs", "ls-tree", "-z", "--full-tree", "HEAD", "--", *names, cwd=clone)
    entries = (line.split(b"\t", 1) for line in listing.split(b"\0") if line.startswith(GITLINK))
    commits = {raw.decode(): ObjectId(meta.split(b" ")[2].decode()) for meta, raw in entries}
    known = sorted(commits, key=str.encode)
    return tuple(Submodule(name=names[path], path=path, commit=commits[path]) for path in known)


def register_submodule(clone: Path, submodule: Submodule, address: str) -> None:
    """Tell a parent that a subdataset is installed, as DataLad does."""
    call_git("config", f"submodule.{submodule.name}.active", "true", cwd=clone)
    call_git("config", f"submodule.{submodule.name}.url", address, cwd=clone)
