"""`sync`: bring exactly the files of a lock into a folder, from wherever their bytes are nearest.

It decides file by file what to do, then does it. What it brought is written down in `.opendata.json`; only that is ever
replaced or removed, and only while it is as it was brought.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendata_pkg.cache.synced import Known, Record, read_record, write_record
from opendata_pkg.cache.target_folder import InTheWayError, NotPutError, TargetFolder, describe
from opendata_pkg.model import OpenDataError, UsageError
from opendata_pkg.parallel import count_cores, map_unordered
from opendata_pkg.paths import fold
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.readers.copies import Copies, check_folder, digest_of
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from opendata_pkg.cache.cache import FileCache
    from opendata_pkg.lock.format import LockedFile
    from opendata_pkg.lock.lock import Lock

_URL = re.compile(r"https?://", re.IGNORECASE)
_SHOWN_MAX = 5
_SAVE_EVERY_S = 20
_COUNTS = ("kept", "adopted", "from_copy", "from_cache", "downloaded", "downloaded_bytes")
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})


class IncompleteSyncError(OpenDataError):
    """Not every file of a lock could be brought; the exit status is the highest of the single errors'."""

    def __init__(self, failed: tuple[SyncFailure, ...], files: int) -> None:
        self.failed = failed
        self.exit_status = max(failure.error.exit_status for failure in failed)
        # One folder that cannot be entered is one sentence, however many files belong in it.
        sentences = list(dict.fromkeys(str(failure.error) for failure in failed))
        shown = "".join(f"\n  {sentence}" for sentence in sentences[:_SHOWN_MAX])
        more = f"\n  and {len(sentences) - _SHOWN_MAX} more" if len(sentences) > _SHOWN_MAX else ""
        super().__init__(f"{len(failed):,} of {counted(files, 'file')} could not be brought:{shown}{more}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFailure:
    """A file of the lock that was not brought, by its place in the folder, and why."""

    place: str
    error: OpenDataError


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a sync did: how many files were `kept`, found there with the right bytes (`adopted`), or brought.

    `removed` are files of an earlier lock; `left` are such files that somebody changed, so that they stay.
    """

    folder: Path
    kept: int
    adopted: int
    from_copy: int
    from_cache: int
    downloaded: int
    downloaded_bytes: int
    removed: tuple[str, ...]
    left: tuple[str, ...]
    failed: tuple[SyncFailure, ...]

    @property
    def files(self) -> int:
        """How many files of the lock are there now."""
        return self.kept + self.adopted + self.from_copy + self.from_cache + self.downloaded

    def check_complete(self) -> None:
        """Raise `IncompleteSyncError` if a file could not be brought."""
        if self.failed:
            raise IncompleteSyncError(self.failed, self.files + len(self.failed))

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "folder": str(self.folder),
            "files": self.files,
            **{name: getattr(self, name) for name in _COUNTS},
            "removed": list(self.removed),
            "left": list(self.left),
            "failed": [{"path": failure.place, "error": str(failure.error)} for failure in self.failed],
        }


def sync(
    lock: Lock,
    *,
    to: Path | None = None,
    from_: Path | str | None = None,
    link: bool = False,
    jobs: int = 16,
    offline: bool | None = None,
    reporter: Reporter = SILENT,
) -> SyncResult:
    """Bring exactly the files of a lock into a folder.

    Args:
        lock: what to bring.
        to: the folder; by default `data` beside the lock.
        from_: a folder or URL with a copy, which is tried before the bucket; its bytes are checked like all others.
        link: make read-only hard links to the cache's files, which take no room, instead of copies.
        jobs: how many transfers at a time.
        offline: take what is on this machine and never touch the network; by default as the lock was opened.
        reporter: what is told.

    Returns:
        What was done; `check_complete` raises if a file could not be brought. All others were.

    Raises:
        BusyFolderError: another sync fills the folder.
        BrokenRecordError: the folder's record was altered.
        NoCopyError: there is no such folder as `from_`.
        OSError: the disk is full, or the folder cannot be written.
    """
    if from_ is not None and not _URL.match(str(from_)):
        check_folder(Path(from_))
    folder = lock.data if to is None else to
    with TargetFolder.open(folder) as target:
        run = _Run(lock, target, reporter, link=link, jobs=jobs, offline=lock.offline if offline is None else offline)
        return run.run(from_)


class Decision(Enum):
    """What to do about a file that is there: it is the wanted one, it was brought for an earlier lock, or neither."""

    ADOPT = auto()
    REPLACE = auto()
    REFUSE = auto()


class _Run:
    """One sync: the folder's record as it becomes, and what has been done so far."""

    def __init__(
        self, lock: Lock, target: TargetFolder, reporter: Reporter, *, link: bool, jobs: int, offline: bool
    ) -> None:
        self.lock, self.target, self.reporter = lock, target, reporter
        self.link, self.jobs, self.offline = link, jobs, offline
        self.before = read_record(target.path)
        self.known = dict(self.before.known)
        self.bringing = dict(self.before.bringing)
        # Two selections may share a file: the first one's row is taken.
        self.wanted: dict[str, LockedFile] = {}
        for place, file in zip(lock.content.places, lock.files, strict=True):
            self.wanted.setdefault(place, file)
        self.missing: dict[str, bool] = {}
        self.count: Counter[str] = Counter()
        self.removed: list[str] = []
        self.left: list[str] = []
        self.failed: list[SyncFailure] = []
        self.saved_s = time.monotonic()

    def run(self, from_: Path | str | None) -> SyncResult:
        """Do all of it; the record is right however this ends."""
        try:
            self._remove_others()
            self._look_at_all()
            self._bring(from_)
        finally:
            self.reporter.finish()
            self._save()
        counts = {name: self.count[name] for name in _COUNTS}
        failed = tuple(sorted(self.failed, key=lambda failure: failure.place.encode()))
        return SyncResult(
            folder=self.target.path, removed=tuple(self.removed), left=tuple(self.left), failed=failed, **counts
        )

    def _save(self) -> None:
        record = Record(dict(self.known), dict(self.bringing))
        if record != self.before:
            write_record(self.target.path, record)
            self.before = record
        self.saved_s = time.monotonic()

    def _fail(self, place: str, error: OpenDataError) -> None:
        self.failed.append(SyncFailure(place=place, error=error))

    def _digests_here(self, place: str) -> set[str]:
        """The digests by which a file at a place would be one that was brought."""
        known = self.known.get(place)
        brought = {known.digest} if known is not None and known.brought else set()
        return brought | ({self.bringing[place]} if place in self.bringing else set())

    def _has_digest(self, place: str, digests: set[str]) -> bool:
        return any(self._hash(place, digest) == digest for digest in digests)

    def _hash(self, place: str, like: str) -> str:
        with os.fdopen(self.target.open_file(place), "rb") as stream:
            return digest_of(stream, like.partition(":")[0])

    # What an earlier lock had.

    def _remove_others(self) -> None:
        """Remove what was brought for an earlier lock, if nobody has changed it since."""
        for place in sorted((self.known.keys() | self.bringing.keys()) - self.wanted.keys()):
            digests = self._digests_here(place)
            known = self.known.pop(place, None)
            self.bringing.pop(place, None)
            try:
                found = self.target.look(place)
            except NotPutError:
                continue
            if found is None or not digests:
                continue
            stamped = known is not None and known.fits(found)
            if stat.S_ISREG(found.st_mode) and (stamped or self._has_digest(place, digests)):
                self.target.remove(place)
                self.removed.append(place)
            else:
                self.left.append(place)

    # What is there already.

    def _look_at_all(self) -> None:
        """Note what is there, and what is missing."""
        self._say_clashes()
        self.reporter.start("looking", total=len(self.wanted))
        unknown = []
        for place, file in self.wanted.items():
            try:
                found = self.target.look(place)
            except NotPutError as error:
                self._refuse(place, error)
                continue
            known = self.known.get(place)
            if found is None:
                self.missing[place] = False
            elif known is not None and known.fits(found) and known.digest in file.digests:
                self.count["kept"] += 1
            else:
                unknown.append((place, found))
                continue
            self.reporter.advance()
        for (place, found), decision in map_unordered(self._decide, unknown, jobs=min(self.jobs, count_cores())):
            self.reporter.advance()
            if decision is Decision.ADOPT:
                brought = bool(self._digests_here(place) & set(self.wanted[place].digests))
                self._note(place, self.wanted[place], found, "adopted", brought=brought)
            elif decision is Decision.REPLACE:
                self.missing[place] = True
            else:
                self._refuse(place, InTheWayError(place, describe(found)))

    def _refuse(self, place: str, error: NotPutError) -> None:
        self.known.pop(place, None)
        self._fail(place, error)

    def _decide(self, item: tuple[str, os.stat_result]) -> Decision:
        """What to do about a file that is there and whose stamp does not say that it is the wanted one."""
        place, found = item
        file, known = self.wanted[place], self.known.get(place)
        if not stat.S_ISREG(found.st_mode):
            return Decision.REFUSE
        if file.size_bytes in {None, found.st_size} and self._hash(place, file.digest) == file.digest:
            return Decision.ADOPT
        if known is not None and known.brought and known.fits(found):
            return Decision.REPLACE
        return Decision.REPLACE if self._has_digest(place, self._digests_here(place)) else Decision.REFUSE

    def _note(self, place: str, file: LockedFile, found: os.stat_result, count: str, *, brought: bool = True) -> None:
        """Write down that a file is there, and how it came."""
        self.known[place] = Known.of(file.digest, found, brought=brought)
        self.bringing.pop(place, None)
        self.count[count] += 1
        if time.monotonic() > self.saved_s + _SAVE_EVERY_S:
            self._save()

    def _say_clashes(self) -> None:
        folded: dict[str, str] = {}
        pairs = [
            (folded[name], place) for place in self.wanted if folded.setdefault(name := fold(place), place) != place
        ]
        if pairs:
            first, second = pairs[0]
            more = f" (and {counted(len(pairs) - 1, 'more pair')})" if len(pairs) > 1 else ""
            self.reporter.message(
                f"{first!r} and {second!r}{more} differ only by case or accents: many file systems can hold just one"
            )

    # What is missing.

    def _bring(self, from_: Path | str | None) -> None:
        if not self.missing:
            self.bringing.clear()
            return
        # Written down first: whose a file is must be known even if this is killed in the middle.
        self.bringing = {place: self.wanted[place].digest for place in self.missing}
        self._save()
        base_url = None
        if from_ is not None:
            if _URL.match(str(from_)):
                base_url = f"{str(from_).rstrip('/')}/"
            else:
                self._bring_copies(Path(from_))
        if self.missing:
            self._bring_by_cache(base_url)
        self.bringing.clear()

    def _bring_copies(self, folder: Path) -> None:
        """Take what somebody's copy has."""
        self.reporter.start("copying", total=len(self.missing))
        copies = Copies(folder, [self.wanted[place] for place in self.missing], jobs=self.jobs)
        for place in list(self.missing):
            self.reporter.advance()
            file = self.wanted[place]
            for source in copies.candidates(place, file):
                if self._put(place, "from_copy", partial(self._copy, source, hashed=True)):
                    break

    def _bring_by_cache(self, base_url: str | None) -> None:
        """Take what the cache has, and download the rest into it."""
        from opendata_pkg.cache.cache import CacheChangedError, FileCache  # noqa: PLC0415 - a sync that finds all in place needs none of it
        from opendata_pkg.cache.wanted import Got  # noqa: PLC0415
        from opendata_pkg.web.transport import Transport  # noqa: PLC0415

        cache = FileCache.open()
        items = [self.lock.cache_item(self.wanted[place], base_url=base_url) for place in self.missing]
        put = partial(self._link, cache) if self.link else partial(self._copy, hashed=False)
        with Transport.create(connections=self.jobs, offline=self.offline) as transport:
            for outcome in cache.bring(items, transport=transport, jobs=self.jobs, reporter=self.reporter):
                place = outcome.wanted.name
                if not isinstance(outcome, Got):
                    self._fail(place, outcome.error)
                    continue
                count = "downloaded" if outcome.url else "from_cache"
                if not self._put(place, count, partial(put, outcome.path)):
                    self._fail(place, CacheChangedError(f"{outcome.path} changed while it was copied: run this again"))
                elif outcome.url:
                    self.count["downloaded_bytes"] += outcome.size_bytes

    def _put(self, place: str, count: str, put: Callable[[str], os.stat_result | None]) -> bool:
        """Put a file at its place; whether that is settled now, be it because something is in the way."""
        try:
            found = put(place)
        except NotPutError as error:
            self._fail(place, error)
        else:
            if found is None:
                return False
            self._note(place, self.wanted[place], found, count)
        del self.missing[place]
        return True

    def _copy(self, source: Path, place: str, *, hashed: bool) -> os.stat_result | None:
        """Copy a file; what the cache hands out was hashed, what others have was not."""
        fits = partial(_fits, self.wanted[place], hashed=hashed)
        return self.target.copy(source, place, check=fits, replace=self.missing[place])

    def _link(self, cache: FileCache, source: Path, place: str) -> os.stat_result | None:
        """Give a file of the cache another name."""
        file = self.wanted[place]
        try:
            with cache.while_linking(self.lock.selections[file.selection].snapshot, file.path):
                return self.target.link(source, place, replace=self.missing[place])
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            raise UsageError(
                f"expected the cache and {self.target.path} on one file system that has hard links, for --link "
                f"({error.strerror}): set OPENDATA_CACHE to a folder there, or leave out --link"
            ) from error


def _fits(file: LockedFile, handle: int, *, hashed: bool) -> bool:
    """Whether a copy, open at its beginning, is the file."""
    if file.size_bytes not in {None, os.fstat(handle).st_size}:
        return False
    with os.fdopen(handle, "rb", closefd=False) as stream:
        return not hashed or digest_of(stream, file.digest.partition(":")[0]) == file.digest
