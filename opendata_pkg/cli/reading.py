"""What commands that only look have in common: the store or catalogue that a person means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.model import UsageError

if TYPE_CHECKING:
    from opendata_pkg.catalogue.branch import Branch
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.selection import Rules
    from opendata_pkg.store.lookup import DatasetWord
    from opendata_pkg.store.published import PublishedStore
    from opendata_pkg.store.state import State


def catalogue_of(store: PublishedStore | None, file: Path | None) -> Catalogue:
    """The catalogue in a file, else that of a store's last release, else the one shipped.

    Raises:
        NotFoundError: the store has no release.
    """
    # A catalogue is YAML, which those who only have rules need not wait for.
    from opendata_pkg.catalogue.catalogue import Catalogue, shipped_catalogue

    if file is not None:
        return Catalogue.load(file)
    if store is None:
        return shipped_catalogue()
    from opendata_pkg.store.lookup import last_release

    return store.read_catalogue(last_release(store).catalogue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a person looks at: a branch of a catalogue, and the release of a store if one was named."""

    catalogue: Catalogue
    branch: Branch
    store: PublishedStore | None
    state: State | None


def look_at(
    word: DatasetWord, store: str | None, file: Path | None, *, endpoint_url: str | None = None, offline: bool = False
) -> Look:
    """The branch that a word means: in a release if a store is named, else in the catalogue alone.

    Raises:
        UsageError: a version is named, and no store.
        NotFoundError: there is no such branch or version, or no release yet.
    """
    if store is None:
        if word.version is not None:
            raise UsageError(f"version {word.version} is of a store: name it with --store, or leave the version out")
        known = catalogue_of(None, file)
        return Look(catalogue=known, branch=known.resolve(word.branch), store=None, state=None)
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.store.lookup import last_release

    # git's and Arrow's imports are not for those who only want a catalogue.
    from opendata_pkg.store.published import PublishedStore

    opened = PublishedStore.open(store, endpoint_url=endpoint_url, offline=offline)
    state = last_release(opened) if word.version is None else opened.release(word.version)
    known = opened.read_catalogue(state.catalogue) if file is None else Catalogue.load(file)
    return Look(catalogue=known, branch=known.resolve(word.branch), store=opened, state=state)


def rules_of(include: list[str] | None, exclude: list[str] | None, larger: int | None, smaller: int | None) -> Rules:
    """The rules that the options of every reading command mean."""
    from opendata_pkg.plan.selection import Rules

    return Rules(include=tuple(include or ()), exclude=tuple(exclude or ()), larger=larger, smaller=smaller)
