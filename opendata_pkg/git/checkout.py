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
    if files is not None:
        _make_sparse(clone, files)
    call_git(*_NO_FILTER, "read-tree", "-m", "-u", "HEAD", cwd=clone, environment=person_environment())
    if wants_adjusting(clone):
        call_annex("init", "--quiet", cwd=clone)


def _make_sparse(clone: Path, files: Collection[str]) -> None:
    wanted: list[str] = []
    others: list[str] = []
    listing = call_git("ls-tree", "-r", "-z", "--full-tree", "HEAD", cwd=clone)
    for line in listing.split(b"\0")[:-1]:
        meta, raw = line.split(b"\t", 1)
        path = raw.decode()
        kept = not meta.startswith(SYMLINK) or path in files
        (wanted if kept else others).append(path)
    if others:
        set_sparse(clone, sparse_patterns(wanted, others))


def submodules_of(clone: Path) -> tuple[Submodule, ...]:
    """The subdatasets of a clone's HEAD, by the bytes of their paths."""
    listing = call_git("ls-tree", "-r", "-z", "--full-tree", "HEAD", cwd=clone)
    commits = {
        line.split(b"\t", 1)[1].decode(): line.split(b" ", 3)[2][:40].decode()
        for line in listing.split(b"\0")
        if line.startswith(GITLINK)
    }
    if not commits:
        return ()
    said = call_git(
        "config", "--blob", "HEAD:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$", cwd=clone
    )
    found = (entry.split("\n", 1) for entry in said.decode().split("\0") if entry)
    names = {path: key.removeprefix("submodule.").removesuffix(".path") for key, path in found}
    return tuple(
        Submodule(name=names[path], path=path, commit=ObjectId(commit))
        for path, commit in commits.items()
        if path in names
    )


def register_submodule(clone: Path, submodule: Submodule, address: str) -> None:
    """Tell a parent that a subdataset is installed, as DataLad does."""
    call_git("config", f"submodule.{submodule.name}.active", "true", cwd=clone)
    call_git("config", f"submodule.{submodule.name}.url", address, cwd=clone)
