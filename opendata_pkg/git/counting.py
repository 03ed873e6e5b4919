"""How many files commits of several repositories have, by git's own reading of what was written; one git for all.

To start git for each of them takes longer than most of them take. Since it then sees the objects of all, what it reads
is looked for in each repository's own packs, too.
"""

from __future__ import annotations

import re
import tempfile
from binascii import unhexlify
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK
from opendata_pkg.git.packs import Packs
from opendata_pkg.git.repository import BrokenRepositoryError, Repository, git_blocks, git_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opendata_pkg.model import ObjectId

# Begins every record that git gives. No path of ours holds a control character.
_MARK = b"\x01"
_ABSENT, _EXECUTABLE = b"000000", b"100755"
_OTHER_MODES = (_ABSENT, FILE, _EXECUTABLE, GITLINK)
# A folder that is new, or other than it was.
_NEW_FOLDER = re.compile(_MARK + rb":[0-7]{6} 040000 [0-9a-f]{40} ([0-9a-f]{40}) ")


@dataclass(slots=True)
class _Added:
    """What a commit adds: how many symlinks, less those that it removes, and which trees, by hex id."""

    links: int = 0
    trees: list[bytes] = field(default_factory=list)


def count_added_links(commits: Sequence[tuple[Path, ObjectId]]) -> dict[ObjectId, int]:
    """By commit, how many symlinks more its tree has than that of its parent; of a first commit, how many it has.

    Each is given with its repository. What is as it was is not read again. A commit that git does not find is left out.

    Raises:
        BrokenRepositoryError: a repository's own packs lack a commit or tree that git has read.
        GitError: git could not read what is new.
    """
    repositories = dict.fromkeys(path for path, _ in commits)
    with tempfile.TemporaryDirectory(prefix="opendata-objects-") as folder:
        # gitrepository-layout(5), objects/info/alternates: "paths to alternate object stores that this object store
        # borrows objects from, one pathname per line". Through links, since any character may be in a path.
        alternates = [Path(folder, str(number)) for number in range(len(repositories))]
        for link, repository in zip(alternates, repositories, strict=True):
            link.symlink_to((repository / "objects").resolve())
        Path(folder, "info").mkdir()
        Path(folder, "info", "alternates").write_text("".join(f"{link}\n" for link in alternates))
        blocks = git_blocks(
            *("diff-tree", "--stdin", "--root", "--always", "-r", "-t", "-z", "--no-renames"),
            f"--line-prefix={_MARK.decode()}",
            cwd=next(iter(repositories)),
            data="".join(f"{commit}\n" for _, commit in commits).encode(),
            environment={**git_environment(), "GIT_OBJECT_DIRECTORY": folder},
        )
        found = _read(blocks, [commit for _, commit in commits])
    for repository, commit in commits:
        if commit in found:
            _check_own(repository, commit, found[commit].trees)
    return {commit: added.links for commit, added in found.items()}


def _check_own(repository: Path, commit: ObjectId, trees: Iterable[bytes]) -> None:
    """Raise an error unless a repository's own packs have a commit, its tree, and these trees below that."""
    with Repository(repository).reader() as reader, closing(Packs(repository / "objects" / "pack")) as packs:
        needed = [bytes.fromhex(commit), reader.tree_of(commit), *map(unhexlify, trees)]
        lost = next((raw_id for raw_id in needed if raw_id not in packs), None)
    if lost is not None:
        raise BrokenRepositoryError(
            f"wrote {lost.hex()} into a pack of {repository}, but no pack there has it: "
            "nothing was released; check the disk and build again"
        )


def _read(blocks: Iterable[bytes], commits: Sequence[ObjectId]) -> dict[ObjectId, _Added]:
    """What `git diff-tree --stdin -z` says of commits, in their order: "<commit> NUL", then records of what differs."""
    found: dict[ObjectId, _Added] = {}
    left = list(reversed(commits))
    current = _Added()
    for records in _whole_records(blocks):
        start = 0
        while left and (at := records.find(_MARK + left[-1].encode() + b"\0", start)) >= 0:
            _add(current, records[start:at])
            current = found[left.pop()] = _Added()
            start = at
        _add(current, records[start:])
    return found


def _whole_records(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in blocks that begin where a record does."""
    rest = b""
    for block in blocks:
        rest += block
        if (end := rest.rfind(_MARK)) > 0:
            yield rest[:end]
            rest = rest[end:]
    yield rest


def _add(found: _Added, records: bytes) -> None:
    """Add what records say.

    git-diff-tree(1), "Raw output format": ":<old mode> <new mode> <old id> <new id> <status>", with -z a NUL, the path
    and another NUL.
    """
    added = sum(records.count(b"%s:%s %s " % (_MARK, mode, SYMLINK)) for mode in _OTHER_MODES)
    removed = sum(records.count(b"%s:%s %s " % (_MARK, SYMLINK, mode)) for mode in _OTHER_MODES)
    found.links += added - removed
    found.trees += _NEW_FOLDER.findall(records)
