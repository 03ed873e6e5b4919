"""`opendata hash`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opendata_pkg.cli.options import (
    CatalogueOption,
    ExcludeOption,
    IncludeOption,
    JobsOption,
    JsonOption,
    ProfileOption,
    QuietOption,
)
from opendata_pkg.cli.output import Output
from opendata_pkg.model import UsageError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from opendata_pkg.scan.hashing import HashPlan, HashResult
    from opendata_pkg.scan.joining import JoinResult


class AlgorithmChoice(StrEnum):
    """Digests that can be computed."""

    SHA256 = "sha256"


def hash(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="The snapshot, as `opendata scan` wrote it.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="SNAPSHOT", help="Write here, instead of replacing SNAPSHOT.")
    ] = None,
    digests: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read no object: take digests from a CSV, TSV or Parquet file (columns key and sha256 or md5; "
            "version_id, size, etag), or a report of S3 Batch Operations; may be repeated.",
        ),
    ] = None,
    algorithm: Annotated[AlgorithmChoice, typer.Option("--algorithm", help="The digest.")] = AlgorithmChoice.SHA256,
    jobs: JobsOption = 16,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    max_bytes: Annotated[
        int | None,
        typer.Option("--max-bytes", metavar="N", min=0, help="Read at most N bytes in all, the smallest files first."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print objects, bytes and time by branch, and read nothing.")
    ] = False,
    no_cross_check: Annotated[
        bool,
        typer.Option(
            "--no-cross-check", help="Spare the processor: leave S3's checksums and ETags of uploads in parts alone."
        ),
    ] = False,
    catalogue: CatalogueOption = None,
    profile: ProfileOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fill in the digests that a snapshot lacks, by reading the objects or from files.

    What was read is kept in the cache at once: the same command goes on where it was stopped.
    """
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
    from opendata_pkg.digests.checksums import ChecksumCache
    from opendata_pkg.scan.hashing import hash_snapshot, plan_hash
    from opendata_pkg.snapshot.header import header_path
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.snapshot.storage import StoredSnapshot

    output = Output(json=json, quiet=quiet)
    target = snapshot if out is None else out
    header_path(target)
    if digests:
        if include or exclude or max_bytes is not None or dry_run or profile is not None:
            raise UsageError("--from reads no objects: leave out the options that say which, how many and how")
        from opendata_pkg.scan.joining import join_digests

        joined = join_digests(StoredSnapshot.open(snapshot), digests, reporter=output)
        joined.snapshot.write(target)
        output.result(_joined_document(joined, target), _describe_joined(joined, target))
        return
    known, globs = Snapshot.read(snapshot), {"include": include or (), "exclude": exclude or ()}
    with ChecksumCache.open() as cache:
        if dry_run:
            tree = shipped_catalogue() if catalogue is None else Catalogue.load(catalogue)
            plan = plan_hash(known, tree, cache=cache, max_bytes=max_bytes, jobs=jobs, **globs)
            output.result(asdict(plan), _describe_plan(plan))
            return
        result = hash_snapshot(
            known,
            cache=cache,
            max_bytes=max_bytes,
            jobs=jobs,
            profile=profile,
            algorithm=algorithm.value,
            cross_check=not no_cross_check,
            reporter=output,
            **globs,
        )
    result.snapshot.write(target)
    output.result(_to_document(result, target), _describe(result, target))
    result.check_complete()


def _describe_plan(plan: HashPlan) -> str:
    from opendata_pkg.cli.tables import draw_table, human_bytes

    columns = ("branch", "objects", "size", "time")
    rows = (
        (entry.branch, f"{entry.objects:,}", human_bytes(entry.size_bytes), _time(entry.estimated_s))
        for entry in plan.branches
    )
    lines = [draw_table(columns, rows, numbers=columns[1:]).rstrip()] if plan.branches else []
    unknown = f" (and {plan.unknown_sizes:,} of unknown size)" if plan.unknown_sizes else ""
    lines.append(f"to read: {counted(plan.objects, 'object')}, {counted(plan.size_bytes, 'byte')}{unknown}")
    lines.append(f"known from earlier runs: {plan.from_cache:,}; over the limit: {plan.skipped:,}")
    uncounted = "; objects of unknown size take longer" if plan.unknown_sizes else ""
    lines.append(f"about {_time(plan.estimated_s)}, at 50 MB/s in all and 0.1 s for each object of a job{uncounted}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _describe(result: HashResult, target: Path) -> str:
    read = f"{counted(result.hashed, 'object')}, {counted(result.hashed_bytes, 'byte')}"
    lines = [
        f"read {read}; known from earlier runs {result.from_cache:,}",
        f"failed {len(result.failed):,}; over the limit {result.skipped:,}",
        *_describe_checks(result),
        f"snapshot {result.snapshot.id}",
        f"written to {target}",
    ]
    if not result.failed:
        lines.append(f"next: opendata build {target} --store STORE")
    return "\n".join(lines)


def _describe_checks(result: HashResult) -> list[str]:
    kinds = [f"{name} {count:,}" for name, count in result.agreed.items()]
    if result.untold:
        kinds.append(f"of parts of unknown size, not compared, {result.untold:,}")
    return [f"cross-checks that agree: {', '.join(kinds)}"] if kinds else []


def _describe_joined(result: JoinResult, target: Path) -> str:
    import pyarrow.compute as pc

    table = result.snapshot.table
    without = pc.coalesce(table["sha256"], table["md5"]).null_count
    lines = [
        f"digests filled in for {counted(result.filled, 'object')}; matching entries {result.matched:,}",
        f"of another version, size or ETag {result.other_state:,}; not in the snapshot {result.not_listed:,}",
        f"no digest of an object's bytes {result.unusable:,}",
        f"without a digest: {without:,}",
        f"snapshot {result.snapshot.id}",
        f"written to {target}",
    ]
    lines.append(f"next: opendata {f'hash {target}' if without else f'build {target} --store STORE'}")
    return "\n".join(lines)


def _joined_document(result: JoinResult, target: Path) -> dict[str, object]:
    return {
        "snapshot": str(target),
        "id": result.snapshot.id,
        "filled": result.filled,
        "matched": result.matched,
        "other_state": result.other_state,
        "not_listed": result.not_listed,
        "unusable": result.unusable,
    }


def _to_document(result: HashResult, target: Path) -> dict[str, object]:
    return {
        "snapshot": str(target),
        "id": result.snapshot.id,
        "hashed": result.hashed,
        "hashed_bytes": result.hashed_bytes,
        "from_cache": result.from_cache,
        "skipped": result.skipped,
        "untried": result.untried,
        "failed": [asdict(failure) for failure in result.failed],
        "agreed": result.agreed,
        "untold": result.untold,
    }
