"""`opendata.lock`: exactly the files that a paper uses; `Lock("opendata.lock")["…/cell.swc"]` is a verified local path.

Reading it takes neither network nor git, and nothing heavy is imported unless a file has to be fetched: hundreds of
processes of a cluster open the same one.
"""

from __future__ import annotations

import hashlib
import os
import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from opendata_pkg.cache.synced import read_record
from opendata_pkg.files import at_home
from opendata_pkg.lock.format import (
    BrokenLockError,
    LockContent,
    LockedFile,
    LockSelection,
    by_selection,
    parse_lock,
    same_content,
)
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opendata_pkg.cache.cache import CacheItem
    from opendata_pkg.cache.synced import Known

__all__ = ["LOCK_NAME", "BrokenLockError", "Lock", "LockContent", "LockSelection", "LockedFile", "NoLockError"]

LOCK_NAME = "opendata.lock"
DATA_NAME = "data"
_NEAR = 3


class NoLockError(NotFoundError):
    """There is no lock."""


class ChangedLockError(BrokenLockError):
    """The rows of a lock are not those that were pinned."""


class NotLockedError(NotFoundError, KeyError):
    """A lock has no such file."""

    # KeyError would show its argument quoted.
    __str__ = Exception.__str__


class AmbiguousPathError(InputError):
    """Several selections of a lock hold a path, with different content."""


class NotHereError(NotFoundError):
    """A file is not on this machine, and must not be fetched."""


class Lock:
    """A lock that was read and checked. `files` are sorted by selection and path.

    Args:
        path: the lock.
        data: where `opendata sync` put its files; by default `data` beside the lock.
        offline: never touch the network; by default so if `OPENDATA_OFFLINE` is set.

    Raises:
        NoLockError: there is no such file.
        BrokenLockError: it was edited in a way that no lock can be; names file and line.
    """

    def __init__(
        self, path: Path | str = LOCK_NAME, *, data: Path | str | None = None, offline: bool | None = None
    ) -> None:
        self.path = Path(at_home(path))
        self.data = self.path.parent / DATA_NAME if data is None else Path(at_home(data))
        # What stays true if the process goes to another folder.
        self._top = self.data.absolute()
        self.offline = is_offline() if offline is None else offline
        try:
            content = self.path.read_bytes()
        except FileNotFoundError as error:
            raise NoLockError(f"no lock at {path}: make one with: opendata pin DATASET --lock {path}") from error
        self.content = parse_lock(content, str(path))

    @classmethod
    def load(cls, path: Path | str = LOCK_NAME) -> Lock:
        """The same as `Lock(path)`."""
        return cls(path)

    @property
    def selections(self) -> Mapping[str, LockSelection]:
        """What was pinned, by name, in the order of the names."""
        return self.content.selections

    @property
    def files(self) -> tuple[LockedFile, ...]:
        """Every file, by selection and path."""
        return self.content.files

    def dump(self) -> str:
        """The lock as `opendata pin` writes it."""
        return self.content.dump()

    def check(self) -> None:
        """Check that each selection's digest is that of its rows: nobody has changed, added or removed one.

        Raises:
            ChangedLockError: one is not; names the selections.
        """
        # Arrow comes with it, which those who only open files need not wait for.
        from opendata_pkg.plan.selection import Rules, selection_digest  # noqa: PLC0415

        files = by_selection(self.files)
        wrong = []
        for name, entry in self.selections.items():
            rows = ((file.path, file.size_bytes, file.digest) for file in files.get(name, ()))
            found = selection_digest(entry.branch, entry.version, Rules.from_dict(entry.rules), rows)
            if found != entry.digest:
                wrong.append(f"selection {name} has the digest {found} by its files and rules, but says {entry.digest}")
        if wrong:
            remedy = "rows were changed by hand: take the file from its history, or pin again with --update"
            raise ChangedLockError(str(self.path), None, "; ".join(wrong), remedy)

    def place_of(self, file: LockedFile) -> str:
        """Where a file of this lock is put, relative to the folder that is synced."""
        return self.selections[file.selection].place_of(file.path)

    def __len__(self) -> int:
        """How many files it has."""
        return len(self.files)

    def __iter__(self) -> Iterator[str]:
        """The paths, each once."""
        return iter(self._by_path)

    def __contains__(self, path: object) -> bool:
        """Whether it has a file of that path; also `NAME:path`, of the selection NAME."""
        return isinstance(path, str) and bool(self._found(path))

    def __repr__(self) -> str:
        """Where it is, and how much it holds."""
        return (
            f"<Lock {str(self.path)!r}: {counted(len(self), 'file')} in {counted(len(self.selections), 'selection')}>"
        )

    @cached_property
    def _by_path(self) -> dict[str, list[LockedFile]]:
        found: dict[str, list[LockedFile]] = {}
        for file in self.files:
            found.setdefault(file.path, []).append(file)
        return found

    @cached_property
    def _known(self) -> Mapping[str, Known]:
        return read_record(self._top).known

    def _found(self, path: str) -> list[LockedFile]:
        found = self._by_path.get(path, [])
        if found:
            return found
        name, _, rest = path.partition(":")
        return [file for file in self._by_path.get(rest, ()) if file.selection == name]

    def file(self, path: str) -> LockedFile:
        """The file of a full path in the catalogue's tree, or of `NAME:path` in the selection NAME.

        Raises:
            NotLockedError: there is none; names paths that are like it.
            AmbiguousPathError: selections have it with different content.
        """
        found = self._found(path)
        if not found:
            raise NotLockedError(f"no file {path!r} in {self.path}{_near(path, self._by_path)}")
        if not all(same_content(found[0], other) for other in found[1:]):
            words = " or ".join(f"{file.selection}:{path}" for file in found)
            raise AmbiguousPathError(f"{path!r} is in {self.path} with different contents: ask for {words}")
        return found[0]

    def __getitem__(self, path: str) -> Path:
        """The local path of a file whose bytes were checked: where it was synced, else in the cache, else fetched.

        Raises:
            NotLockedError, AmbiguousPathError: as `file` says.
            NotHereError: it is not here, and this is offline.
            SourceError, MismatchError: it could not be fetched, or its bytes are not the locked ones any more.
        """
        file = self.file(path)
        return self._synced(file) or self._cached(file)

    def _synced(self, file: LockedFile) -> Path | None:
        """Where it was synced to, if it is still the same; hashed only if its stamp does not say so."""
        place = self.place_of(file)
        path = self._top / place
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        known = self._known.get(place)
        if known is not None and known.fits(found) and known.digest in file.digests:
            return path
        return path if stat.S_ISREG(found.st_mode) and _has_content(path, file) else None

    def _cached(self, file: LockedFile) -> Path:
        from opendata_pkg.cache.cache import FileCache  # noqa: PLC0415 - none of it is needed once files are synced
        from opendata_pkg.cache.wanted import Got  # noqa: PLC0415
        from opendata_pkg.web.transport import Transport  # noqa: PLC0415

        cache = FileCache.open()
        snapshot = self.selections[file.selection].snapshot
        found = cache.find(snapshot, file.path, sha256=file.sha256, md5=file.md5)
        if found is not None:
            return found
        if self.offline:
            raise NotHereError(
                f"{file.path!r} is neither in {self.data} nor in the cache, and this is offline: "
                f"run `opendata sync --lock {self.path}` where there is a network"
            )
        with Transport.create() as transport:
            (outcome,) = cache.bring([self.cache_item(file)], transport=transport, jobs=1)
        if not isinstance(outcome, Got):
            raise outcome.error
        return outcome.path

    def cache_item(self, file: LockedFile, *, base_url: str | None = None) -> CacheItem:
        """How a file is asked of the cache; named by its place. Below `base_url` there may be a copy, tried first."""
        from opendata_pkg.cache.cache import CacheItem  # noqa: PLC0415 - as above
        from opendata_pkg.cache.wanted import Wanted  # noqa: PLC0415

        urls = file.urls if base_url is None else (base_url + quote(file.path), *file.urls)
        name = self.place_of(file)
        wanted = Wanted(name=name, urls=urls, size_bytes=file.size_bytes, sha256=file.sha256, md5=file.md5)
        return CacheItem(snapshot=self.selections[file.selection].snapshot, path=file.path, wanted=wanted)


def is_offline() -> bool:
    """Whether `OPENDATA_OFFLINE` says to leave the network alone."""
    return os.environ.get("OPENDATA_OFFLINE", "").strip().lower() not in {"", "0", "f", "false", "n", "no", "off"}


def _has_content(path: Path, file: LockedFile) -> bool:
    with path.open("rb") as stream:
        if file.size_bytes not in {None, os.fstat(stream.fileno()).st_size}:
            return False
        algorithm, _, value = file.digest.partition(":")
        return hashlib.file_digest(stream, algorithm).hexdigest() == value


def _near(path: str, known: Mapping[str, object]) -> str:
    """What a person probably meant: files of the same name, else paths that are like it."""
    name = path.rsplit("/", 1)[-1]
    found = [other for other in known if other.rsplit("/", 1)[-1] == name]
    import difflib  # noqa: PLC0415 - only for those who mistyped

    found = found or difflib.get_close_matches(path, known, _NEAR)
    words = ", ".join(repr(other) for other in found[:_NEAR])
    return f": did you mean {words}?" if words else "; `list(lock)` has all paths"
