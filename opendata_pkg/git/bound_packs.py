"""Packs of git repositories, bound by SHA-256 as a release publishes them: `releases/<version>/packs.json`. Pure.

Of each dataset's repository the list names packs that together hold every object of the released commits and of all
before them. Who has them byte for byte need not compute any object's id, nor look for what may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opendata_pkg.documents import FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundFile:
    """A file's size and its SHA-256 in hex."""

    size_bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """The file as JSON values."""
        return {"bytes": self.size_bytes, "sha256": self.sha256}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> BoundFile:
        """The inverse of `to_dict`."""
        return cls(size_bytes=document["bytes"], sha256=document["sha256"])


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPack:
    """A pack and its index."""

    pack: BoundFile
    index: BoundFile

    @property
    def files(self) -> Mapping[str, BoundFile]:
        """Both files, by the ends of their names; the index last, since git takes a pack for there once that is."""
        return {".pack": self.pack, ".idx": self.index}


BoundPacks = Mapping[str, BoundPack]
"""The packs of one repository, by their names: `pack-<id>`."""

PackList = Mapping[str, BoundPacks]
"""The packs of repositories, by the datasets' names."""


def join_lists(earlier: PackList, later: PackList) -> PackList:
    """The packs of both."""
    return {name: {**earlier.get(name, {}), **later.get(name, {})} for name in earlier.keys() | later.keys()}


def list_to_dict(packs: PackList) -> dict[str, Any]:
    """A list as JSON values, sorted by names."""
    repositories = {
        name: {
            pack: {suffix[1:]: file.to_dict() for suffix, file in found[pack].files.items()} for pack in sorted(found)
        }
        for name, found in sorted(packs.items())
    }
    return {"format": FORMAT, "repositories": repositories}


def list_from_dict(document: Mapping[str, Any]) -> PackList:
    """The inverse of `list_to_dict`."""
    return {
        name: {
            pack: BoundPack(pack=BoundFile.from_dict(files["pack"]), index=BoundFile.from_dict(files["idx"]))
            for pack, files in found.items()
        }
        for name, found in document["repositories"].items()
    }
