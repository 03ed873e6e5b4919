"""A new repository made one of git-annex's, as `git annex init` leaves it, without its walk over all that came.

git-annex itself initialises the repository while it is empty, whatever its version and the file system: settings,
hooks, and the line in `uuid.log` are its own. Then the published git-annex branch takes the place of the empty one,
with that line added. git-annex makes the index of its branch when it first needs it.
"""

from __future__ import annotations

import getpass
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.git.person import call_annex, person_environment
from opendata_pkg.git.repository import call_git

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opendata_pkg.model import ObjectId

ANNEX = "refs/heads/git-annex"
_UUIDS = b"uuid.log"
# What git-annex keeps of the branch that it made first; it makes them again of the one that is there.
_STALE = ("index", "index.lck", "mergedrefs")


def init_annex(clone: Path, final: Path) -> None:
    """Run `git annex init` in a repository that has no commit; `final` is where the clone will be.

    Raises:
        GitError: git-annex is not installed, or failed.
    """
    call_annex("init", "--quiet", describe_clone(final), cwd=clone)


def describe_clone(final: Path) -> str:
    """`USER@HOST:PATH`, as git-annex describes a repository, with `~` for the home folder."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    home = Path.home()
    shown = f"~/{final.relative_to(home)}" if final.is_relative_to(home) and final != home else str(final)
    return f"{user}@{platform.node()}:{shown}"


def wants_adjusting(clone: Path) -> bool:
    """Whether the file system cannot hold what git-annex needs (symlinks, permissions): it then works differently."""
    return config_values(clone).get("annex.crippledfilesystem") == "true"


def config_values(clone: Path) -> dict[str, str]:
    """The settings of a repository, as the person's git sees them; names in small letters, but for subsections."""
    said = call_git("config", "--list", "-z", cwd=clone, environment=person_environment())
    # Of several values of one name the last counts.
    return {name: value for name, _, value in (line.partition("\n") for line in os.fsdecode(said).split("\0")[:-1])}


def adopt_branch(clone: Path, published: ObjectId) -> None:
    """Put the repository's own line on top of the published git-annex branch, in place of the empty one."""
    own = call_git("cat-file", "blob", f"{ANNEX}:{_UUIDS.decode()}", cwd=clone)
    listing = call_git("ls-tree", "-z", published, cwd=clone)
    entries = [line for line in listing.split(b"\0") if line]
    kept = [line for line in entries if not line.endswith(b"\t" + _UUIDS)]
    if len(kept) != len(entries):
        own = _merged(call_git("cat-file", "blob", f"{published}:{_UUIDS.decode()}", cwd=clone), own)
    blob = call_git("hash-object", "-w", "--stdin", cwd=clone, data=own).strip()
    kept.append(b"100644 blob " + blob + b"\t" + _UUIDS)
    tree = call_git("mktree", "-z", cwd=clone, data=b"".join(line + b"\0" for line in kept)).decode().strip()
    environment = person_environment()
    commit = call_git(
        "commit-tree", "--no-gpg-sign", "-p", published, "-m", "update", tree, cwd=clone, environment=environment
    )
    call_git("update-ref", ANNEX, commit.decode().strip(), cwd=clone)
    for name in _STALE:
        (clone / ".git" / "annex" / name).unlink(missing_ok=True)


def _merged(*logs: bytes) -> bytes:
    """Logs as git-annex merges them: each line once."""
    lines: Iterable[bytes] = {line: None for log in logs for line in log.splitlines(keepends=True)}
    return b"".join(lines)
