"""What a person names to read from: a dataset of a store, a bucket, or a snapshot's file; and selecting files of it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from opendata_pkg.branch import ROOT
from opendata_pkg.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.checksums import cache_folder
from opendata_pkg.contents import read_files
from opendata_pkg.html import html_table
from opendata_pkg.lookup import find_in_releases, parse_dataset
from opendata_pkg.model import UsageError
from opendata_pkg.paths import Naming
from opendata_pkg.places import NoStoreError, NotInCacheError
from opendata_pkg.plan import find_clashes, is_marker, parents_of
from opendata_pkg.progress import SILENT, Reporter
from opendata_pkg.published import PublishedStore
from opendata_pkg.selection import FILES, EmptySelectionError, Origin, Rules, Selection, select
from opendata_pkg.snapshot import Snapshot
from opendata_pkg.snapshot_header import format_time

if TYPE_CHECKING:
    from opendata_pkg.state import DatasetEntry, State

EVERYTHING = Rules()


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Something that files can be selected of. `path` is the part of the word after its colon."""

    origin: Origin
    catalogue: Catalogue | None
    path: str | None = None

    def select(self, rules: Rules = EVERYTHING, *, reporter: Reporter = SILENT) -> Selection:
        """The files that the rules mean, with the path that was named with the target.

        Raises:
            EmptySelectionError: none; names what is near.
            UsageError: a glob is not in gitignore's syntax, or two paths are given.
        """
        if self.path is not None:
            if rules.path is not None:
                raise UsageError(f"expected one path, got {self.path} and {rules.path}")
            rules = replace(rules, path=self.path)
        rules = rules.normal()
        try:
            found = select(self._read(rules.path, reporter), rules, prefix=self.prefix, where=self.where)
        except EmptySelectionError:
            # To name what is near, all must be looked through.
            found = select(self._read(None, reporter), rules, prefix=self.prefix, where=self.where)
        return Selection(origin=self.origin, rules=rules, table=found, catalogue=self.catalogue)

    def _repr_html_(self) -> str:
        """What it is, as notebooks show it."""
        origin = self.origin
        title = None
        if self.catalogue is not None:
            path = "" if origin.branch == ROOT else origin.branch
            title = self.catalogue.branches[path].title
        facts = {
            "title": title,
            "source": origin.source,
            "version": origin.version,
            "date": origin.date,
            "commit": origin.commit,
            "snapshot": origin.snapshot,
            **self._figures(),
        }
        return html_table(self.where, (), [(name, value) for name, value in facts.items() if value is not None])

    @abstractmethod
    def _figures(self) -> dict[str, int]:
        """How much it holds."""

    @property
    @abstractmethod
    def where(self) -> str:
        """How messages name it."""

    @property
    @abstractmethod
    def prefix(self) -> str:
        """The folder that paths in rules are relative to, with its slash; empty for all."""

    @abstractmethod
    def _read(self, path: str | None, reporter: Reporter) -> pa.Table:
        """Its files in `FILES`; at least those at `path`."""


@dataclass(frozen=True, kw_only=True)
class StoreTarget(Target):
    """A dataset of a release, with all below it."""

    store: PublishedStore
    state: State
    entry: DatasetEntry

    @property
    def where(self) -> str:
        """`BRANCH@VERSION`."""
        return f"{self.origin.branch}@{self.origin.version}"

    @property
    def prefix(self) -> str:
        """The branch's folder."""
        return f"{self.entry.branch}/" if self.entry.branch else ""

    def _figures(self) -> dict[str, int]:
        return {"files": self.entry.subtree_files, "bytes": self.entry.subtree_bytes}

    def _read(self, path: str | None, reporter: Reporter) -> pa.Table:
        return read_files(self.store, self.state, self.entry.branch, path=path, reporter=reporter)


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


def open_target(
    word: str,
    *,
    store: str | Path | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = SILENT,
) -> Target:
    """What a word means: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's `.parquet` file.

    `catalogue` (by default the shipped one) names the store, if `store` does not; and says what a bucket's objects are.

    Raises:
        NotFoundError: there is no such store, version, branch, bucket or file.
        InputError: it is broken, or of a newer format.
        SourceError: a server refused or did not answer; or `offline`, and it is not in the cache.
        UsageError: the word is none, or no store is named anywhere.
    """
    if word.startswith("s3://"):
        return _open_bucket(word, catalogue, endpoint_url, offline=offline, reporter=reporter)
    if word.endswith(".parquet"):
        snapshot = Snapshot.read(Path(word))
        known = None if catalogue is None else Catalogue.load(catalogue)
        return _snapshot_target(snapshot, source=word, catalogue=known)
    parsed = parse_dataset(word)
    opened = PublishedStore.open(store_of(store, catalogue), endpoint_url=endpoint_url, offline=offline)
    state, known, entry = find_in_releases(opened, parsed)
    assert state.version is not None  # noqa: S101 - releases have one
    origin = Origin(
        source=opened.where,
        branch=entry.branch or ROOT,
        version=state.version,
        snapshot=state.snapshot,
        commit=entry.written.commits.main,
        date=opened.date_of(state.version)[:10],
    )
    return StoreTarget(origin=origin, catalogue=known, path=parsed.path, store=opened, state=state, entry=entry)


def store_of(store: str | Path | None, catalogue: Path | None) -> str | Path:
    """The store that was named, else the one that the catalogue names.

    Raises:
        NoStoreError: neither is; says how to name one.
    """
    if store is not None:
        return store
    known = shipped_catalogue() if catalogue is None else Catalogue.load(catalogue)
    if known.store is None:
        raise NoStoreError(
            f"the catalogue {known.id} names no published store: name one with --store PATH|URL or OPENDATA_STORE, or "
            "read straight from the bucket: s3://BUCKET/PREFIX in place of the dataset"
        )
    return known.store


def _open_bucket(
    word: str, catalogue: Path | None, endpoint_url: str | None, *, offline: bool, reporter: Reporter
) -> SnapshotTarget:
    """A bucket's objects as they are now; offline, as they were when last asked for."""
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
        return Catalogue.load(catalogue)
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
