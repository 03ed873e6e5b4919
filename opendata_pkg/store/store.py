"""The store: one static folder that a steward publishes, as docs/reference/store-layout.md describes it.

`index.json` is written last in all that changes a store: what it does not name is not there for a reader.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendata_pkg.documents import FORMAT, InvalidDocumentError, dump_json, read_json, validate
from opendata_pkg.files import write_bytes, write_text
from opendata_pkg.git.bound_packs import list_from_dict, list_to_dict
from opendata_pkg.git.repository import Repository
from opendata_pkg.model import InputError, NotFoundError, SourceError
from opendata_pkg.snapshot.header import SnapshotHeader, header_path
from opendata_pkg.store.places import BrokenStoreError, NoStoreError, StoreFolder
from opendata_pkg.store.published import INDEX, PACKS, NotAStoreError, PublishedStore
from opendata_pkg.store.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.git.bound_packs import PackList
    from opendata_pkg.snapshot.snapshot import Snapshot
    from opendata_pkg.snapshot.unread import UnreadSnapshot

REPORT = "report.csv"
DRAFT_MAIN, DRAFT_ANNEX = "refs/opendata/draft/main", "refs/opendata/draft/git-annex"
MAIN, ANNEX = "refs/heads/main", "refs/heads/git-annex"

# What group and others may do with what is published: read it, and enter folders.
_READABLE = 0o055

# "SemVer without a pre-release part": three numbers without leading zeros.
_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class NoDraftError(NotFoundError):
    """There is nothing to release."""


class BusyStoreError(SourceError):
    """Somebody else is writing to the store."""


class VersionError(InputError):
    """A version that cannot be released: not SemVer, not above the last, or released already."""


class Store(PublishedStore):
    """A store's folder, for its steward. Only `build` and `release` write to it, under `locked`."""

    def __init__(self, path: Path) -> None:
        """Take the folder as it is; `open` or `open_or_create` check it."""
        super().__init__(StoreFolder(path))
        self.path = path

    @classmethod
    def open(cls, where: str | Path, **_: object) -> Store:
        """An existing store in a folder.

        Raises:
            NoStoreError: there is no such folder.
            NotAStoreError: the folder is no store.
            InputError: its index is broken, or of a newer format.
        """
        path = Path(where)
        if not path.exists():
            raise NoStoreError(f"no store at {path}: make one with: opendata build SNAPSHOT --store {path}")
        store = cls(path)
        store.index()
        return store

    @classmethod
    def open_or_create(cls, path: Path, catalogue_id: str, *, dry_run: bool = False) -> Store:
        """A store of that catalogue; made where there is nothing yet, unless `dry_run`.

        Raises:
            NotAStoreError: the folder holds other things, or is no folder.
            InputError: the store is of another catalogue, broken, or of a newer format.
        """
        if path.exists() and (not path.is_dir() or not (is_empty(path) or (path / INDEX).exists())):
            raise NotAStoreError(
                f"expected a store or an empty folder at {path}, got something else: name another folder, "
                "so that nothing of it is lost"
            )
        store = cls(path)
        if not (path / INDEX).exists():
            if dry_run:
                return store
            path.mkdir(parents=True, exist_ok=True)
            store._write_index({"format": FORMAT, "catalogue": catalogue_id, "releases": []})
        if (found := store.index()["catalogue"]) != catalogue_id:
            raise InputError(
                f"expected a store of the catalogue {catalogue_id}, but {path} is one of {found}: name another store"
            )
        return store

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keep other writers out; gives the lock's file descriptor.

        The lock goes with the process, however it ends, and with those that have inherited the descriptor.

        Raises:
            BusyStoreError: another process has it.
        """
        with (self.path / ".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyStoreError(f"another opendata is writing to {self.path}: wait until it is done") from error
            # What is published is for everybody to read, also the folders, and the refs that git writes.
            private = os.umask(0o022)
            os.umask(private & ~_READABLE)
            try:
                yield stream.fileno()
            finally:
                os.umask(private)

    def exists(self) -> bool:
        """Whether there is a store yet."""
        return (self.path / INDEX).is_file()

    def has_draft(self) -> bool:
        """Whether a build has made a draft that is not released yet."""
        return (self.draft_folder / INDEX).is_file()

    def draft(self) -> State:
        """The draft that `build` made.

        Raises:
            NoDraftError: there is none.
            BrokenStoreError: its index cannot be read.
        """
        if not self.has_draft():
            raise NoDraftError(
                f"nothing to release in {self.path}: run opendata build SNAPSHOT --store {self.path} first"
            )
        try:
            return State.from_dict(read_json(self.draft_folder / INDEX, "release-index"))
        except InvalidDocumentError as error:
            raise BrokenStoreError(
                f"{error}; restore it from a copy, or, if no release was interrupted, remove {self.draft_folder} and "
                "build again"
            ) from error

    def draft_packs(self) -> PackList:
        """The packs that the draft's build wrote, and those before it whose drafts were replaced; none if unknown."""
        path = self.draft_folder / PACKS
        try:
            return list_from_dict(read_json(path, "pack-list")) if path.is_file() else {}
        except InvalidDocumentError:
            # Whoever needs to know reads the packs.
            return {}

    def write_draft(self, state: State, packs: PackList | None = None) -> None:
        """Write the draft's index: what `release` will publish; before it, which packs were written (None: as said)."""
        if packs is not None:
            write_text(self.draft_folder / PACKS, dump_json(list_to_dict(packs)))
        write_text(self.draft_folder / INDEX, dump_json(state.to_dict()))

    def drop_draft(self) -> PackList:
        """Remove the draft, its index first, so that no half of one is ever taken for a whole; returns its packs.

        Its refs go with it. What is not whole, a build has left that failed or was killed: then so does all that it has
        half-written, in whichever repositories. The folder goes last, for it says that there is something to remove.
        """
        if not self.draft_folder.exists():
            return {}
        packs, is_whole = self.draft_packs(), self.has_draft()
        (self.draft_folder / INDEX).unlink(missing_ok=True)
        for repository in self._repositories():
            if not is_whole:
                repository.remove_leftovers()
            repository.delete_refs(DRAFT_MAIN, DRAFT_ANNEX)
        shutil.rmtree(self.draft_folder)
        return packs

    @contextmanager
    def drafting(self) -> Iterator[PackList]:
        """Drop the draft, whose packs this gives, for a new one that is written in the block.

        What is half made when the block ends in an error is removed; a killed build's is removed by the next.
        """
        packs, is_done = self.drop_draft(), False
        self.draft_folder.mkdir()
        try:
            yield packs
            is_done = True
        finally:
            if not is_done:
                self.drop_draft()

    def remove_leftovers(self, version: str) -> None:
        """Remove what a release of that version has left half-written that was killed; none is at work."""
        for repository in self._repositories():
            repository.remove_leftovers()
        for stale in (*self.path.glob(".*.part"), *(self.path / "releases" / version).rglob(".*.part")):
            stale.unlink()

    def unfinished_release(self) -> str | None:
        """The version whose release was interrupted, if one was: it must be finished before anything else."""
        return self.draft().version if self.has_draft() else None

    def write_packs(self, packs: PackList, version: str) -> dict[str, str]:
        """Write the list of packs after a release, unless it is that of the release before; returns where it is.

        Path and digest, as `index.json` names them.
        """
        data = dump_json(list_to_dict(packs)).encode()
        sha256 = hashlib.sha256(data).hexdigest()
        last: dict[str, str] | None = self.last_release().get("packs")
        if last is not None and last["sha256"] == sha256:
            return last
        path = f"releases/{version}/{PACKS}"
        write_bytes(self.path / path, data)
        return {"path": path, "sha256": sha256}

    def publish(self, state: State, *, date: str, packs: Mapping[str, str]) -> None:
        """Name a release in `index.json`: the last step, after which readers see it.

        `date` is ISO 8601, `packs` what `write_packs` gave.
        """
        assert state.version is not None  # noqa: S101 - a caller's defect, not input
        index = self.index()
        path = f"releases/{state.version}/{INDEX}"
        data = (self.path / path).read_bytes()
        index["releases"].append(
            {
                "version": state.version,
                "date": date,
                "index": path,
                "sha256": hashlib.sha256(data).hexdigest(),
                "snapshot": state.snapshot,
                "catalogue": state.catalogue,
                "commit": state.datasets[""].written.commits.main,
                "packs": packs,
            }
        )
        self._write_index(index)

    def _write_index(self, index: dict[str, Any]) -> None:
        validate(index, "store-index", where=str(self.path / INDEX))
        write_text(self.path / INDEX, dump_json(index))

    @property
    def draft_folder(self) -> Path:
        """Where a build leaves what a release will publish."""
        return self.path / "draft"

    def repository(self, name: str) -> Repository:
        """The bare repository of a dataset."""
        return Repository(self.path / "git" / f"{name}.git")

    def _repositories(self) -> Iterator[Repository]:
        """All that there are, of whatever releases and drafts."""
        return map(Repository, (self.path / "git").glob("*.git"))

    def snapshot_path(self, snapshot_id: str) -> Path:
        """Where a snapshot of a release is kept."""
        return self.path / "snapshots" / f"{snapshot_id}.parquet"

    def keep_inputs(self, snapshot: Snapshot | UnreadSnapshot, catalogue: Catalogue) -> None:
        """Keep what a build was made from, under names by content: the truth that anyone can build again.

        What a build that was killed has left half-written is removed: the caller holds the lock.
        """
        for folder in ("snapshots", "catalogues"):
            for stale in (self.path / folder).glob(".*.part"):
                stale.unlink()
        path = self.snapshot_path(snapshot.id)
        if not path.with_suffix(".json").exists():
            snapshot.write(path)
        kept = self.path / "catalogues" / f"{catalogue.sha256}.yaml"
        if not kept.exists():
            write_bytes(kept, catalogue.source_bytes)

    def read_header(self, snapshot_id: str) -> SnapshotHeader:
        """What is known of a snapshot of a release, without its rows.

        Raises:
            BrokenStoreError: it is gone.
        """
        path = header_path(self.snapshot_path(snapshot_id))
        if not path.is_file():
            raise self._lacks(path)
        return SnapshotHeader.from_dict(read_json(path, "snapshot-header"))

    def read_snapshot(self, snapshot_id: str) -> Snapshot:
        """A snapshot of a release.

        Raises:
            BrokenStoreError: it is gone.
        """
        # A release reads none, and need not wait for Arrow.
        from opendata_pkg.snapshot.snapshot import Snapshot  # noqa: PLC0415

        rows = self.snapshot_path(snapshot_id)
        for path in (rows, header_path(rows)):
            if not path.is_file():
                raise self._lacks(path)
        return Snapshot.read(rows)

    def _lacks(self, path: Path) -> BrokenStoreError:
        # Not as whoever names a snapshot is told: a new scan would not bring this one back.
        relative = path.relative_to(self.path).as_posix()
        return BrokenStoreError(f"{self.path} lacks {relative}, which its index names: restore it from a copy")


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or no more than what is left of a build that was killed as it made the store."""
    return all(entry.name.startswith(f".{INDEX}.") for entry in folder.iterdir())


def parse_version(text: str) -> tuple[int, int, int]:
    """A version's three numbers.

    Raises:
        VersionError: it is not SemVer, or has a pre-release or build part.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise VersionError(f"expected a version of three numbers, such as 2026.1.0, got {text!r}")
    return int(match[1]), int(match[2]), int(match[3])
