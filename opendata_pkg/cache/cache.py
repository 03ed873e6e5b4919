"""The file cache: verified files of snapshots, in folders that plain pooch reads and fills as well.

`<cache>/files/<first 16 digits of the snapshot's id>/<path>`, read-only; beside it `parts/`, where downloads are
resumed, and `stamps/`, which saves hashing what has not changed. Any number of processes may use it at once; one that
may only read it reads it.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from opendata_pkg.cache.bringing import bring_all
from opendata_pkg.cache.download import LocalFileError, download
from opendata_pkg.cache.wanted import Failure, Got, Wanted, hash_file
from opendata_pkg.digests.checksums import cache_folder
from opendata_pkg.digests.stamps import Stamp, StampLog
from opendata_pkg.model import InputError, Md5, OpenDataError, Sha256, SourceError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opendata_pkg.cache.helper import Helper
    from opendata_pkg.web.transport import Transport

FILES, PARTS, STAMPS = "files", "parts", "stamps"
ID_DIGITS = 16
READ_ONLY = 0o444
LARGE_BYTES = 1_000_000_000
"""A transfer above this is announced."""

# A NUL, or a component that is empty, `.` or `..`.
_UNSAFE = re.compile(r"\0|(?:\A|/)\.{0,2}(?:/|\Z)")


class UnsafePathError(InputError):
    """A path would lead out of the folder it is meant for."""


class CacheChangedError(SourceError):
    """Somebody changes the cache's files while they are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheItem:
    """A file of a snapshot: its id, the path in the catalogue's tree, and what is wanted there."""

    snapshot: str
    path: str
    wanted: Wanted


def check_path(path: str) -> str:
    """A path below a folder, as it was given.

    Raises:
        UnsafePathError: it is absolute, or has an empty, `.` or `..` component, or a NUL.
    """
    if _UNSAFE.search(path):
        raise UnsafePathError(f"expected a path below a folder, such as Model_Data/cell.swc, got {path!r}")
    return path


class _Place(NamedTuple):
    """Where a file of the cache is: its snapshot's first digits, its path in the catalogue's tree, and its name."""

    snapshot: str
    path: str
    name: str


class _Order(NamedTuple):
    """Content to be brought to a place: something is `in_place`, and the same may be in other places of the cache."""

    wanted: Wanted
    place: _Place
    part_name: str
    in_place: bool
    others: tuple[_Place, ...]

    @property
    def is_far(self) -> bool:
        """Whether it is to come from the web, as far as can be told."""
        return not self.in_place and not self.others


class _Brought(NamedTuple):
    """What is in place now: `url` and `stamp` as in `Got` and in the log, where a stamp None stands already."""

    size_bytes: int
    sha256: Sha256
    url: str
    stamp: Stamp | None


class FileCache:
    """Files of snapshots on this machine's disk. Made by `FileCache.open`; usable from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root, self._parts = f"{folder}/{FILES}/", f"{folder}/{PARTS}/"
        self._lock = threading.RLock()
        self._logs: dict[str, StampLog] = {}
        self._places: dict[str, list[_Place]] | None = None
        self._digits: dict[str, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes another one of the same folder."""
        return FileCache, (self.folder,)

    @classmethod
    def open(cls, folder: Path | None = None) -> FileCache:
        """The cache in `folder`, by default that of `checksums.cache_folder`. Nothing is made until it is needed."""
        return cls((cache_folder() if folder is None else folder).absolute())

    def snapshot_folder(self, snapshot: str) -> Path:
        """Where a snapshot's files are: the `path` of a pooch."""
        return Path(self._root + check_path(snapshot[:ID_DIGITS]))

    def path_of(self, snapshot: str, path: str) -> Path:
        """Where a file is or would be; UnsafePathError if that were elsewhere."""
        return Path(self._place(snapshot, path).name)

    def find(self, snapshot: str, path: str, *, sha256: Sha256 | None, md5: Md5 | None) -> Path | None:
        """A file that is there with these digests, by its stamp or by hashing it; None otherwise.

        Without any digest, only a file that has not changed since it was fetched is found.
        """
        place = self._place(snapshot, path)
        return None if self._find(place, sha256, md5) is None else Path(place.name)

    def bring(
        self,
        wanted: Iterable[CacheItem],
        *,
        transport: Transport,
        jobs: int,
        reporter: Reporter = SILENT,
        early: Helper | None = None,
    ) -> Iterator[Got | Failure]:
        """Each item, from the cache or else downloaded into it, `jobs` at a time, as they become ready.

        Files that are there come first. Content that is there under another name is linked, not fetched. A transfer
        above a gigabyte is announced. Errors of single files are Failures; DiskFullError is raised. `early` is a helper
        (`bringing.early_helper`) that may be there already.
        """
        missing: dict[str, _Order] = {}
        again: dict[str, list[CacheItem]] = {}
        for item in wanted:
            file, place = item.wanted, self._place(item.snapshot, item.path)
            state = _state_of(place.name)
            agrees, stamp = (None, None) if state is None else self._by_stamp(place, state, file.sha256, file.md5)
            if agrees and stamp is not None:
                yield _got(file, place, stamp.size_bytes, stamp.sha256)
            elif (part_name := file.part_name) in missing:
                again.setdefault(part_name, []).append(item)
            else:
                missing[part_name] = _Order(file, place, part_name, state is not None, self._places_of(file))
        if not missing:
            return
        orders = list(missing.values())
        announce([order.wanted for order in orders], reporter)
        try:
            outcomes = bring_all(
                self._bring_one, orders, transport=transport, jobs=jobs, reporter=reporter, early=early
            )
            for number, outcome in outcomes:
                order = orders[number]
                yield from self._settle(order, outcome, again.get(order.part_name, ()))
        finally:
            with self._lock:
                logs = list(self._logs.values())
            for log in logs:
                log.flush()
            reporter.finish()

    def _settle(
        self, order: _Order, outcome: _Brought | OpenDataError, others: Iterable[CacheItem]
    ) -> Iterator[Got | Failure]:
        """What became of an order, and of all other items of the same content."""
        if isinstance(outcome, OpenDataError):
            yield Failure(wanted=order.wanted, error=outcome)
            for other in others:
                yield Failure(wanted=other.wanted, error=outcome)
            return
        if outcome.stamp is not None:
            self._note_stamp(order.place, outcome.stamp, later=True)
        got = _got(order.wanted, order.place, outcome.size_bytes, outcome.sha256, outcome.url)
        yield got
        for other in others:
            yield self._share(order.place, other, got)

    def _bring_one(self, order: _Order, transport: Transport, on_bytes: Callable[[int], None]) -> _Brought:
        """Bring one file, in whatever process: it is for who asked to note the stamp."""
        wanted, place = order.wanted, order.place

        def there() -> Got | None:
            stamp = self._find(place, wanted.sha256, wanted.md5)
            return None if stamp is None else _got(wanted, place, stamp.size_bytes, stamp.sha256)

        if order.in_place and (found := there()) is not None:
            on_bytes(found.size_bytes)
            return _Brought(found.size_bytes, found.sha256, "", None)
        for other in order.others:
            if (stamp := self._find(other, wanted.sha256, wanted.md5)) is not None:
                on_bytes(stamp.size_bytes)
                stamp = self._link(other, stamp, place)
                return _Brought(stamp.size_bytes, stamp.sha256, "", None)
        part = self._parts + order.part_name
        try:
            got = download(
                wanted, place.name, transport=transport, part=part, mode=READ_ONLY, on_bytes=on_bytes, find=there
            )
        except LocalFileError:
            # Where this process may only read, another one may have brought it meanwhile.
            if (found := there()) is None:
                raise
            got = found
        new = None
        if got.url:
            new = Stamp.of(os.lstat(place.name), got.sha256, wanted.md5 if wanted.sha256 is None else None)
        return _Brought(got.size_bytes, got.sha256, got.url, new)

    def _share(self, place: _Place, other: CacheItem, got: Got) -> Got:
        """The same content under another name of the same run."""
        target = self._place(other.snapshot, other.path)
        if place != target:
            stamp = self._find(place, got.sha256, None)
            if stamp is None:
                raise CacheChangedError(f"{got.path} changed while it was in use: run the same command again")
            self._link(place, stamp, target)
        return Got(
            wanted=other.wanted,
            local=target.name,
            size_bytes=got.size_bytes,
            sha256=got.sha256,
            url=got.url,
        )

    def _find(self, place: _Place, sha256: Sha256 | None, md5: Md5 | None) -> Stamp | None:
        """The stamp of a file that is there and right; it is hashed if no stamp tells."""
        state = _state_of(place.name)
        if state is None:
            return None
        agrees, stamp = self._by_stamp(place, state, sha256, md5)
        if agrees is not None:
            return stamp if agrees else None
        if sha256 is None and md5 is None:
            return None
        wanted = Wanted(name=place.path, urls=(), size_bytes=None, sha256=sha256, md5=md5)
        try:
            hashes = hash_file(place.name, wanted)
        except FileNotFoundError:
            # Somebody makes room in the cache just now.
            return None
        if hashes.fault is not None:
            return None
        return self._stamp(place, hashes.sha256, md5 if sha256 is None else None)

    def _by_stamp(
        self, place: _Place, state: os.stat_result, sha256: Sha256 | None, md5: Md5 | None
    ) -> tuple[bool | None, Stamp | None]:
        """Whether a file in this state is the wanted one, None if only hashing can tell; and its stamp if it fits."""
        log = self._log(place.snapshot)
        stamp = log.get(place.path)
        if (stamp is None or not stamp.fits(state)) and log.refresh():
            stamp = log.get(place.path)
        if stamp is None or not stamp.fits(state):
            return None, None
        return _agrees(stamp, sha256, md5), stamp

    def _stamp(self, place: _Place, sha256: Sha256, md5: Md5 | None) -> Stamp:
        """Note that a file, as it is now, has these digests."""
        stamp = Stamp.of(os.lstat(place.name), sha256, md5)
        self._note_stamp(place, stamp)
        return stamp

    def _note_stamp(self, place: _Place, stamp: Stamp, *, later: bool = False) -> None:
        """Keep a file's stamp; if `later`, when `bring` ends at the latest."""
        self._log(place.snapshot).add(place.path, stamp, later=later)
        with self._lock:
            if self._places is not None:
                _note(self._places, place, stamp)

    def _places_of(self, wanted: Wanted) -> tuple[_Place, ...]:
        """Where content with the wanted digest is, as far as stamps tell."""
        if not wanted.is_checkable:
            return ()
        with self._lock:
            if self._places is None:
                self._places = {}
                for file in (self.folder / STAMPS).glob("*.log"):
                    for path, stamp in self._log(file.stem).items():
                        # Whatever somebody wrote there, nothing outside is looked at.
                        if not _UNSAFE.search(f"{file.stem}/{path}"):
                            _note(self._places, self._place(file.stem, path), stamp)
            return tuple(self._places.get(wanted.expected, ()))

    def _link(self, place: _Place, stamp: Stamp, target: _Place) -> Stamp:
        """Give a file another name, or copy it where links are refused."""
        source, there = place.name, Path(target.name)
        state = os.lstat(source)
        new = Path(f"{self._parts}{stamp.sha256}.{os.getpid()}.{threading.get_ident()}.part")
        there.parent.mkdir(parents=True, exist_ok=True)
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                os.link(source, new)
            except OSError:
                import shutil  # noqa: PLC0415 - most file systems link

                shutil.copyfile(source, new)
                new.chmod(READ_ONLY)
            new.replace(there)
        finally:
            # Renaming a name of a file to another name of it does nothing.
            new.unlink(missing_ok=True)
        self._stamp_again(place, state)
        return self._stamp(target, stamp.sha256, stamp.md5)

    @contextmanager
    def while_linking(self, snapshot: str, path: str) -> Iterator[Path]:
        """A file that is given a name outside of the cache in this block; its stamp stays true."""
        place = self._place(snapshot, path)
        state = os.lstat(place.name)
        yield Path(place.name)
        self._stamp_again(place, state)

    def _stamp_again(self, place: _Place, before: os.stat_result) -> None:
        """A link changes the ctime that all names of a file share: what was true of it still is."""
        stamp = self._log(place.snapshot).get(place.path)
        with self._lock:
            names = list((self._places or {}).get("" if stamp is None else f"sha256:{stamp.sha256}", ()))
        for name in {*names, place}:
            noted = self._log(name.snapshot).get(name.path)
            if noted is not None and noted.fits(before):
                self._stamp(name, noted.sha256, noted.md5)

    def _log(self, digits: str) -> StampLog:
        log = self._logs.get(digits)
        if log is None:
            with self._lock:
                log = self._logs.setdefault(digits, StampLog(self.folder / STAMPS / f"{digits}.log"))
        return log

    def _place(self, snapshot: str, path: str) -> _Place:
        digits = self._digits.get(snapshot)
        if digits is None:
            digits = self._digits[snapshot] = check_path(snapshot[:ID_DIGITS])
        return _Place(digits, check_path(path), f"{self._root}{digits}/{path}")


def _state_of(name: str) -> os.stat_result | None:
    try:
        state = os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return state if stat.S_ISREG(state.st_mode) else None


def _agrees(stamp: Stamp, sha256: Sha256 | None, md5: Md5 | None) -> bool | None:
    """Whether stamped bytes are the wanted ones; None if only hashing can tell."""
    if sha256 is not None:
        return stamp.sha256 == sha256
    if md5 is None:
        return True
    return None if stamp.md5 is None else stamp.md5 == md5


def _note(places: dict[str, list[_Place]], place: _Place, stamp: Stamp) -> None:
    digests = [f"sha256:{stamp.sha256}", *([] if stamp.md5 is None else [f"md5:{stamp.md5}"])]
    for digest in digests:
        known = places.setdefault(digest, [])
        if place not in known:
            known.append(place)


def _got(wanted: Wanted, place: _Place, size_bytes: int, sha256: Sha256, url: str = "") -> Got:
    return Got(wanted=wanted, local=place.name, size_bytes=size_bytes, sha256=sha256, url=url)


def announce(wanted: list[Wanted], reporter: Reporter) -> None:
    """Say how much is to come, if it is much, and start the progress in bytes."""
    total = sum(file.size_bytes or 0 for file in wanted)
    if total > LARGE_BYTES:
        reporter.message(f"to fetch: {counted(len(wanted), 'file')}, {total / 1e9:,.1f} GB")
    reporter.start("fetching", total or None, unit="bytes")
