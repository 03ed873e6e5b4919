"""Reading from a snapshot, or from a bucket as it is now: objects as something that files can be selected of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.branch import ROOT
from opendata_pkg.checksums import cache_folder
from opendata_pkg.paths import Naming
from opendata_pkg.places import NotInCacheError
from opendata_pkg.plan import find_clashes, is_marker, parents_of
from opendata_pkg.selection import FILES, Origin
from opendata_pkg.snapshot import Snapshot
from opendata_pkg.snapshot_header import format_time
from opendata_pkg.target import Target

if TYPE_CHECKING:
    from opendata_pkg.catalogue import Catalogue
    from opendata_pkg.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class SnapshotTarget(Target):
    """The objects of a snapshot below a folder of it (`folder`: with its slash; empty: all)."""

    snapshot: Snapshot
    folder: str = ""

    @property
    def where(self) -> str:
        """The source."""
        return self.origin.source

    @property
    def prefix(self) -> str:
        """The folder of the source."""
        return self.folder

    def _figures(self) -> dict[str, int]:
        return {"files": len(self.snapshot), "bytes": self.snapshot.size_bytes}

    def _read(self, path: str | None, reporter: Reporter) -> pa.Table:  # noqa: ARG002 - it is all here
        return self._files

    @cached_property
    def _files(self) -> pa.Table:
        return files_of_snapshot(self.snapshot, self.catalogue)


def open_snapshot(file: str, catalogue: Path | None) -> SnapshotTarget:
    """A snapshot's file; raises as `target.open_target` does."""
    snapshot = Snapshot.read(Path(file))
    return _snapshot_target(snapshot, source=file, catalogue=_load(catalogue))


def _load(catalogue: Path | None) -> Catalogue | None:
    if catalogue is None:
        return None
    # A snapshot alone needs no YAML.
    from opendata_pkg.catalogue import Catalogue  # noqa: PLC0415

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
        from opendata_pkg.scan import scan  # noqa: PLC0415

        snapshot = scan(word, endpoint_url=endpoint_url, reporter=reporter)
        snapshot.write(kept)
    bucket, _, prefix = word.removeprefix("s3://").partition("/")
    known = _catalogue_of_bucket(bucket, catalogue)
    target = _snapshot_target(snapshot, source=word, catalogue=known)
    # S3's prefixes end anywhere in a name; what people mean is a folder, or one object.
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    keys = snapshot.table["key"]
    if folder != prefix:
        below = pc.starts_with(keys, folder)
        is_one = snapshot.get(prefix) is not None
        if is_one and not pc.any(below).as_py():
            # One object: paths are relative to the folder that it is in.
            parent = prefix.rpartition("/")[0]
            return replace(target, folder=f"{parent}/" if parent else "", path=prefix.rpartition("/")[2])
        if pc.any(below).as_py():
            snapshot = Snapshot(snapshot.table.filter(below), snapshot.header)
            target = replace(target, snapshot=snapshot)
        else:
            # Nothing is a folder of that name: the prefix is meant as S3 has it.
            folder = f"{prefix.rpartition('/')[0]}/" if "/" in prefix else ""
    return replace(target, folder=folder)


def _catalogue_of_bucket(bucket: str, catalogue: Path | None) -> Catalogue | None:
    """The catalogue that was named; the shipped one for the bucket of its id, since it says what is in there."""
    if catalogue is not None:
        return _load(catalogue)
    from opendata_pkg.catalogue import shipped_catalogue  # noqa: PLC0415

    shipped = shipped_catalogue()
    return shipped if shipped.id == bucket else None


def _snapshot_target(snapshot: Snapshot, *, source: str, catalogue: Catalogue | None) -> SnapshotTarget:
    newest_us = pc.max(snapshot.table["last_modified"].cast(pa.int64())).as_py()
    date = None if newest_us is None else datetime.fromtimestamp(newest_us / 1_000_000, UTC).date().isoformat()
    origin = Origin(source=source, branch=ROOT, version=None, snapshot=snapshot.id, commit=None, date=date)
    return SnapshotTarget(origin=origin, catalogue=catalogue, snapshot=snapshot)


def files_of_snapshot(snapshot: Snapshot, catalogue: Catalogue | None) -> pa.Table:
    """A snapshot's objects in `FILES`: keys as paths, as a dataset without subdatasets would have them."""
    markers = is_marker(snapshot.table)
    table = snapshot.table.filter(pc.invert(markers)) if pc.any(markers).as_py() else snapshot.table
    keys = table["key"].combine_chunks()
    files, folders = find_clashes(keys, ())
    columns = {
        "path": Naming(prefix="", renamed_files=files, renamed_folders=folders).paths_of(keys),
        "branch": _owners(keys, catalogue),
        "base_url": _constant(snapshot.header.base_url, len(keys)),
    }
    columns |= {name: table[name] for name in FILES.names if name not in columns}
    found = pa.table([columns[name] for name in FILES.names], FILES)
    paths = columns["path"]
    # Only an escaped path stands elsewhere than its key.
    in_order = pc.all(pc.less(paths.slice(0, max(len(paths) - 1, 0)), paths.slice(1))).as_py()
    return found if in_order else found.take(pc.sort_indices(paths))


def _owners(keys: pa.Array, catalogue: Catalogue | None) -> pa.Array:
    """For each key the path of the branch that it belongs to: all of a folder's own objects belong to one."""
    if catalogue is None:
        return _constant("", len(keys))
    folders = parents_of(keys).dictionary_encode()
    owners = [catalogue.owner_of(f"{folder}/" if folder else "").path for folder in folders.dictionary.to_pylist()]
    return pa.array(owners, pa.string()).take(folders.indices).dictionary_encode()


def _constant(text: str | None, length: int) -> pa.Array:
    one = pa.array([text], pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.repeat(one.indices[0], length), one.dictionary)
