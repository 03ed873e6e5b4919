"""Clones: what needs git and git-annex. `opendata_pkg` explains the words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.api.words import path_of, rules_of, source_of
from opendata_pkg.lock.lock import is_offline
from opendata_pkg.notebook import HERE
from opendata_pkg.readers.cloning import check_folder
from opendata_pkg.readers.cloning import clone as clone_dataset
from opendata_pkg.readers.getting import get as get_contents
from opendata_pkg.targets.opening import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.api.words import Globs, Size, Store
    from opendata_pkg.progress import Reporter
    from opendata_pkg.readers.cloning import CloneResult
    from opendata_pkg.readers.getting import GetResult


def clone(
    word: str,
    folder: Path | str | None = None,
    *,
    recursive: bool = False,
    sparse: bool = False,
    contents: bool = False,
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
) -> CloneResult:
    """A DataLad dataset at a released commit; `contents` also gets those of the files that are meant.

    `s3://bucket/prefix` or a snapshot's file gives one dataset at the commit that these objects always give; its
    `version` is None.

    Raises:
        OpenDataError: as `opendata_pkg.readers.cloning.clone` says.
    """
    place = path_of(folder)
    check_folder(word, place)
    source = source_of(store, catalogue, offline)
    target = open_target(word, **source, endpoint_url=endpoint_url, reporter=reporter)
    made = clone_dataset(
        target,
        place,
        rules=rules_of(include, exclude, larger, smaller),
        recursive=recursive,
        sparse=sparse,
        offline=source["offline"],
        reporter=reporter,
    )
    if contents:
        got = get_contents(
            [made.folder.resolve()], only=made.wanted, jobs=jobs, offline=source["offline"], reporter=reporter
        )
        got.check_complete()
    return made


def get(
    *paths: Path | str,
    cwd: Path | str | None = None,
    jobs: int = 16,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> GetResult:
    """Contents of files in a clone, in parallel and checked; git-annex then knows them as present.

    Raises:
        OpenDataError: as `opendata_pkg.readers.getting.get` says; also if a file could not be had: all others were.
    """
    got = get_contents(
        [path_of(path) for path in paths],
        cwd=path_of(cwd),
        jobs=jobs,
        offline=is_offline() if offline is None else offline,
        reporter=reporter,
    )
    got.check_complete()
    return got
