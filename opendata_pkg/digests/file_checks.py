"""Files on this machine against what is recorded of them: sizes first, then digests, many at a time.

What cannot be decided without reading is decided first, so that a file of another size is never read.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.digests.file_digests import (
    DEFAULT_JOBS,
    DigestRequest,
    FileDigest,
    NotARegularFileError,
    digest_files,
    kind_of,
)
from opendata_pkg.digests.findings import Finding, Status
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from opendata_pkg.digests.file_digests import Outcome

UNDIGESTED_KEPT = "no digest is recorded; it has the recorded size"
UNDIGESTED = "neither a digest nor a size is recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A file and what it should hold. `name` is what findings call it; `digest` is `ALGORITHM:HEX`, by hashlib's names.

    `found_at` is where it was found, if that is not where it should be: then it is renamed at best. `note` says why
    it is elsewhere, or without a digest.
    """

    name: str
    file: Path
    size_bytes: int | None
    digest: str | None
    found_at: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a subject: a finding, or None if it is as recorded. Sizes in bytes; `trusted`: by its stamp."""

    subject: Subject
    finding: Finding | None
    size_bytes: int = 0
    read_bytes: int = 0
    trusted: bool = False


def check_files(
    subjects: Iterable[Subject],
    *,
    jobs: int = DEFAULT_JOBS,
    trust: Callable[[Subject, os.stat_result], bool] | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Checked]:
    """Check files, in whatever order they are done.

    One content under several names (links) is read once. `trust` says whether a file need not be read: it has the
    recorded size already.
    """
    waiting: dict[object, list[tuple[Subject, int]]] = {}
    for subject in subjects:
        try:
            status = subject.file.stat()
        except OSError as error:
            yield Checked(subject=subject, finding=_not_opened(subject, error))
            continue
        finding = _by_looking(subject, status)
        if finding is not None:
            yield Checked(subject=subject, finding=finding)
        elif trust is not None and trust(subject, status):
            yield Checked(subject=subject, finding=_found(subject), size_bytes=status.st_size, trusted=True)
        else:
            waiting.setdefault(_content_of(subject, status), []).append((subject, status.st_size))
    groups = {
        DigestRequest(path=group[0][0].file, size_bytes=group[0][1], algorithms=(_algorithm(group[0][0]),)): group
        for group in waiting.values()
    }
    reporter.start("verifying", sum(request.size_bytes for request in groups), "bytes")
    for request, outcome in digest_files([*groups], jobs=jobs, on_bytes=reporter.advance):
        group = groups[request]
        if isinstance(outcome, FileDigest) or len(group) == 1:
            read_bytes = outcome.size_bytes if isinstance(outcome, FileDigest) else 0
            for subject, _ in group:
                yield _judge(subject, outcome, read_bytes)
                read_bytes = 0
        else:
            # What went wrong with one name need not be true of the others.
            for subject, _ in group:
                yield from check_files([subject], jobs=1, trust=trust)
    reporter.finish()


def _content_of(subject: Subject, status: os.stat_result) -> object:
    """What two names of one content have in common, and different contents never have."""
    if not status.st_ino:
        # Some file systems have no inodes.
        return subject
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times, _algorithm(subject)


def _algorithm(subject: Subject) -> str:
    return (subject.digest or "").partition(":")[0]


def missing(subject: Subject, note: str = "it is not there") -> Finding:
    """The finding of a file that is not there."""
    return Finding(status=Status.MISSING, path=subject.name, note=note, expected=subject.digest)


def _not_opened(subject: Subject, error: OSError) -> Finding:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if subject.file.is_symlink():
            return missing(subject, f"a link is there that leads to nothing: {subject.file.readlink()}")
        return missing(subject)
    return Finding(
        status=Status.UNREADABLE,
        path=subject.name,
        note=f"it cannot be read ({error.strerror}): check its permissions",
        expected=subject.digest,
    )


def _by_looking(subject: Subject, status: os.stat_result) -> Finding | None:
    """What can be said without reading; None if it must be read."""
    if not stat.S_ISREG(status.st_mode):
        return _changed(subject, f"a {kind_of(status.st_mode)} stands there, not a file", None)
    if subject.size_bytes is not None and status.st_size != subject.size_bytes:
        note = f"it has {status.st_size:,} bytes, expected {subject.size_bytes:,}"
        return _changed(
            subject, note, f"{status.st_size} bytes", expected=subject.digest or f"{subject.size_bytes} bytes"
        )
    if subject.digest is None:
        note = subject.note or (UNDIGESTED if subject.size_bytes is None else UNDIGESTED_KEPT)
        return Finding(status=Status.UNVERIFIABLE, path=subject.name, note=note, found_at=subject.found_at)
    return None


def _judge(subject: Subject, outcome: Outcome, read_bytes: int) -> Checked:
    if isinstance(outcome, FileDigest):
        algorithm = _algorithm(subject)
        size, found = outcome.size_bytes, f"{algorithm}:{outcome.digests[algorithm]}"
        if found == subject.digest:
            return Checked(subject=subject, finding=_found(subject), size_bytes=size, read_bytes=read_bytes)
        finding = _changed(subject, f"its content is another: expected {subject.digest}, got {found}", found)
        return Checked(subject=subject, finding=finding, read_bytes=read_bytes)
    if isinstance(outcome, OSError):
        finding = _not_opened(subject, outcome)
    elif isinstance(outcome, NotARegularFileError):
        finding = _changed(subject, f"a {outcome.kind} stands there, not a file", None)
    else:
        finding = _changed(subject, "it changed while it was read: run again when nothing writes to it", None)
    return Checked(subject=subject, finding=finding, read_bytes=read_bytes)


def _found(subject: Subject) -> Finding | None:
    """None for a file in its place, else that it is elsewhere."""
    if subject.found_at is None:
        return None
    return Finding(
        status=Status.RENAMED,
        path=subject.name,
        note=f"its content is here as {subject.found_at}{subject.note}",
        expected=subject.digest,
        found=subject.digest,
        found_at=subject.found_at,
    )


def _changed(subject: Subject, note: str, found: str | None, *, expected: str | None = None) -> Finding:
    at = "" if subject.found_at is None else f" (found as {subject.found_at})"
    return Finding(
        status=Status.CHANGED,
        path=subject.name,
        note=f"{note}{at}",
        expected=expected or subject.digest,
        found=found,
        found_at=subject.found_at,
    )
