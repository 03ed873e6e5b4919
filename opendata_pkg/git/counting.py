"""How many files commits of several repositories have, by git's own reading of what was written; one git for all.

To start git for each of them takes longer than most of them take.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.git.objects import FILE, GITLINK, SYMLINK
from opendata_pkg.git.repository import git_blocks, git_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opendata_pkg.model import ObjectId

# Begins every record that git gives. No path of ours holds a control character.
_MARK = b"\x01"
_ABSENT, _EXECUTABLE = b"000000", b"100755"
_OTHER_MODES = (_ABSENT, FILE, _EXECUTABLE, GITLINK)


def count_added_links(commits: Sequence[tuple[Path, ObjectId]]) -> dict[ObjectId, int]:
    """By commit, how many symlinks more its tree has than that of its parent; of a first commit, how many it has.

    Each is given with its repository. What is as it was is not read again. A commit that git does not find is left out.

    Raises:
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
            *("diff-tree", "--stdin", "--root", "--always", "-r", "-z", "--no-renames"),
            f"--line-prefix={_MARK.decode()}",
            cwd=next(iter(repositories)),
            data="".join(f"{commit}\n" for _, commit in commits).encode(),
            environment={**git_environment(), "GIT_OBJECT_DIRECTORY": folder},
        )
        return _count(blocks, [commit for _, commit in commits])


def _count(blocks: Iterable[bytes], commits: Sequence[ObjectId]) -> dict[ObjectId, int]:
    """What `git diff-tree --stdin -z` says of commits, in their order: "<commit> NUL", then records of what differs."""
    counts: dict[ObjectId, int] = {}
    left = list(reversed(commits))
    for records in _whole_records(blocks):
        start = 0
        while left and (found := records.find(_MARK + left[-1].encode() + b"\0", start)) >= 0:
            _add(counts, records[start:found])
            counts[left.pop()] = 0
            start = found
        _add(counts, records[start:])
    return counts


def _whole_records(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in blocks that begin where a record does."""
    rest = b""
    for block in blocks:
        rest += block
        if (end := rest.rfind(_MARK)) > 0:
            yield rest[:end]
            rest = rest[end:]
    yield rest


def _add(counts: dict[ObjectId, int], records: bytes) -> None:
    """Add to the last count.

    git-diff-tree(1), "Raw output format": ":<old mode> <new mode> <old id> <new id> <status>", with -z a NUL, the path
    and another NUL.
    """
    if counts:
        added = sum(records.count(b"%s:%s %s " % (_MARK, mode, SYMLINK)) for mode in _OTHER_MODES)
        removed = sum(records.count(b"%s:%s %s " % (_MARK, SYMLINK, mode)) for mode in _OTHER_MODES)
        counts[next(reversed(counts))] += added - removed
