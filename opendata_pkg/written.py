"""What was written of a dataset, in figures and ids: what releases, descriptors and citations say of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opendata_pkg.model import ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDigest:
    """sha256 over lines `PATH TAB BYTES TAB DIGEST LF` of some files, and how many of these lines hold a `-`."""

    sha256: str
    incomplete: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many files, their known bytes, how many of unknown size, and how many of each grade."""

    files: int
    size_bytes: int
    unknown_sizes: int
    grades: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """Where a dataset stands: its two commits and the time, in seconds (UTC), of the later change."""

    main: ObjectId
    annex: ObjectId
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A dataset as written: commits, totals and content digest of its own files.

    `borrowed` counts unversioned URLs on offer that belong to objects of other datasets by now: while there are some,
    the dataset's logs must be looked at in every release.
    """

    commits: Commits
    totals: Totals
    digest: ContentDigest
    borrowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCounts:
    """How many files of a dataset came, went, have other content, or the same content otherwise known."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    regraded: int = 0
