"""A folder of files against what is recorded of them: by path, then by digest. Nothing is written to it."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from opendata_pkg.digests.file_checks import Subject, check_files, missing
from opendata_pkg.digests.file_digests import DEFAULT_JOBS, DigestRequest, FileDigest, digest_files, kind_of
from opendata_pkg.digests.findings import Finding, Status, Tally
from opendata_pkg.lock.format import RESERVED_PREFIX
from opendata_pkg.model import NotFoundError
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from opendata_pkg.cache.synced import Known


class NoFolderError(NotFoundError):
    """There is no folder to verify."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A file that should be in a folder: its path there, with `/`; its size and digest (`ALGORITHM:HEX`) if known.

    `other_names` are paths that it may go by as well, such as its key in the bucket.
    """

    path: str
    size_bytes: int | None
    digest: str | None
    other_names: tuple[str, ...] = ()


def check_folder(
    folder: Path,
    expected: Iterable[Expected],
    *,
    by_digest: bool = False,
    known: Mapping[str, Known] | None = None,
    jobs: int = DEFAULT_JOBS,
    reporter: Reporter = SILENT,
) -> tuple[Tally, int]:
    """Check every expected file of a folder and tell what else is there.

    `known` are files that need not be read while their stamps fit; how many did comes second in what is returned.
    A name in another Unicode form (as copies by way of a Mac have) counts as the name, and is told. With `by_digest`,
    what is not in its place is looked for in the whole folder.

    Raises:
        NoFolderError: there is no such folder.
    """
    check_there(folder)
    there = _Listing(folder)
    subjects, absent = _match(folder, dict.fromkeys(expected), there)
    record = known or {}

    def trust(subject: Subject, status: os.stat_result) -> bool:
        known = record.get(subject.found_at or subject.name)
        return known is not None and known.digest == subject.digest and known.fits(status)

    tally, trusted, search = Tally(), 0, _Search(folder, there)
    for entry, finding in absent:
        search.lost(entry, finding)
    for checked in check_files(subjects, jobs=jobs, trust=trust, reporter=reporter):
        entry, place = subjects[checked.subject]
        search.used.add(place)
        trusted += checked.trusted
        tally.read_bytes += checked.read_bytes
        tally.size_bytes += checked.size_bytes
        if by_digest and (checked.finding is None or checked.finding.status is Status.RENAMED):
            search.hold(entry, place)
        if checked.finding is None:
            tally.counts[Status.OK] += 1
        elif checked.finding.status in {Status.MISSING, Status.CHANGED}:
            search.lost(entry, checked.finding)
        else:
            tally.add(checked.finding)
    if by_digest and search.losses:
        search.look(jobs=jobs, reporter=reporter, tally=tally)
    for finding in [*search.findings(tally), *there.unexpected(search.used), *there.unreadable]:
        tally.add(finding)
    return tally, trusted


def check_there(folder: Path) -> None:
    """Raise NoFolderError unless there is a folder."""
    if not folder.is_dir():
        raise NoFolderError(f"there is no folder {folder}: name the one that holds the files")


def _match(
    folder: Path, expected: Iterable[Expected], there: _Listing
) -> tuple[dict[Subject, tuple[Expected, str]], list[tuple[Expected, Finding]]]:
    """Where each expected file is, by name: (what to check → the entry and its place), and those that are nowhere."""
    subjects: dict[Subject, tuple[Expected, str]] = {}
    absent: list[tuple[Expected, Finding]] = []
    for entry in expected:
        place, note = there.place_of(entry)
        subject = Subject(
            name=entry.path,
            file=folder / (place or entry.path),
            size_bytes=entry.size_bytes,
            digest=entry.digest,
            found_at=None if place == entry.path else place,
            note=note,
        )
        if place is None:
            absent.append((entry, missing(subject)))
        else:
            subjects[subject] = (entry, place)
    return subjects, absent


class _Listing:
    """The paths of what is below a folder, less folders. Links to them may lead in circles: they are not followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: set[str] = set()
        self.unreadable: list[Finding] = []
        pending = [""]
        while pending:
            self._list(pending.pop(), pending)

    def _list(self, prefix: str, pending: list[str]) -> None:
        try:
            with os.scandir(self.folder / prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if path == ".git" or path.startswith(RESERVED_PREFIX):
                        # The folder's own, and what sync keeps there, are no files of anybody's.
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{path}/")
                    else:
                        self.paths.add(path)
        except FileNotFoundError:
            # It vanished since its parent was listed: what should be in it is told as missing.
            return
        except OSError as error:
            note = f"this folder cannot be read ({error.strerror}): what else is in it is not known"
            self.unreadable.append(Finding(status=Status.UNREADABLE, path=prefix or ".", note=note))

    @cached_property
    def _by_form(self) -> dict[str, str]:
        """Composed form → path; of several, the first in order."""
        return {_composed(path): path for path in sorted(self.paths, reverse=True)}

    def place_of(self, entry: Expected) -> tuple[str | None, str]:
        """Where an expected file is, and what to say if that is elsewhere; (None, "") if it is nowhere."""
        # What is beneath a link to a folder is not listed, but it is there.
        if entry.path in self.paths or _may_be_there(self.folder / entry.path):
            return entry.path, ""
        for other in entry.other_names:
            if other in self.paths:
                return other, ", another of its names"
        found = self._by_form.get(_composed(entry.path))
        return (None, "") if found is None else (found, ", the same name in another Unicode form")

    def unexpected(self, used: set[str]) -> Iterator[Finding]:
        """What nobody expects."""
        for path in self.paths - used:
            note = f"nobody recorded it{_kind(self.folder / path)}"
            yield Finding(status=Status.EXTRA, path=path, note=note)


class _Search:
    """Looks for the content of what is not in its place."""

    def __init__(self, folder: Path, there: _Listing) -> None:
        self.used: set[str] = set()
        self.losses: list[tuple[Expected, Finding]] = []
        self._folder, self._there = folder, there
        self._held: dict[str, str] = {}

    def lost(self, entry: Expected, finding: Finding) -> None:
        """Take a file that is missing, or that has other content."""
        self.losses.append((entry, finding))

    def hold(self, entry: Expected, place: str) -> None:
        """Take a place that was found to have an entry's content."""
        if entry.digest is not None:
            self._held[entry.digest] = min(place, self._held.get(entry.digest, place))

    def look(self, *, jobs: int, reporter: Reporter, tally: Tally) -> None:
        """Read what may be the content of a lost file: files that nobody claims, or whose own content is another."""
        wanted = [entry for entry, _ in self.losses if entry.digest is not None]
        algorithms = tuple(sorted({str(entry.digest).partition(":")[0] for entry in wanted}))
        sizes = {entry.size_bytes for entry in wanted}
        others = {finding.found_at or entry.path for entry, finding in self.losses}
        requests = []
        for path in sorted((self._there.paths - self.used) | (self._there.paths & others)):
            request = self._request(path, algorithms)
            if request is not None and (None in sizes or request.size_bytes in sizes):
                requests.append(request)
        found: dict[str, str] = {}
        places = {request: request.path.relative_to(self._folder).as_posix() for request in requests}
        reporter.start("looking for renamed files", sum(request.size_bytes for request in requests), "bytes")
        for request, outcome in digest_files(requests, jobs=jobs, on_bytes=reporter.advance):
            if isinstance(outcome, FileDigest):
                tally.read_bytes += outcome.size_bytes
                for algorithm, digest in outcome.digests.items():
                    name = f"{algorithm}:{digest}"
                    found[name] = min(places[request], found.get(name, places[request]))
        reporter.finish()
        # A file that nobody claims is the likelier one.
        self._held |= found

    def _request(self, path: str, algorithms: tuple[str, ...]) -> DigestRequest | None:
        try:
            size_bytes = (self._folder / path).stat().st_size
        except OSError:
            return None
        return DigestRequest(path=self._folder / path, size_bytes=size_bytes, algorithms=algorithms)

    def findings(self, tally: Tally) -> Iterator[Finding]:
        """What became of the lost files; those found again count with their bytes."""
        for entry, finding in self.losses:
            place = None if entry.digest is None else self._held.get(entry.digest)
            if place is None:
                yield finding
            elif finding.status is Status.CHANGED:
                yield replace(finding, note=f"{finding.note}; its content is here as {place}", found_at=place)
            else:
                self.used.add(place)
                tally.size_bytes += entry.size_bytes or 0
                yield replace(
                    finding,
                    status=Status.RENAMED,
                    note=f"its content is here as {place}",
                    found=entry.digest,
                    found_at=place,
                )


def _may_be_there(path: Path) -> bool:
    """Whether something is at a path, as far as anybody may look."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _kind(path: Path) -> str:
    """What to say of something that is no ordinary file."""
    try:
        status = path.stat()
    except OSError:
        return "; a link that leads to nothing" if path.is_symlink() else ""
    if stat.S_ISREG(status.st_mode):
        return ""
    return "; a link to a folder, not looked into" if path.is_symlink() else f"; a {kind_of(status.st_mode)}"


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)
