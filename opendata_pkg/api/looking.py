"""Looking: nothing is fetched, nothing is written. `opendata_pkg` explains the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from opendata_pkg.api.words import one_of, rules_of, source_of
from opendata_pkg.citation.render import Format, render
from opendata_pkg.comparison.sides import diff as diff_sides
from opendata_pkg.lock.lock import LOCK_NAME, Lock
from opendata_pkg.model import Grade
from opendata_pkg.notebook import HERE
from opendata_pkg.readers.citing import cite as citation_of
from opendata_pkg.readers.citing import cite_lock
from opendata_pkg.readers.finding import Order
from opendata_pkg.readers.finding import find as find_files
from opendata_pkg.targets.opening import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from opendata_pkg.api.words import Globs, Size, Store
    from opendata_pkg.comparison.differences import Diff
    from opendata_pkg.plan.selection import Selection
    from opendata_pkg.progress import Reporter
    from opendata_pkg.targets.target import Target

FormatName = Literal["text", "bibtex", "biblatex", "cff", "csl", "datacite"]
GradeName = Literal["fixed", "verifiable", "versioned", "mutable"]


def open_dataset(
    word: str,
    *,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> Target:
    """What a word names, to look at and to select files of.

    Raises:
        OpenDataError: as `opendata_pkg.targets.opening.open_target` says.
    """
    return open_target(word, **source_of(store, catalogue, offline), endpoint_url=endpoint_url, reporter=reporter)


def find(
    word: str,
    *,
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    grade: Grade | GradeName | None = None,
    sort: Order = "path",
    limit: int | None = None,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> Selection:
    """The files that are meant, with size, digests, grade and URL; nothing is fetched.

    `selection.table` is an Arrow table, `selection.table.to_pandas()` a data frame.

    Raises:
        OpenDataError: as `opendata_pkg.readers.finding.find` says.
    """
    return find_files(
        word,
        rules=rules_of(include, exclude, larger, smaller),
        grade=None if grade is None else Grade(one_of(grade, [*Grade], name="grade")),
        sort=one_of(sort, get_args(Order), name="sort"),
        limit=limit,
        **source_of(store, catalogue, offline),
        endpoint_url=endpoint_url,
        reporter=reporter,
    ).selection


def diff(
    before: str,
    after: str,
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
) -> Diff:
    """What was added, removed, changed, moved or regraded between two versions, snapshots or locks.

    Raises:
        OpenDataError: as `opendata_pkg.comparison.sides.diff` says.
    """
    return diff_sides(
        before,
        after,
        rules=rules_of(include, exclude, larger, smaller),
        **source_of(store, catalogue, offline),
        endpoint_url=endpoint_url,
        reporter=reporter,
    )


def cite(
    word: str | None = None,
    *,
    lock: Lock | Path | str | None = None,
    form: FormatName = "text",
    include: Globs = (),
    exclude: Globs = (),
    larger: Size = None,
    smaller: Size = None,
    store: Store = None,
    catalogue: Path | str | None = None,
    endpoint_url: str | None = None,
    offline: bool | None = None,
    reporter: Reporter = HERE,
) -> str:
    """The citation of a dataset, a selection of it, or a whole lock (by default `opendata.lock`).

    Raises:
        OpenDataError: as `opendata_pkg.readers.citing` says.
    """
    wanted = Format(one_of(form, [*Format], name="form"))
    if word is None:
        opened = lock if isinstance(lock, Lock) else Lock(LOCK_NAME if lock is None else lock)
        return render(cite_lock(opened), wanted, lock=opened.path.name)
    target = open_target(word, **source_of(store, catalogue, offline), endpoint_url=endpoint_url, reporter=reporter)
    found = citation_of(target, rules_of(include, exclude, larger, smaller), reporter=reporter)
    return render((found,), wanted)
