"""Listing a bucket by many prefixes at a time: a page takes as long as its way to the server and back.

Prefixes are found on the way, as the folders of the bucket: one request with a delimiter shows what is in a folder. Its
own objects and its folders' are all of it, and no two folders share a key, whatever order the server lists in.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from opendata_pkg.listing.checkpoint import KeptPage, NoKeeper
from opendata_pkg.listing.pages import BadMarkerError, list_pages
from opendata_pkg.listing.versions import entries_to_table
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.listing.checkpoint import Keeper
    from opendata_pkg.listing.pages import Page
    from opendata_pkg.sorting import SortedRows

_DELIMITER = "/"
# A folder of more folders than that is listed as one: each would cost a request, however little is in it.
_FOLDERS_A_JOB = 8


def list_entries(
    bucket: Bucket,
    prefixes: Sequence[str],
    rows: SortedRows,
    *,
    with_versions: bool,
    jobs: int,
    keeper: Keeper | None = None,
    reporter: Reporter = SILENT,
) -> None:
    """Put everything below prefixes that do not overlap in `rows` (of `ENTRY_SCHEMA`); `jobs` requests at a time.

    The entries of one key come in the server's order. Looking for prefixes costs at most one request a job for each
    level of folders. What a `keeper` has kept is not asked for again.

    Raises:
        SourceError: the server refused or did not answer, after retries.
    """
    work = _Work(bucket, rows, keeper or NoKeeper(), reporter, with_versions=with_versions)
    open_prefixes, whole = list(prefixes), list[str]()
    while open_prefixes and len(open_prefixes) + len(whole) < jobs:
        folders: list[str] = []
        count = min(jobs, len(open_prefixes))
        with closing(map_unordered(work.expand, open_prefixes, jobs=count, at_once=count)) as results:
            for prefix, page in results:
                if page.following is not None or len(page.folders) > _FOLDERS_A_JOB * jobs:
                    whole.append(prefix)
                    continue
                work.take(page.table)
                folders += page.folders
        open_prefixes = folders
    rest = [*whole, *open_prefixes]
    with closing(map_unordered(work.list_all, rest, jobs=min(jobs, len(rest)), at_once=jobs)) as done:
        for _ in done:
            pass


class _Work:
    """What the threads of one listing do."""

    def __init__(
        self, bucket: Bucket, rows: SortedRows, keeper: Keeper, reporter: Reporter, *, with_versions: bool
    ) -> None:
        self._bucket, self._rows, self._keeper, self._reporter = bucket, rows, keeper, reporter
        self._with_versions = with_versions

    def take(self, table: pa.Table) -> None:
        """Take entries in."""
        self._rows.add(table)
        self._reporter.advance(len(table))

    def expand(self, prefix: str) -> KeptPage:
        """The first page of a folder."""
        if (kept := next(self._keeper.kept(prefix, _DELIMITER), None)) is not None:
            return kept
        pages = list_pages(self._bucket, prefix, with_versions=self._with_versions, delimiter=_DELIMITER)
        with closing(pages):
            page = _as_kept(next(pages))
        self._keeper.keep(prefix, _DELIMITER, 0, page)
        return page

    def list_all(self, prefix: str) -> None:
        """Everything below a prefix, going on from what is kept if the server can."""
        kept, following = self._keeper.how_far(prefix)
        if kept and following is None:
            self._take_kept(prefix)
            return
        try:
            self._list(prefix, kept, following)
        except BadMarkerError:
            self._keeper.forget(prefix)
            self._list(prefix, 0, None)

    def _list(self, prefix: str, kept: int, after: dict[str, str] | None) -> None:
        pages = list_pages(self._bucket, prefix, with_versions=self._with_versions, after=after)
        for number, page in enumerate(pages, kept):
            if number == kept:
                # The server goes on from them: only now do those before count.
                self._take_kept(prefix)
            read = _as_kept(page)
            self._keeper.keep(prefix, "", number, read)
            self.take(read.table)

    def _take_kept(self, prefix: str) -> None:
        for page in self._keeper.kept(prefix, ""):
            self.take(page.table)


def _as_kept(page: Page) -> KeptPage:
    return KeptPage(table=entries_to_table(page.entries), folders=page.folders, following=page.following)
