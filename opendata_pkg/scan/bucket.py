"""Scanning a bucket: what it lists, and which of its ETags are digests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from opendata_pkg.listing.etags import check_samples, choose_samples, decide, fill_md5
from opendata_pkg.listing.heads import list_sha256
from opendata_pkg.listing.read import S3ObjectReader
from opendata_pkg.listing.s3 import Versions, list_bucket
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.scan.hash_rows import Digests
from opendata_pkg.snapshot.header import SnapshotHeader
from opendata_pkg.snapshot.rows import each_key_once
from opendata_pkg.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.listing.etags import EtagVerdict

DEFAULT_JOBS = 16
_BATCH_ROWS = 65_536
Checksums = Literal["no", "head"]
"""Whether to ask S3 for the digests that it keeps: not at all, or by a HEAD request for each object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """What to list of a bucket, and what to ask of it. `base_url` is where readers fetch, if not from the bucket."""

    prefixes: tuple[str, ...] = ()
    versions: Versions = "auto"
    as_of: datetime | None = None
    checksums: Checksums = "no"
    etag_is_md5: bool = False
    base_url: str | None = None


def scan_bucket(
    bucket: Bucket,
    options: S3Options,
    *,
    source: str,
    jobs: int = DEFAULT_JOBS,
    checkpoint: Path | None = None,
    folder: Path | None = None,
    reporter: Reporter = SILENT,
) -> Snapshot:
    """The snapshot of an open bucket; `checkpoint` and `folder` are as in `list_bucket`."""
    started = datetime.now(UTC)
    listing = list_bucket(
        bucket,
        prefixes=options.prefixes,
        versions=options.versions,
        as_of=options.as_of,
        jobs=jobs,
        checkpoint=checkpoint,
        folder=folder,
        reporter=reporter,
    )
    verdict = _judge_etags(bucket, listing.table, told=options.etag_is_md5)
    header = SnapshotHeader(
        source=source,
        method=listing.method,
        base_url=options.base_url or bucket.base_url,
        bucket=bucket.name,
        region=bucket.region,
        endpoint_url=None if bucket.is_aws else bucket.endpoint_url,
        prefixes=options.prefixes,
        as_of=options.as_of,
        started=listing.started or started,
        older_versions=listing.older_versions,
        delete_markers=listing.delete_markers,
        unaddressable=listing.unaddressable,
        etags_are_md5=verdict.are_md5,
        etags_checked=verdict.checked,
        notes=(*listing.notes, verdict.reason),
    )
    batches = (pa.Table.from_batches([batch]) for batch in listing.table.to_batches(max_chunksize=_BATCH_ROWS))
    believed = map(fill_md5, batches) if verdict.are_md5 else batches
    snapshot = Snapshot.collect(each_key_once(believed), header, folder=folder)
    if options.checksums == "head":
        snapshot = _with_source_checksums(bucket, snapshot, jobs=jobs, folder=folder, reporter=reporter)
    return Snapshot(snapshot.table, replace(snapshot.header, finished=datetime.now(UTC)))


def _judge_etags(bucket: Bucket, table: pa.Table, *, told: bool) -> EtagVerdict:
    is_anonymous_aws = bucket.is_aws and bucket.is_anonymous
    samples = choose_samples(table) if is_anonymous_aws or told else []
    checks = check_samples(samples, S3ObjectReader(bucket=bucket))
    return decide(checks, is_anonymous_aws=is_anonymous_aws, told=told)


def _with_source_checksums(
    bucket: Bucket, snapshot: Snapshot, *, jobs: int, folder: Path | None, reporter: Reporter
) -> Snapshot:
    found = Digests()
    notes = list_sha256(bucket, snapshot.objects(), found.add, total=len(snapshot), jobs=jobs, reporter=reporter)
    header = replace(snapshot.header, notes=snapshot.header.notes + notes)
    return Snapshot.collect(found.fill(snapshot.batches()), header, folder=folder)
