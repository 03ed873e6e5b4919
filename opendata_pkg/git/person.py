"""The person who has a clone: their own git settings, which our calls on a store leave out."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

from opendata_pkg.git.repository import GitError, call_git

NEUTRAL_NAME, NEUTRAL_EMAIL = "opendata user", "opendata-user@invalid"
"""Who commits in a clone of somebody of whom git knows nothing."""

NO_PROTOCOLS = (
    "git-annex can fetch nothing here: this system does not know the protocol TCP by name, having no /etc/protocols; "
    "install it, on Debian with: apt install netbase"
)

# What git sets for its own children (`git rev-parse --local-env-vars`): it would lead us to another repository.
_LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)


def person_environment() -> dict[str, str]:
    """The environment of git and git-annex in a person's clone: with their settings and identity.

    The git-annex that was installed with this package is found too, after whatever is on PATH.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    folders = [environment.get("PATH", os.defpath), str(Path(sys.executable).parent)]
    return environment | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "PATH": os.pathsep.join(folders)}


def has_identity(folder: Path) -> bool:
    """Whether git knows whose name to write into commits of the repository at `folder`."""
    try:
        for role in ("AUTHOR", "COMMITTER"):
            call_git("var", f"GIT_{role}_IDENT", cwd=folder, environment=person_environment())
    except GitError:
        return False
    return True


def call_annex(*arguments: str, cwd: Path, data: bytes = b"") -> bytes:
    """Run git-annex in a clone and return its stdout.

    Raises:
        GitError: it is not installed, or failed; carries its stderr.
    """
    return call_git("annex", *arguments, cwd=cwd, data=data, environment=person_environment())


def what_annex_lacks() -> list[str]:
    """What keeps git-annex from working in a person's own shell, a sentence each."""
    lacks = []
    if shutil.which("git-annex") is None:
        # git's hooks look for it there.
        lacks.append("git-annex is not on PATH: git and DataLad need it there to work in this clone")
    if not knows_protocols():
        lacks.append(NO_PROTOCOLS)
    return lacks


def knows_protocols() -> bool:
    """Whether the system knows the protocol TCP by name, which git-annex asks it before it fetches anything."""
    try:
        socket.getprotobyname("tcp")
    except OSError:
        return False
    return True
