"""Bringing files, without git; and what a lock says of them. `opendata_pkg` explains the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opendata_pkg.api.words import globs_of, path_of, rules_of, size_of, source_of
from opendata_pkg.files import at_home
from opendata_pkg.lock.lock import LOCK_NAME, Lock
from opendata_pkg.notebook import HERE
from opendata_pkg.plan.selection import Rules
from opendata_pkg.readers import fetching
from opendata_pkg.readers.pinning import pin as pin_files
from opendata_pkg.readers.pinning import unpin as unpin_files
from opendata_pkg.readers.syncing import sync as sync_files
from opendata_pkg.verification.verifying import verify as verify_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pooch import Pooch

    from opendata_pkg.api.words import Globs, Size, Store
    from opendata_pkg.digests.findings import Verification
    from opendata_pkg.progress import Reporter
    from opendata_pkg.readers.fetching import FetchResult
    from opendata_pkg.readers.pinning import PinResult, UnpinResult
    from opendata_pkg.readers.syncing import SyncResult


def fetch(
    word: str,
    *,
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    to: Path | str | None = None,
    processor: Callable[[str, str, Pooch], Any] | None = None,
    jobs: int = 16,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> FetchResult:
    """Files without git, through pooch's cache, each checked; `result.paths` are where they are, by path in the tree.

    Raises:
        OpenDataError: as `opendata_pkg.readers.fetching.fetch` says; also if a file could not be had: all others were.
    """
    result = fetching.fetch(
        word,
        include=globs_of(include),
        exclude=globs_of(exclude),
        larger=size_of(larger, name="larger"),
        smaller=size_of(smaller, name="smaller"),
        to=path_of(to),
        processor=processor,
        jobs=jobs,
        **source_of(store, catalogue, offline),
        endpoint_url=endpoint_url,
        reporter=reporter,
    )
    result.check_complete()
    return result


def pooch(
    word: str,
    *,
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> Pooch:
    """A plain `pooch.Pooch`: registry and versioned URLs filled in, its folder shared with `fetch`.

    Raises:
        OpenDataError: as `opendata_pkg.readers.fetching.pooch` says.
    """
    return fetching.pooch(
        word,
        include=globs_of(include),
        exclude=globs_of(exclude),
        larger=size_of(larger, name="larger"),
        smaller=size_of(smaller, name="smaller"),
        **source_of(store, catalogue, offline),
        endpoint_url=endpoint_url,
        reporter=reporter,
    )


def pin(
    word: str,
    *,
    lock: Path | str = LOCK_NAME,
    name: str | None = None,
    update: bool = False,
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    jobs: int = 16,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> PinResult:
    """Write exact files into a lock, under a `name` of its own. `update` replaces what has that name already.

    Raises:
        OpenDataError: as `opendata_pkg.readers.pinning.pin` says.
    """
    return pin_files(
        word,
        lock=path_of(lock),
        name=name,
        update=update,
        # A script that says `update` has decided.
        confirm=lambda _name, _change: True,
        rules=rules_of(include, exclude, larger, smaller),
        jobs=jobs,
        **source_of(store, catalogue, offline),
        endpoint_url=endpoint_url,
        reporter=reporter,
    )


def unpin(name: str, *, lock: Path | str = LOCK_NAME) -> UnpinResult:
    """Take a selection out of a lock; its files stay where they are until the next `sync`.

    Raises:
        OpenDataError: as `opendata_pkg.readers.pinning.unpin` says.
    """
    return unpin_files(name, lock=path_of(lock))


def sync(
    lock: Lock | Path | str = LOCK_NAME,
    *,
    to: Path | str | None = None,
    from_: Path | str | None = None,
    link: bool = False,
    jobs: int = 16,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> SyncResult:
    """Bring exactly the files of a lock into a folder, by default `data` beside it.

    Raises:
        OpenDataError: as `opendata_pkg.readers.syncing.sync` says; also if a file could not be had: all others were.
    """
    result = sync_files(
        lock if isinstance(lock, Lock) else Lock(lock),
        to=path_of(to),
        from_=None if from_ is None else at_home(from_),
        link=link,
        jobs=jobs,
        offline=offline,
        reporter=reporter,
    )
    result.check_complete()
    return result


def verify(
    folder: Path | str | None = None,
    *,
    lock: Path | str | None = None,
    against: str | None = None,
    store: Store = None,
    rebuild: bool = False,
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    fast: bool = False,
    jobs: int | None = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> Verification:
    """Every file against its digest: a lock's folder, a clone, a store, or copies `against` a dataset.

    Raises:
        OpenDataError: as `opendata_pkg.verification.verifying.verify` says; files that are wrong are in the result.
    """
    rules = rules_of(include, exclude, larger, smaller)
    source = source_of(store, catalogue, offline)
    # A store alone is what is verified: then only one that was named counts.
    named = store if against is None else source["store"]
    return verify_files(
        path_of(folder),
        lock=path_of(lock),
        against=against,
        store=None if named is None else at_home(named),
        rebuild=rebuild,
        rules=None if rules == Rules() else rules,
        fast=fast,
        **({} if jobs is None else {"jobs": jobs}),
        catalogue=source["catalogue"],
        endpoint_url=endpoint_url,
        offline=source["offline"],
        reporter=reporter,
    )
