"""Copies that somebody has already: where in a folder the wanted bytes may be, by path and then by digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.model import NotFoundError
from opendata_pkg.parallel import map_unordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedReader, FileIO

    from opendata_pkg.lock.format import LockedFile


class NoCopyError(NotFoundError):
    """There is no such folder."""


def check_folder(folder: Path) -> None:
    """Check that there is a folder.

    Raises:
        NoCopyError: there is none.
    """
    if not folder.is_dir():
        raise NoCopyError(f"no folder {folder}: name the one that holds a copy after --from, or leave it out")


class Copies:
    """A folder whose files may be some of those wanted. Nothing in it is trusted: who copies a file checks the copy."""

    def __init__(self, folder: Path, wanted: Iterable[LockedFile], *, jobs: int) -> None:
        self.folder, self.wanted, self.jobs = folder, tuple(wanted), jobs

    def candidates(self, place: str, file: LockedFile) -> Iterator[Path]:
        """Files that may have the bytes of `file`, the likeliest first."""
        tried = dict.fromkeys((self.folder / place, self.folder / file.path))
        for path in tried:
            if _size_of(path) is not None and file.size_bytes in {None, _size_of(path)}:
                yield path
        for path in self._by_digest.get(file.digest, ()):
            if path not in tried:
                yield path

    @cached_property
    def _by_digest(self) -> dict[str, list[Path]]:
        """Every file of the folder whose size is wanted, by its digest; hashed when the first path has failed."""
        algorithms: dict[int | None, set[str]] = defaultdict(set)
        for file in self.wanted:
            algorithms[file.size_bytes].add(file.digest.partition(":")[0])

        def of_wanted_size() -> Iterator[tuple[Path, str]]:
            for parent, _, names in os.walk(self.folder):
                for path in (Path(parent, name) for name in names):
                    if (size := _size_of(path)) is not None:
                        for algorithm in sorted(algorithms[None] | algorithms.get(size, set())):
                            yield path, algorithm

        found: dict[str, list[Path]] = defaultdict(list)
        for (path, _), digest in map_unordered(_hash, of_wanted_size(), jobs=self.jobs):
            if digest is not None:
                found[digest].append(path)
        return found


def _size_of(path: Path) -> int | None:
    """The size of an ordinary file that can be read; None for anything else."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else None


def _hash(item: tuple[Path, str]) -> str | None:
    path, algorithm = item
    try:
        with path.open("rb") as stream:
            return digest_of(stream, algorithm)
    except OSError:
        # Somebody else's folder: what cannot be read in it is not a copy.
        return None


def digest_of(stream: FileIO | BufferedReader, algorithm: str) -> str:
    """`sha256:HEX` or `md5:HEX` of the rest of a stream."""
    return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
