"""A published store, as readers see it: releases, what they were built from, and what is said of each dataset.

Every byte is bound by digest from `index.json` down: a release's index by its sha256 there, a dataset's descriptor by
the release's index, the shards of its inventory by the descriptor. No server need be trusted but for `index.json`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue
from opendata_pkg.documents import parse_json
from opendata_pkg.git.bound_packs import list_from_dict
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.store.places import BrokenStoreError, NoStoreError, StoreFolder, open_place
from opendata_pkg.store.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.git.bound_packs import PackList
    from opendata_pkg.store.places import Place
    from opendata_pkg.store.state import DatasetEntry

INDEX = "index.json"
DESCRIPTOR = "datapackage.json"
PACKS = "packs.json"


class NotAStoreError(InputError):
    """A folder that holds other things than a store."""


class PublishedStore:
    """A store at a place, read only."""

    def __init__(self, place: Place) -> None:
        """Take the place as it is; `open` checks it."""
        self.place = place
        self._states: dict[str, State] = {}
        self._catalogues: dict[str, Catalogue] = {}

    @classmethod
    def open(cls, where: str | Path, *, endpoint_url: str | None = None, offline: bool = False) -> PublishedStore:
        """The store at a path, an http(s) URL or `s3://bucket/prefix` (at `endpoint_url`, if not Amazon's).

        Raises:
            NoStoreError: there is nothing.
            NotAStoreError: the folder is no store.
            InputError: its index is broken, or of a newer format.
            SourceError: the server refused or did not answer, or `offline` and it was never read.
        """
        store = cls(open_place(where, endpoint_url=endpoint_url, offline=offline))
        store.index()
        return store

    @property
    def where(self) -> str:
        """How people name it: a path or a URL."""
        return self.place.where

    def index(self) -> dict[str, Any]:
        """`index.json`: the releases, oldest first."""
        try:
            data = self.place.read(INDEX)
        except (FileNotFoundError, NotADirectoryError) as error:
            kind = NotAStoreError if isinstance(self.place, StoreFolder) else NoStoreError
            raise kind(
                f"expected a store at {self.where}, but it has no {INDEX}: name the folder that holds it"
            ) from error
        document: dict[str, Any] = parse_json(data, "store-index", where=f"{self.where}/{INDEX}")
        return document

    @property
    def catalogue_id(self) -> str:
        """The id of the catalogue whose datasets it holds."""
        return str(self.index()["catalogue"])

    def versions(self) -> list[str]:
        """The released versions, oldest first."""
        return [release["version"] for release in self.index()["releases"]]

    def inputs(self) -> list[tuple[str, str]]:
        """The ids of the snapshot and of the catalogue of every release, oldest first."""
        return [(release["snapshot"], release["catalogue"]) for release in self.index()["releases"]]

    def date_of(self, version: str) -> str:
        """The time of a release: that of the root dataset's commit, ISO 8601 in UTC."""
        return str(self._release(version)["date"])

    def release(self, version: str) -> State:
        """A released state.

        Raises:
            NotFoundError: there is no such version; names the last.
            BrokenStoreError: its index is not the one that was released.
        """
        if version not in self._states:
            release = self._release(version)
            data = self._bound(release["index"], release["sha256"])
            document = parse_json(data, "release-index", where=f"{self.where}/{release['index']}")
            self._states[version] = State.from_dict(document)
        return self._states[version]

    def _release(self, version: str) -> dict[str, Any]:
        releases = {release["version"]: release for release in self.index()["releases"]}
        if version not in releases:
            known = ", ".join([*releases][-5:]) or "none yet"
            raise NotFoundError(f"no version {version} in {self.where}: the last ones are {known}")
        found: dict[str, Any] = releases[version]
        return found

    def latest(self) -> State | None:
        """The last release, None before the first."""
        versions = self.versions()
        return self.release(versions[-1]) if versions else None

    def last_release(self) -> dict[str, Any]:
        """What `index.json` says of the last release; nothing before the first."""
        releases: list[dict[str, Any]] = self.index()["releases"]
        return releases[-1] if releases else {}

    def packs(self) -> PackList | None:
        """The packs of all repositories after the last release; None if it has no list of them.

        Raises:
            BrokenStoreError: the list is gone, or not as it was released.
        """
        bound = self.last_release().get("packs")
        if bound is None:
            return None
        data = self._bound(bound["path"], bound["sha256"])
        return list_from_dict(parse_json(data, "pack-list", where=f"{self.where}/{bound['path']}"))

    def read_catalogue(self, sha256: str) -> Catalogue:
        """A catalogue of a release.

        Raises:
            BrokenStoreError: it is not the one that was built from.
        """
        path = f"catalogues/{sha256}.yaml"
        data = self._bound(path, sha256)
        if sha256 not in self._catalogues:
            self._catalogues[sha256] = Catalogue.parse(data, f"{self.where}/{path}")
        return self._catalogues[sha256]

    def read_descriptor(self, entry: DatasetEntry) -> dict[str, Any]:
        """The released `datapackage.json` of a dataset."""
        assert entry.descriptor is not None  # noqa: S101 - only drafts have none, and they are not published
        document: dict[str, Any] = json.loads(self.read_artefact(entry, DESCRIPTOR, entry.descriptor))
        return document

    def read_artefact(self, entry: DatasetEntry, name: str, sha256: str) -> bytes:
        """A file of the folder that a release has for a dataset.

        Raises:
            BrokenStoreError: it is gone, or not as it was released.
        """
        return self._bound(f"{entry.artefacts}{name}", sha256)

    def _bound(self, relative: str, sha256: str) -> bytes:
        try:
            return self.place.read(relative, sha256)
        except FileNotFoundError as error:
            raise BrokenStoreError(
                f"{self.where} lacks {relative}, which its index names: ask its steward to restore it from a copy"
            ) from error


def store_of(store: str | Path | None, catalogue: Path | None) -> str | Path:
    """The store that was named, else the one that the catalogue (by default the shipped one) names.

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
