"""Scanning: a source becomes a snapshot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.columns.sorting import SortedRows
from opendata_pkg.listing.bucket import open_bucket, parse_s3_source
from opendata_pkg.listing.checkpoint import remove_checkpoint
from opendata_pkg.listing.folder import list_folder
from opendata_pkg.listing.manifest import NAME as MANIFEST_NAME
from opendata_pkg.listing.manifest import BucketPlace, FolderPlace, Place, read_manifest
from opendata_pkg.listing.s3_inventory import read_inventory
from opendata_pkg.listing.table import SUFFIXES, is_listing_file, key_stands_twice, read_listing
from opendata_pkg.model import NotFoundError, OpenDataError, SourceError, UsageError
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.scan.bucket import DEFAULT_JOBS, Checksums, S3Options, scan_bucket
from opendata_pkg.snapshot.header import SnapshotHeader, header_path
from opendata_pkg.snapshot.rows import SCHEMA, DuplicateKeyError, each_key_once
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import write_snapshot
from opendata_pkg.urls import base_url as make_base_url
from opendata_pkg.urls import check_http_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from opendata_pkg.listing.s3 import Versions
    from opendata_pkg.snapshot.storage import SnapshotSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """What to scan, and how; what each means is in `scan`."""

    source: str
    prefixes: tuple[str, ...] = ()
    endpoint_url: str | None = None
    profile: str | None = None
    versions: Versions = "auto"
    as_of: datetime | None = None
    checksums: Checksums = "no"
    etag_is_md5: bool = False
    bucket: str | None = None
    region: str | None = None
    base_url: str | None = None
    jobs: int = DEFAULT_JOBS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scanned:
    """A snapshot that is still to be put together: its rows in order, each key once, as they are asked for."""

    header: SnapshotHeader
    batches: Iterable[pa.Table]


def scan(
    source: str,
    *,
    prefixes: Sequence[str] = (),
    endpoint_url: str | None = None,
    profile: str | None = None,
    versions: Versions = "auto",
    as_of: datetime | None = None,
    checksums: Checksums = "no",
    etag_is_md5: bool = False,
    bucket: str | None = None,
    region: str | None = None,
    base_url: str | None = None,
    jobs: int = DEFAULT_JOBS,
    reporter: Reporter = SILENT,
) -> Snapshot:
    """List a source into a snapshot: `s3://bucket[/prefix]`, an S3 Inventory, a listing file, or a folder.

    `base_url` is where readers fetch, if that is not where the source is. `prefixes` are S3's: a key's first
    characters, not a folder's name. A listing file's address is `bucket` and `region` (or `endpoint_url`), or
    `base_url`. An S3 Inventory is named by its `manifest.json`, on this machine or as `s3://bucket/…/manifest.json`.

    Raises:
        UsageError: the source is of no known kind, or an option does not fit it.
        NotFoundError: there is no such file or folder.
        OpenDataError: as `list_bucket`, `read_inventory`, `read_listing` and `list_folder` say.
    """
    request = ScanRequest(
        source=source,
        prefixes=tuple(prefixes),
        endpoint_url=endpoint_url,
        profile=profile,
        versions=versions,
        as_of=as_of,
        checksums=checksums,
        etag_is_md5=etag_is_md5,
        bucket=bucket,
        region=region,
        base_url=base_url,
        jobs=jobs,
    )
    with SortedRows(SCHEMA) as rows:
        scanned = _scan(request, rows, checkpoint=None, reporter=reporter)
        return Snapshot.collect(scanned.batches, scanned.header)


def scan_to(out: Path, request: ScanRequest, *, reporter: Reporter = SILENT) -> SnapshotSummary:
    """Scan into the snapshot file `out`: as `scan`, for any number of objects.

    The rows of a bucket, an S3 Inventory or a listing file are never in memory together: what does not fit waits beside
    `out`, in files without a name. A bucket's listing is kept beside `out` (`.checkpoint`) until the snapshot is
    written: if it is interrupted, the next one goes on from there.

    Raises:
        OtherListingError: a listing with other options was interrupted there.
        OpenDataError: as `scan` says.
    """
    header_path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_path(out)
    with SortedRows(SCHEMA, folder=out.parent) as rows, _disk_in_words(out.parent):
        scanned = _scan(request, rows, checkpoint=checkpoint, reporter=reporter)
        reporter.start(f"writing {out}")
        summary = write_snapshot(scanned.batches, scanned.header, out)
        reporter.finish()
    remove_checkpoint(checkpoint)
    return summary


def checkpoint_path(out: Path) -> Path:
    """Where the listing of a bucket is kept until the snapshot `out` is written."""
    return out.with_suffix(".checkpoint")


def _scan(request: ScanRequest, rows: SortedRows, *, checkpoint: Path | None, reporter: Reporter) -> _Scanned:
    source, jobs = request.source, request.jobs
    s3_options = {
        "--prefix": bool(request.prefixes),
        "--profile": request.profile is not None,
        "--versions": request.versions != "auto",
        "--as-of": request.as_of is not None,
        "--checksums": request.checksums != "no",
        "--etag-is-md5": request.etag_is_md5,
    }
    address = _Address(
        bucket=request.bucket, region=request.region, endpoint_url=request.endpoint_url, base_url=request.base_url
    )
    if source.rpartition("/")[2] == MANIFEST_NAME:
        scanned = _scan_inventory(request, address, rows, reporter=reporter)
    elif source.startswith("s3://"):
        _refuse("an S3 source, which names its own bucket", {"--bucket": request.bucket is not None})
        folder = rows.folder or None
        snapshot = _open_and_scan(request, checkpoint=checkpoint, folder=folder, reporter=reporter)
        scanned = _Scanned(header=snapshot.header, batches=[snapshot.table])
    elif is_listing_file(source):
        _refuse("a listing file", s3_options)
        scanned = _scan_listing(Path(source), address, rows, source=source, reporter=reporter)
    elif Path(source).is_dir():
        _refuse("a folder", s3_options)
        if request.bucket is not None or request.region is not None or request.endpoint_url is not None:
            raise UsageError("expected --base-url for the public address of a folder, not --bucket or --endpoint-url")
        snapshot = _scan_folder(Path(source), address, source=source, jobs=jobs, reporter=reporter)
        scanned = _Scanned(header=snapshot.header, batches=[snapshot.table])
    else:
        raise _unknown_source(source)
    for note in scanned.header.notes:
        reporter.message(note)
    return scanned


def _open_and_scan(
    request: ScanRequest, *, checkpoint: Path | None, folder: Path | None, reporter: Reporter
) -> Snapshot:
    if request.as_of is not None and request.versions == "no":
        raise UsageError("--as-of needs versions, which --versions no leaves out: leave out one of them")
    name, prefix = parse_s3_source(request.source)
    if prefix and request.prefixes:
        raise UsageError(f"expected prefixes in the source or after --prefix, got both: {request.source} and --prefix")
    opened = open_bucket(
        name,
        region=request.region,
        endpoint_url=request.endpoint_url,
        profile=request.profile,
        connections=request.jobs,
    )
    options = S3Options(
        prefixes=(prefix,) if prefix else request.prefixes,
        versions=request.versions,
        as_of=request.as_of,
        checksums=request.checksums,
        etag_is_md5=request.etag_is_md5,
        base_url=None if request.base_url is None else _normal_base(request.base_url),
    )
    return scan_bucket(
        opened,
        options,
        source=request.source,
        jobs=request.jobs,
        checkpoint=checkpoint,
        folder=folder,
        reporter=reporter,
    )


@contextmanager
def _disk_in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"cannot write to {folder} ({error.strerror or error}): check the disk and permissions"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """Where the files of a listing are for readers."""

    bucket: str | None
    region: str | None
    endpoint_url: str | None
    base_url: str | None

    def url(self) -> str | None:
        if self.base_url is not None:
            return _normal_base(self.base_url)
        if self.bucket is not None:
            return make_base_url(self.bucket, self.region, self.endpoint_url)
        if self.region is not None or self.endpoint_url is not None:
            raise UsageError("expected --bucket with --region or --endpoint-url: they do not make an address alone")
        return None


def _scan_listing(path: Path, address: _Address, rows: SortedRows, *, source: str, reporter: Reporter) -> _Scanned:
    started, url = _now(), address.url()
    reporter.start(f"reading {path}", unit="objects")
    for table in read_listing(path, reporter=reporter):
        rows.add(table)
    reporter.finish()
    header = SnapshotHeader(
        source=source,
        method="listing-file",
        base_url=url,
        bucket=address.bucket,
        region=address.region,
        endpoint_url=address.endpoint_url,
        started=started,
        finished=_now(),
        notes=_address_notes(url, "--bucket and --region, or --base-url"),
    )
    return _Scanned(header=header, batches=_each_key_once(rows, lambda key: key_stands_twice(path, key)))


def _each_key_once(rows: SortedRows, stands_twice: Callable[[str], OpenDataError]) -> Iterator[pa.Table]:
    try:
        yield from each_key_once(rows.batches())
    except DuplicateKeyError as error:
        raise stands_twice(error.key) from error


def _inventory_place(source: str, address: _Address, *, profile: str | None, jobs: int) -> tuple[Place, _Address]:
    """Where the files of an inventory are, and what that says of the bucket that it lists."""
    if not source.startswith("s3://"):
        return FolderPlace(Path(source)), address
    name, key = parse_s3_source(source)
    bucket = open_bucket(
        name, region=address.region, endpoint_url=address.endpoint_url, profile=profile, connections=jobs
    )
    # "The destination bucket must be in the same AWS Region as the source bucket" (Amazon S3 user guide).
    return BucketPlace(bucket, key), replace(address, region=bucket.region)


def _scan_inventory(request: ScanRequest, address: _Address, rows: SortedRows, *, reporter: Reporter) -> _Scanned:
    source, jobs, profile = request.source, request.jobs, request.profile
    _refuse(
        "an S3 Inventory",
        {
            "--bucket": request.bucket is not None,
            "--as-of": request.as_of is not None,
            "--checksums": request.checksums != "no",
            "--profile": profile is not None and not source.startswith("s3://"),
        },
    )
    place, address = _inventory_place(source, address, profile=profile, jobs=jobs)
    started = _now()
    manifest = read_manifest(place, where=source)
    url = replace(address, bucket=manifest.bucket).url()
    listing = read_inventory(
        manifest,
        place,
        rows,
        prefixes=request.prefixes,
        versions=request.versions,
        etag_is_md5=request.etag_is_md5,
        jobs=jobs,
        reporter=reporter,
    )
    header = SnapshotHeader(
        source=source,
        method="S3 Inventory",
        base_url=url,
        bucket=manifest.bucket,
        region=address.region,
        endpoint_url=address.endpoint_url,
        prefixes=request.prefixes,
        as_of=manifest.created,
        started=started,
        finished=_now(),
        older_versions=listing.older_versions,
        delete_markers=listing.delete_markers,
        etags_are_md5=listing.etags_are_md5,
        notes=listing.notes,
    )
    return _Scanned(header=header, batches=_each_key_once(rows, manifest.has_two_latest))


def _scan_folder(path: Path, address: _Address, *, source: str, jobs: int, reporter: Reporter) -> Snapshot:
    started, url = _now(), address.url()
    listing = list_folder(path, jobs=jobs, reporter=reporter)
    header = SnapshotHeader(
        source=source,
        method="folder",
        base_url=url,
        started=started,
        finished=_now(),
        notes=(*listing.notes, *_address_notes(url, "--base-url")),
    )
    return Snapshot.create(listing.table, header)


def _address_notes(url: str | None, options: str) -> tuple[str, ...]:
    if url is not None:
        return ()
    return (f"the files have no public address, so that nothing can be built of this snapshot: give {options}",)


def _refuse(kind: str, options: dict[str, bool]) -> None:
    given = [name for name, is_given in options.items() if is_given]
    if given:
        raise UsageError(f"{' and '.join(given)} cannot be used with {kind}: leave it out")


def _normal_base(url: str) -> str:
    return check_http_url(url).rstrip("/") + "/"


def _now() -> datetime:
    return datetime.now(UTC)


def _unknown_source(source: str) -> UsageError | NotFoundError:
    kinds = (
        f"s3://BUCKET[/PREFIX], an S3 Inventory's {MANIFEST_NAME}, a listing file ({' '.join(SUFFIXES)}) or a folder"
    )
    if Path(source).exists():
        return UsageError(f"expected {kinds}, got {source!r}, which is another kind of file")
    return NotFoundError(f"expected {kinds}, got {source!r}, which does not exist")
