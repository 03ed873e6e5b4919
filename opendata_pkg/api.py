"""What readers' commands do, as functions: one for each verb, with the same words as on the command line.

`DATASET` words are the command line's: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's
`.parquet` file. `include` and `exclude` are gitignore-style globs on paths relative to the branch, `larger` and
`smaller` bytes. In a notebook, whatever takes long draws a bar; results show themselves as tables.

What goes wrong is an `opendata_pkg.OpenDataError`, whose text is a sentence that says what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opendata_pkg import fetching
from opendata_pkg.citation.render import Format, render
from opendata_pkg.citing import cite as citation_of
from opendata_pkg.citing import cite_lock
from opendata_pkg.finding import find as find_files
from opendata_pkg.lock import LOCK_NAME, Lock
from opendata_pkg.notebook import HERE
from opendata_pkg.pinning import pin as pin_files
from opendata_pkg.pinning import unpin as unpin_files
from opendata_pkg.selection import Rules
from opendata_pkg.sides import diff as diff_sides
from opendata_pkg.syncing import sync as sync_files
from opendata_pkg.target import open_target
from opendata_pkg.verifying import verify as verify_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pooch import Pooch

    from opendata_pkg.cloning import CloneResult
    from opendata_pkg.differences import Diff
    from opendata_pkg.fetching import FetchResult
    from opendata_pkg.getting import GetResult
    from opendata_pkg.model import Grade
    from opendata_pkg.pinning import PinResult, UnpinResult
    from opendata_pkg.progress import Reporter
    from opendata_pkg.selection import Selection
    from opendata_pkg.syncing import SyncResult
    from opendata_pkg.target import Target
    from opendata_pkg.verification import Verification

FormatName = Literal["text", "bibtex", "biblatex", "cff", "csl", "datacite"]
Store = str | Path | None


def open_dataset(
    word: str,
    *,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> Target:
    """What a word names, to look at and to select files of.

    Raises:
        OpenDataError: as `opendata_pkg.target.open_target` says.
    """
    return open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )


def find(
    word: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    grade: Grade | None = None,
    sort: Literal["path", "size"] = "path",
    limit: int | None = None,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> Selection:
    """The files that are meant, with size, digests, grade and URL; nothing is fetched.

    `selection.table` is an Arrow table, `selection.table.to_pandas()` a data frame.

    Raises:
        OpenDataError: as `opendata_pkg.finding.find` says.
    """
    return find_files(
        word,
        rules=_rules(include, exclude, larger, smaller),
        grade=grade,
        sort=sort,
        limit=limit,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    ).selection


def fetch(
    word: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    to: Path | str | None = None,
    processor: Callable[[str, str, Pooch], Any] | None = None,
    jobs: int = 16,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> FetchResult:
    """Files without git, through pooch's cache, each checked; `result.paths` are where they are, by path in the tree.

    Raises:
        OpenDataError: as `opendata_pkg.fetching.fetch` says; also if a file could not be had: all others were.
    """
    result = fetching.fetch(
        word,
        include=include,
        exclude=exclude,
        larger=larger,
        smaller=smaller,
        to=to,
        processor=processor,
        jobs=jobs,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )
    result.check_complete()
    return result


def pooch(
    word: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> Pooch:
    """A plain `pooch.Pooch`: registry and versioned URLs filled in, its folder shared with `fetch`.

    Raises:
        OpenDataError: as `opendata_pkg.fetching.pooch` says.
    """
    return fetching.pooch(
        word,
        include=include,
        exclude=exclude,
        larger=larger,
        smaller=smaller,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )


def pin(
    word: str,
    *,
    lock: Path | str = LOCK_NAME,
    name: str | None = None,
    update: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    jobs: int = 16,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> PinResult:
    """Write exact files into a lock, under a `name` of its own. `update` replaces what has that name already.

    Raises:
        OpenDataError: as `opendata_pkg.pinning.pin` says.
    """
    return pin_files(
        word,
        lock=Path(lock),
        name=name,
        update=update,
        # A script that says `update` has decided.
        confirm=lambda _name, _change: True,
        rules=_rules(include, exclude, larger, smaller),
        jobs=jobs,
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )


def unpin(name: str, *, lock: Path | str = LOCK_NAME) -> UnpinResult:
    """Take a selection out of a lock; its files stay where they are until the next `sync`.

    Raises:
        OpenDataError: as `opendata_pkg.pinning.unpin` says.
    """
    return unpin_files(name, lock=Path(lock))


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
        OpenDataError: as `opendata_pkg.syncing.sync` says; also if a file could not be had: all others were.
    """
    result = sync_files(
        lock if isinstance(lock, Lock) else Lock(lock),
        to=None if to is None else Path(to),
        from_=from_,
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
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    fast: bool = False,
    jobs: int | None = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> Verification:
    """Every file against its digest: a lock's folder, a clone, a store, or copies `against` a dataset.

    Raises:
        OpenDataError: as `opendata_pkg.verifying.verify` says; files that are wrong are in the result.
    """
    rules = _rules(include, exclude, larger, smaller)
    return verify_files(
        None if folder is None else Path(folder),
        lock=None if lock is None else Path(lock),
        against=against,
        store=None if store is None else str(store),
        rebuild=rebuild,
        rules=None if rules == Rules() else rules,
        fast=fast,
        **({} if jobs is None else {"jobs": jobs}),
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )


def cite(
    word: str | None = None,
    *,
    lock: Lock | Path | str | None = None,
    form: FormatName = "text",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> str:
    """The citation of a dataset, a selection of it, or a whole lock (by default `opendata.lock`).

    Raises:
        OpenDataError: as `opendata_pkg.citing` says.
    """
    if word is None:
        opened = lock if isinstance(lock, Lock) else Lock(LOCK_NAME if lock is None else lock)
        return render(cite_lock(opened), Format(form), lock=opened.path.name)
    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    found = citation_of(target, _rules(include, exclude, larger, smaller), reporter=reporter)
    return render((found,), Format(form))


def diff(
    before: str,
    after: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> Diff:
    """What was added, removed, changed, moved or regraded between two versions, snapshots or locks.

    Raises:
        OpenDataError: as `opendata_pkg.sides.diff` says.
    """
    return diff_sides(
        before,
        after,
        rules=_rules(include, exclude, larger, smaller),
        store=store,
        catalogue=catalogue,
        endpoint_url=endpoint_url,
        offline=offline,
        reporter=reporter,
    )


def clone(
    word: str,
    folder: Path | str | None = None,
    *,
    recursive: bool = False,
    sparse: bool = False,
    contents: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    larger: int | None = None,
    smaller: int | None = None,
    jobs: int = 16,
    store: Store = None,
    catalogue: Path | None = None,
    endpoint_url: str | None = None,
    offline: bool = False,
    reporter: Reporter = HERE,
) -> CloneResult:
    """A DataLad dataset at a released commit; `contents` also gets those of the files that are meant.

    Raises:
        OpenDataError: as `opendata_pkg.cloning.clone` says.
    """
    # git and git-annex are for those who clone.
    from opendata_pkg.cloning import clone as clone_dataset  # noqa: PLC0415
    from opendata_pkg.getting import get as get_contents  # noqa: PLC0415

    target = open_target(
        word, store=store, catalogue=catalogue, endpoint_url=endpoint_url, offline=offline, reporter=reporter
    )
    made = clone_dataset(
        target,
        None if folder is None else Path(folder),
        rules=_rules(include, exclude, larger, smaller),
        recursive=recursive,
        sparse=sparse,
        offline=offline,
        reporter=reporter,
    )
    if contents:
        got = get_contents([made.folder.resolve()], only=made.wanted, jobs=jobs, offline=offline, reporter=reporter)
        got.check_complete()
    return made


def get(
    *paths: Path | str, cwd: Path | str | None = None, jobs: int = 16, offline: bool = False, reporter: Reporter = HERE
) -> GetResult:
    """Contents of files in a clone, in parallel and checked; git-annex then knows them as present.

    Raises:
        OpenDataError: as `opendata_pkg.getting.get` says; also if a file could not be had: all others were.
    """
    from opendata_pkg.getting import get as get_contents  # noqa: PLC0415

    got = get_contents(
        [Path(path) for path in paths],
        cwd=None if cwd is None else Path(cwd),
        jobs=jobs,
        offline=offline,
        reporter=reporter,
    )
    got.check_complete()
    return got


def _rules(include: Sequence[str], exclude: Sequence[str], larger: int | None, smaller: int | None) -> Rules:
    return Rules(include=tuple(include), exclude=tuple(exclude), larger=larger, smaller=smaller)
