"""`opendata scan`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import EndpointUrlOption, JobsOption, JsonOption, ProfileOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.model import UsageError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.snapshot.storage import SnapshotSummary


class VersionsChoice(StrEnum):
    """Whether to list versions."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class ChecksumsChoice(StrEnum):
    """Whether to ask for the digests that S3 keeps."""

    NO = "no"
    HEAD = "head"


def scan(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="s3://BUCKET[/PREFIX], the manifest.json of an S3 Inventory (a path or s3://…), a listing file "
            "(.csv, .tsv, .parquet with columns key,size,…) or a folder.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="SNAPSHOT", help="Where to write the snapshot: a name ending in .parquet.")
    ],
    prefix: Annotated[
        list[str] | None,
        typer.Option("--prefix", metavar="P", help="Only keys that begin with P; may be repeated."),
    ] = None,
    endpoint_url: EndpointUrlOption = None,
    profile: ProfileOption = None,
    versions: Annotated[
        VersionsChoice, typer.Option("--versions", help="List versions: if allowed, in any case, or not at all.")
    ] = VersionsChoice.AUTO,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="A versioned bucket as it was at a time: 2024-05-31T12:00:00Z."),
    ] = None,
    checksums: Annotated[
        ChecksumsChoice, typer.Option("--checksums", help="Ask S3 for stored SHA-256 sums: one request an object.")
    ] = ChecksumsChoice.NO,
    etag_is_md5: Annotated[
        bool, typer.Option("--etag-is-md5", help="Take ETags without `-` as MD5s, on your word; some are checked.")
    ] = False,
    bucket: Annotated[
        str | None, typer.Option("--bucket", metavar="NAME", help="The bucket that a listing file is of.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="REGION", help="The AWS region of the bucket; found if not given.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Where readers fetch the files, if not from the source itself."),
    ] = None,
    jobs: JobsOption = 16,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List a bucket, an S3 Inventory, a listing file or a folder into a snapshot.

    What is listed of a bucket is kept beside SNAPSHOT (.checkpoint) until it is written: if the scan is interrupted,
    the same command goes on from there.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.scan import scan as scanning

    output = Output(json=json, quiet=quiet)
    request = scanning.ScanRequest(
        source=source,
        prefixes=tuple(prefix or ()),
        endpoint_url=endpoint_url,
        profile=profile,
        versions=versions.value,
        as_of=None if as_of is None else _parse_as_of(as_of),
        checksums=checksums.value,
        etag_is_md5=etag_is_md5,
        bucket=bucket,
        region=region,
        base_url=base_url,
        jobs=jobs,
    )
    summary = scanning.scan_to(out, request, reporter=output)
    output.result({"snapshot": str(out), **summary.document()}, _describe(summary, out))


def _parse_as_of(text: str) -> datetime:
    from opendata_pkg.snapshot.header import parse_time

    try:
        time = parse_time(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--as-of: {error}; write it as 2024-05-31T12:00:00Z") from error
    if time > datetime.now(UTC):
        raise UsageError(
            f"--as-of: expected a time of the past, got {text}: leave it out to scan the bucket as it is now"
        )
    return time


def _describe(summary: SnapshotSummary, out: Path) -> str:
    header, unknown = summary.header, summary.unknown_sizes
    lines = [
        f"{header.source}: {counted(summary.objects, 'object')}, {counted(summary.size_bytes, 'byte')}"
        + (f" (and {unknown:,} of unknown size)" if unknown else ""),
    ]
    if header.method == "ListObjectVersions" or header.older_versions or header.delete_markers:
        lines.append(f"older versions {header.older_versions:,}, delete markers {header.delete_markers:,}")
    lines.append(f"without a digest: {summary.without_digest:,}")
    lines.append(f"snapshot {summary.id}")
    lines.append(f"written to {out}")
    if header.base_url is None:
        lines.append("next: scan again with a public address (see above)")
    elif summary.without_digest:
        lines.append(f"next: opendata hash --dry-run {out}")
    else:
        lines.append(f"next: opendata build {out} --store STORE")
    return "\n".join(lines)
