"""Reading from a snapshot, or from a bucket as it is now: objects as something that files can be selected of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.catalogue.branch import ROOT
from opendata_pkg.digests.checksums import cache_folder
from opendata_pkg.plan.files import Passing, Tree, in_path_order, settle
from opendata_pkg.plan.selection import Origin, Rules, Selection, match_names, match_sizes, nothing_selected
from opendata_pkg.snapshot.canonical import ID_COLUMNS
from opendata_pkg.snapshot.header import format_time
from opendata_pkg.snapshot.snapshot import Snapshot
from opendata_pkg.snapshot.storage import StoredSnapshot
from opendata_pkg.store.places import NotInCacheError
from opendata_pkg.targets.target import EVERYTHING, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.files import Rows, Settled
    from opendata_pkg.progress import Reporter


@dataclass(frozen=True, kw_only=True, repr=False)
class SnapshotTarget(Target):
    """The objects of a snapshot below a folder of it (`folder`: with its slash; empty: all).

    Rows are looked at as they are read, and only those that rules mean are kept. The newest object's date is known
    after that: it stands in what is selected, and not in `origin`.
    """

    rows: Rows
    folder: str = ""

    @property
    def where(self) -> str:
        """The source."""
        return self.origin.source

    @property
    def prefix(self) -> str:
        """The folder of the source."""
        return self.folder

    @property
    def tree(self) -> Tree:
        """How its objects are told as files."""
        return Tree(base_url=self.rows.header.base_url, catalogue=self.catalogue)

    def objects(self, rules: Rules, passing: Passing) -> Iterator[Settled]:
        """The rows that rules mean, as they are read; `passing` looks at all."""
        for settled in settle(passing.look(self.rows.batches(ID_COLUMNS))):
            found = replace(settled, rows=match_sizes(settled.rows, rules))
            if rules.path is not None or rules.include or rules.exclude:
                files = match_names(self.tree.files(found), rules, prefix=self.prefix)
                found = replace(found, rows=files.select(ID_COLUMNS))
            yield found

    def _figures(self) -> dict[str, int]:
        return {"files": len(self.rows), "bytes": self.rows.size_bytes}

    def _select(self, rules: Rules, reporter: Reporter) -> Selection:  # noqa: ARG002 - it takes seconds
        passing, tree = Passing(), self.tree
        found = in_path_order(map(tree.files, self.objects(rules, passing)))
        if not found.num_rows:
            # To name what is near, all must be looked through.
            every = map(tree.files, self.objects(EVERYTHING, Passing()))
            raise nothing_selected(every, rules, prefix=self.prefix, where=self.where)
        origin = replace(self.origin, date=passing.newest_date)
        return Selection(origin=origin, rules=rules, table=found, catalogue=self.catalogue)


def open_snapshot(file: str, catalogue: Path | None) -> SnapshotTarget:
    """A snapshot's file; raises as `target.open_target` does."""
    return _snapshot_target(StoredSnapshot.open(Path(file)), source=file, catalogue=_load(catalogue))


def _load(catalogue: Path | None) -> Catalogue | None:
    if catalogue is None:
        return None
    # A snapshot alone needs no YAML.
    from opendata_pkg.catalogue.catalogue import Catalogue  # noqa: PLC0415

    return Catalogue.load(catalogue)


def open_bucket(
    word: str, catalogue: Path | None, endpoint_url: str | None, *, offline: bool, reporter: Reporter
) -> SnapshotTarget:
    """A bucket's objects as they are now; offline, as they were when last asked for. Raises as `target.open_target`."""
    kept = cache_folder() / "buckets" / f"{hashlib.sha256(f'{endpoint_url} {word}'.encode()).hexdigest()}.parquet"
    if offline:
        if not kept.is_file():
            raise NotInCacheError(f"{word} is not in the cache: run once without --offline")
        snapshot = Snapshot.read(kept)
        if snapshot.header.finished is not None:
            reporter.message(f"offline: {word} as it was at {format_time(snapshot.header.finished)}")
    else:
        # boto3 takes a while to import, which readers of stores need not wait for.
        from opendata_pkg.scan.scan import scan  # noqa: PLC0415

        snapshot = scan(word, endpoint_url=endpoint_url, reporter=reporter)
        snapshot.write(kept)
    bucket, _, prefix = word.removeprefix("s3://").partition("/")
    known = _catalogue_of_bucket(bucket, catalogue)
    target = _snapshot_target(snapshot, source=word, catalogue=known)
    # S3's prefixes end anywhere in a name; what people mean is a folder, or one object.
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    if folder != prefix:
        start, stop = snapshot.prefix_range(folder)
        if start == stop and snapshot.get(prefix) is not None:
            # One object: paths are relative to the folder that it is in.
            parent = prefix.rpartition("/")[0]
            return replace(target, folder=f"{parent}/" if parent else "", path=prefix.rpartition("/")[2])
        if start < stop:
            below = Snapshot(snapshot.table.slice(start, stop - start), snapshot.header)
            target = replace(target, rows=below)
        else:
            # Nothing is a folder of that name: the prefix is meant as S3 has it.
            folder = f"{prefix.rpartition('/')[0]}/" if "/" in prefix else ""
    return replace(target, folder=folder)


def _catalogue_of_bucket(bucket: str, catalogue: Path | None) -> Catalogue | None:
    """The catalogue that was named; the shipped one for the bucket of its id, since it says what is in there."""
    if catalogue is not None:
        return _load(catalogue)
    from opendata_pkg.catalogue.catalogue import shipped_catalogue  # noqa: PLC0415

    shipped = shipped_catalogue()
    return shipped if shipped.id == bucket else None


def _snapshot_target(rows: Rows, *, source: str, catalogue: Catalogue | None) -> SnapshotTarget:
    origin = Origin(source=source, branch=ROOT, version=None, snapshot=rows.id, commit=None, date=None)
    return SnapshotTarget(origin=origin, catalogue=catalogue, rows=rows)
