"""What a release binds of a repository's packs, and whether they are all that its commits need.

Packs that a build wrote, or that were bound before, need not be looked at again. Others are read: what a killed build
left, what small packs were put together into, what a steward's own `git gc` or `git repack` made.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.git.bound_packs import BoundFile, BoundPack
from opendata_pkg.git.repository import BrokenRepositoryError, GitError, call_git, git_environment
from opendata_pkg.git.upkeep import superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opendata_pkg.git.bound_packs import BoundPacks
    from opendata_pkg.model import ObjectId

_BLOCK_BYTES = 1 << 20
_TRAILER_BYTES = 20


def bind_packs(
    repository: Path, commits: Iterable[ObjectId], *, before: BoundPacks | None, written: BoundPacks
) -> BoundPacks | None:
    """The packs of a repository that readers are offered, all of which together hold the commits and their history.

    Args:
        repository: a bare repository of the store, whose lock is held.
        commits: what is released.
        before: what the last release bound; empty for a new repository, None where it bound nothing.
        written: what the build wrote since.

    Returns:
        None if objects are elsewhere (in files of their own, in another repository), or a pack is damaged: readers
        then have git look at all that they get.
    """
    folder, kept = repository / "objects" / "pack", set(superseded(repository))
    # A release looks at all repositories, most of which are as they were.
    there = {name.removesuffix(".idx") for name in os.listdir(folder) if name.endswith(".idx")}  # noqa: PTH208
    names = there - kept
    if before is not None and names == before.keys():
        return before
    known = {**(before or {}), **written}
    # Whatever was bound before, and not superseded by what we made of it ourselves, must be there still: otherwise
    # somebody has repacked, and git has to say whether that left something out.
    if (before is None or not known.keys() <= names | kept) and not _are_whole(
        [folder / f"{name}.idx" for name in names], repository, commits
    ):
        return None
    found: dict[str, BoundPack] = {}
    for name in sorted(names):
        pack = known.get(name) or _bind(folder / f"{name}.idx")
        if pack is None:
            return None
        found[name] = pack
    return found


def check_packs(
    repository: Path, commits: Sequence[ObjectId], *, before: BoundPacks | None, written: BoundPacks
) -> None:
    """Check that what is to be released is there: packs of the sizes that they had, or else all, as git says.

    The arguments are as for `bind_packs`. What is altered and as long is not noticed here.

    Raises:
        BrokenRepositoryError: something is missing.
    """
    folder, known = repository / "objects" / "pack", {**(before or {}), **written}
    files = [(f"{name}{suffix}", file) for name, pack in known.items() for suffix, file in pack.files.items()]
    if before is not None and files and all(_size_of(folder / name) == file.size_bytes for name, file in files):
        return
    try:
        call_git("rev-list", "--objects", "--quiet", *commits, cwd=repository)
    except GitError as error:
        raise BrokenRepositoryError(
            f"{repository} does not hold all that was released and built ({error}): nothing was released; "
            "build again, and if that does not help restore the store from a copy"
        ) from error


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _are_whole(indexes: Iterable[Path], repository: Path, commits: Iterable[ObjectId]) -> bool:
    """Whether packs hold commits and all that they need, without help of anything else in the repository."""
    with tempfile.TemporaryDirectory(prefix="opendata-packs-") as folder:
        packs = Path(folder) / "pack"
        packs.mkdir()
        for index in indexes:
            for path in (index, index.with_suffix(".pack")):
                (packs / path.name).symlink_to(path.resolve())
        environment = {**git_environment(), "GIT_OBJECT_DIRECTORY": folder}
        try:
            call_git("rev-list", "--objects", "--quiet", *commits, cwd=repository, environment=environment)
        except GitError:
            return False
    return True


def _bind(index: Path) -> BoundPack | None:
    """Read a pack and its index; None if they are not as whoever wrote them has left them."""
    pack, bound = _read(index.with_suffix(".pack")), _read(index)
    return None if pack is None or bound is None else BoundPack(pack=pack, index=bound)


def _read(path: Path) -> BoundFile | None:
    """A pack's or index's digest; None if it is damaged.

    gitformat-pack(5): both end in a SHA-1 "of all of the above".
    """
    checksum, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
    size_bytes, last = 0, b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            size_bytes += len(block)
            sha256.update(block)
            block = last + block
            checksum.update(block[:-_TRAILER_BYTES])
            last = block[-_TRAILER_BYTES:]
    if checksum.digest() != last:
        return None
    return BoundFile(size_bytes=size_bytes, sha256=sha256.hexdigest())
