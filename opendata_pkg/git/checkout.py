"""Files of a new clone: all of them, or those that are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.git.annexed import wants_adjusting
from opendata_pkg.git.objects import GITLINK, SYMLINK
from opendata_pkg.git.person import call_annex, person_environment
from opendata_pkg.git.repository import call_git
from opendata_pkg.git.sparse import set_sparse, sparse_patterns
from opendata_pkg.model import ObjectId

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


# What is checked out are symlinks and texts that git-annex has no part in: its filter need not be started for them.
_NO_FILTER = tuple(word for name in ("smudge", "clean", "process") for word in ("-c", f"filter.annex.{name}="))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodule:
    """A subdataset as its parent's commit has it: `path` from the parent's top, `name` as in `.gitmodules`."""

    name: str
    path: str
    commit: ObjectId


def check_out(clone: Path, files: Collection[str] | None = None) -> None:
    """Check out HEAD: everything, or with `files` only those annexed files and all that is not annexed.

    On a file system without symlinks, git-annex then makes its adjusted branch of plain files, as always there.
    """
    if files is None or not _check_out_some(clone, files):
        _read_tree(clone, "-m", "-u")
    if wants_adjusting(clone):
        call_annex("init", "--quiet", cwd=clone)


def _read_tree(clone: Path, *options: str) -> None:
    call_git(*_NO_FILTER, "read-tree", *options, "HEAD", cwd=clone, environment=person_environment())


def _check_out_some(clone: Path, files: Collection[str]) -> bool:
    """Make the checkout sparse, and check out what is wanted if the patterns say exactly that; whether that was so.

    git's own way, which it takes whenever it changes the checkout later, compares all files with all patterns.
    """
    wanted: list[str] = []
    others: list[str] = []
    listing = call_git("ls-tree", "-r", "-z", "--full-tree", "HEAD", cwd=clone)
    for line in listing.split(b"\0")[:-1]:
        path = line[line.index(b"\t") + 1 :].decode()
        (wanted if path in files or not line.startswith(SYMLINK) else others).append(path)
    if not others:
        return False
    sparse = sparse_patterns(wanted, others)
    set_sparse(clone, sparse.patterns)
    if not sparse.is_exact:
        return False
    _read_tree(clone)
    person = person_environment()
    left, taken = _terminated(others), _terminated(wanted)
    call_git("update-index", "-z", "--skip-worktree", "--stdin", cwd=clone, data=left, environment=person)
    call_git(*_NO_FILTER, "checkout-index", "-u", "-q", "-z", "--stdin", cwd=clone, data=taken, environment=person)
    return True


def _terminated(paths: Collection[str]) -> bytes:
    return "".join(f"{path}\0" for path in paths).encode()


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
