"""Hashing: fill in the digests that a snapshot lacks, by reading the objects."""

from __future__ import annotations

import math
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.globs import compile_globs
from opendata_pkg.listing.checks import PARTS_BYTES
from opendata_pkg.listing.digest import DigestConflictError, Digested, digest_object
from opendata_pkg.listing.read import ConnectionLostError, ObjectReadError
from opendata_pkg.listing.source import ObjectSource
from opendata_pkg.model import InputError, ObjectKey, SourceError, UsageError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.scan.hash_rows import Digests, HashSelection, within
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.digests.checksums import ChecksumCache
    from opendata_pkg.model import S3Object
    from opendata_pkg.snapshot.header import SnapshotHeader

DEFAULT_JOBS = 16
ALGORITHM = "sha256"
# What an estimate assumes: a good connection's share, and the wait before an object's first byte.
RATE_BYTES_PER_S = 50_000_000
LATENCY_S = 0.1

# What is kept for MD5s of parts: eight of 8 MiB, the usual size, of each of eight jobs. An object that is most of the
# bytes may have as much again.
_PARTS_BYTES = 8 * PARTS_BYTES
_NAMED = 10


class NoAddressError(InputError):
    """A snapshot does not say where its objects can be read."""


class IncompleteHashError(SourceError):
    """Some objects could not be hashed; `failed` are they."""

    def __init__(self, failed: Sequence[HashFailure], untried: int) -> None:
        self.failed = tuple(failed)
        after = f"; {untried} more were not tried, since the server stopped answering" if untried else ""
        super().__init__(
            f"{counted(len(self.failed), 'object')} could not be hashed{after}. What was read is kept: "
            "mend what is said below, and run the same command again\n" + _named(self.failed)
        )


class ConflictingHashError(InputError):
    """Bytes of some objects contradict what is known of them; `failed` are they, and then others that failed."""

    def __init__(self, failed: Sequence[HashFailure]) -> None:
        self.failed = tuple(sorted(failed, key=lambda failure: not failure.is_conflict))
        conflicts = sum(failure.is_conflict for failure in self.failed)
        others = f", and {len(self.failed) - conflicts} could not be hashed" if conflicts < len(self.failed) else ""
        super().__init__(
            f"the bytes of {counted(conflicts, 'object')} are not those that were recorded{others}: "
            "they were given no digest\n" + _named(self.failed)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HashFailure:
    """An object that could not be hashed, and why.

    `is_conflict`: its bytes contradict what is known of them. `is_lost`: the server did not answer, or broke off.
    """

    key: ObjectKey
    reason: str
    is_conflict: bool = False
    is_lost: bool = False


def _named(failed: Sequence[HashFailure]) -> str:
    lines = [f"  {failure.key}: {failure.reason}" for failure in failed[:_NAMED]]
    if len(failed) > _NAMED:
        lines.append(f"  and {len(failed) - _NAMED} more, all named by --json")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashResult:
    """The snapshot with what is known now; how many objects were read (and their bytes) or found in the cache.

    `skipped` did not fit into `max_bytes`. `untried` were given up, when the server no longer answered. `agreed` counts
    the cross-checks of what was read by kind, such as `CRC32` or `MD5 of parts`; `untold` those whose parts are of no
    usual size.
    """

    snapshot: Snapshot
    hashed: int
    hashed_bytes: int
    from_cache: int
    skipped: int
    untried: int
    failed: tuple[HashFailure, ...]
    agreed: dict[str, int] = field(default_factory=dict)
    untold: int = 0

    def check_complete(self) -> None:
        """Raise ConflictingHashError if bytes contradict what is known of them, IncompleteHashError if any failed."""
        if any(failure.is_conflict for failure in self.failed):
            raise ConflictingHashError(self.failed)
        if self.failed:
            raise IncompleteHashError(self.failed, self.untried)


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchSum:
    """What is to be read of a branch's own objects; `.` is the root. `estimated_s` as in `HashPlan`."""

    branch: str
    objects: int
    size_bytes: int
    estimated_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HashPlan:
    """What `hash_snapshot` would do. `size_bytes` is the sum of the known sizes, `unknown_sizes` the objects without.

    `estimated_s` assumes 50 MB/s in all, and a tenth of a second before each object's first byte.
    """

    objects: int
    size_bytes: int
    unknown_sizes: int
    from_cache: int
    skipped: int
    branches: tuple[BranchSum, ...]
    estimated_s: float


def plan_hash(
    snapshot: Snapshot,
    catalogue: Catalogue,
    *,
    cache: ChecksumCache,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_bytes: int | None = None,
    jobs: int = DEFAULT_JOBS,
) -> HashPlan:
    """What hashing would read, by branch of the catalogue; nothing is read."""
    selection = _select(snapshot, cache, include=include, exclude=exclude, max_bytes=max_bytes)
    sums: dict[str, list[int]] = {}
    for _, target in _targets(snapshot, selection):
        counts = sums.setdefault(catalogue.owner_of(target.key).path, [0, 0])
        counts[0] += 1
        counts[1] += target.size_bytes or 0
    size_bytes = selection.size_bytes
    return HashPlan(
        objects=len(selection.rows),
        size_bytes=size_bytes,
        unknown_sizes=sum(size < 0 for size in selection.sizes),
        from_cache=len(selection.cached),
        skipped=selection.skipped,
        branches=tuple(
            BranchSum(branch=path or ROOT, objects=objects, size_bytes=size, estimated_s=_estimate(objects, size, jobs))
            for path, (objects, size) in sorted(sums.items())
        ),
        estimated_s=_estimate(len(selection.rows), size_bytes, jobs),
    )


def _estimate(objects: int, size_bytes: int, jobs: int) -> float:
    return size_bytes / RATE_BYTES_PER_S + objects * LATENCY_S / jobs


def hash_object(
    source: ObjectSource,
    target: S3Object,
    *,
    lanes: int = 1,
    cross_check: bool = True,
    parts_bytes: int = PARTS_BYTES,
    stopped: threading.Event | None = None,
    on_chunk: Callable[[int], None] = lambda _: None,
) -> Digested | HashFailure:
    """Read one object: all the work of a run that takes time, as a function of plain values.

    Source and object can be sent to any process or machine; so can the answer.

    Raises:
        SourceError: the bucket cannot be opened at all.
    """
    try:
        return digest_object(
            source.reader(),
            target,
            lanes=lanes,
            cross_check=cross_check,
            parts_bytes=parts_bytes,
            stopped=stopped,
            on_chunk=on_chunk,
        )
    except ObjectReadError as error:
        return HashFailure(
            key=target.key,
            reason=error.reason,
            is_conflict=isinstance(error, DigestConflictError),
            is_lost=isinstance(error, ConnectionLostError),
        )


def hash_snapshot(
    snapshot: Snapshot,
    *,
    cache: ChecksumCache,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_bytes: int | None = None,
    jobs: int = DEFAULT_JOBS,
    profile: str | None = None,
    algorithm: str = ALGORITHM,
    cross_check: bool = True,
    reporter: Reporter = SILENT,
) -> HashResult:
    """Read the objects that have no SHA-256, `jobs` at a time, a megabyte of each in memory.

    For MD5s of parts, up to 512 MiB are kept, and up to twice that where one object is most of the bytes.

    An object of a large share of the bytes gets as large a share of the jobs, and is read by several connections.

    `include` and `exclude` are gitignore-style globs on keys. `max_bytes` is the most to read in all: the smallest
    objects come first, and those of unknown size are left for a run without a limit. Each result goes to the cache at
    once. A recorded size or MD5 that the bytes do not have is a failure of that object; one object never stops the
    others. A size that was not known is filled in. With `cross_check`, so is a checksum that S3 itself states, and
    ETags of uploads in parts are recomputed.

    Raises:
        NoAddressError: the snapshot has neither a bucket nor a base URL.
        UsageError: another algorithm than sha256, or a glob that is none.
        SourceError: the bucket cannot be opened at all.
    """
    if algorithm != ALGORITHM:
        raise UsageError(f"expected {ALGORITHM} as the algorithm, got {algorithm!r}")
    selection = _select(snapshot, cache, include=include, exclude=exclude, max_bytes=max_bytes)
    found, failed, from_cache = selection.cached, list[HashFailure](), len(selection.cached)
    agreed, untold, lost_in_a_row, hashed_bytes = Counter[str](), 0, 0, 0
    if selection.rows:
        source = object_source(snapshot.header, profile=profile, jobs=jobs)
        source.reader()
        total = selection.size_bytes
        run = _Run(source, reporter, jobs=jobs, total_bytes=total, cross_check=cross_check)
        reporter.start("hashing", total=total, unit="bytes")
        work = map_unordered(run.read, _targets(snapshot, selection), jobs=jobs)
        with closing(source), closing(run), closing(work) as outcomes:
            for (row, target), outcome in outcomes:
                if isinstance(outcome, Digested):
                    cache.put(snapshot.header.base_url or "", target, outcome.checksum)
                    found.add(row, outcome.checksum)
                    hashed_bytes += outcome.checksum.size_bytes
                    agreed.update(outcome.agreed)
                    untold += len(outcome.untold)
                    lost_in_a_row = 0
                    continue
                failed.append(outcome)
                lost_in_a_row = lost_in_a_row + 1 if outcome.is_lost else 0
                if lost_in_a_row >= 2 * jobs:
                    break
        reporter.finish()
    hashed = len(found) - from_cache
    return HashResult(
        snapshot=_with_checksums(snapshot, found),
        hashed=hashed,
        hashed_bytes=hashed_bytes,
        from_cache=from_cache,
        skipped=selection.skipped,
        untried=len(selection.rows) - hashed - len(failed),
        failed=tuple(sorted(failed, key=lambda failure: failure.key.encode())),
        agreed=dict(sorted(agreed.items())),
        untold=untold,
    )


class _Run:
    """What the threads of one run share. Closing it makes them stop at their next chunk.

    Threads use all cores for large objects: hashing and receiving let go of Python's lock.
    """

    def __init__(
        self, source: ObjectSource, reporter: Reporter, *, jobs: int, total_bytes: int, cross_check: bool
    ) -> None:
        self._source, self._reporter, self._cross_check = source, reporter, cross_check
        self._jobs, self._total_bytes = jobs, total_bytes
        self._stopped = threading.Event()

    def read(self, item: tuple[int, S3Object]) -> Digested | HashFailure:
        target = item[1]
        share = (target.size_bytes or 0) / max(1, self._total_bytes)
        return hash_object(
            self._source,
            target,
            lanes=math.ceil(self._jobs * share),
            cross_check=self._cross_check,
            parts_bytes=int(_PARTS_BYTES * max(share, 1 / self._jobs)),
            stopped=self._stopped,
            on_chunk=self._reporter.advance,
        )

    def close(self) -> None:
        self._stopped.set()


def _select(
    snapshot: Snapshot, cache: ChecksumCache, *, include: Sequence[str], exclude: Sequence[str], max_bytes: int | None
) -> HashSelection:
    matches = compile_globs(include, exclude)
    selection = HashSelection()
    for row, target in _without_sha256(snapshot):
        if not matches(target.key):
            continue
        if (known := cache.get(snapshot.header.base_url or "", target)) is not None:
            selection.cached.add(row, known)
        else:
            selection.rows.append(row)
            selection.sizes.append(-1 if target.size_bytes is None else target.size_bytes)
    return selection if max_bytes is None else within(selection, max_bytes)


def _targets(snapshot: Snapshot, selection: HashSelection) -> Iterator[tuple[int, S3Object]]:
    wanted = iter(selection.rows)
    following = next(wanted, None)
    for row, target in _without_sha256(snapshot):
        if row == following:
            yield row, target
            following = next(wanted, None)


def _without_sha256(snapshot: Snapshot) -> Iterator[tuple[int, S3Object]]:
    """The objects that lack it, with their rows: of a snapshot that has most, few become objects."""
    start = 0
    for batch in snapshot.batches():
        is_missing = pc.is_null(batch["sha256"])
        missing = Snapshot(batch.filter(is_missing), snapshot.header)
        rows = pc.add(pc.indices_nonzero(is_missing).cast(pa.int64()), start).to_pylist()
        yield from zip(rows, missing.objects(), strict=True)
        start += len(batch)


def object_source(header: SnapshotHeader, *, profile: str | None = None, jobs: int = DEFAULT_JOBS) -> ObjectSource:
    """Where a snapshot's objects are read.

    Raises:
        NoAddressError: it has neither a bucket nor a base URL.
        UsageError: a profile, and nothing that it could sign for.
    """
    if header.bucket is None and header.base_url is None:
        raise NoAddressError(
            f"the snapshot of {header.source} does not say where its objects can be read: "
            "scan again with --bucket and --region, or --base-url"
        )
    if header.bucket is None and profile is not None:
        raise UsageError(
            f"--profile signs requests to S3, but {header.base_url} is read as any web server: leave it out"
        )
    return ObjectSource(
        bucket=header.bucket,
        region=header.region,
        endpoint_url=header.endpoint_url,
        base_url=header.base_url if header.bucket is None else None,
        profile=profile,
        # As many again, since each object may have one connection more than its share.
        connections=2 * jobs,
    )


def _with_checksums(snapshot: Snapshot, found: Digests) -> Snapshot:
    if not found:
        return snapshot
    notes = (*snapshot.header.notes, f"the SHA-256 of {counted(len(found), 'object')} was computed from their bytes")
    return Snapshot.collect(found.fill(snapshot.batches()), replace(snapshot.header, notes=notes))
