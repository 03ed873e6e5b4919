"""Listing a bucket by many prefixes at a time: a page takes as long as its way to the server and back.

Prefixes are found on the way, as the folders of the bucket: one request with a delimiter shows what is in a folder. Its
own objects and its folders' are all of it, and no two folders share a key, whatever order the server lists in.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from opendata_pkg.listing.checkpoint import KeptPage, NoKeeper
from opendata_pkg.listing.pages import BadMarkerError, list_pages
from opendata_pkg.listing.versions import ENTRY_SCHEMA, entries_to_table
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.listing.checkpoint import Keeper
    from opendata_pkg.listing.pages import Page

_DELIMITER = "/"
# A folder of more folders than that is listed as one: each would cost a request, however little is in it.
_FOLDERS_A_JOB = 8


def list_entries(
    bucket: Bucket,
    prefixes: Sequence[str],
    *,
    with_versions: bool,
    jobs: int,
    keeper: Keeper | None = None,
    reporter: Reporter = SILENT,
) -> pa.Table:
    """Everything below prefixes that do not overlap, in the columns of `ENTRY_SCHEMA`; `jobs` requests at a time.

    The entries of one key stand in the server's order. Looking for prefixes costs at most one request a job for each
    level of folders. What a `keeper` has kept is not asked for again.

    Raises:
        SourceError: the server refused or did not answer, after retries.
    """
    work = _Work(bucket, keeper or NoKeeper(), reporter, with_versions=with_versions)
    found: list[tuple[str, pa.Table]] = []
    open_prefixes, whole = list(prefixes), list[str]()
    while open_prefixes and len(open_prefixes) + len(whole) < jobs:
        folders: list[str] = []
        with closing(map_unordered(work.expand, open_prefixes, jobs=min(jobs, len(open_prefixes)))) as results:
            for prefix, page in results:
                if page.following is not None or len(page.folders) > _FOLDERS_A_JOB * jobs:
                    whole.append(prefix)
                    continue
                found.append((prefix, page.table))
                reporter.advance(len(page.table))
                folders += page.folders
        open_prefixes = folders
    rest = [*whole, *open_prefixes]
    with closing(map_unordered(work.list_all, rest, jobs=min(jobs, len(rest)))) as tables:
        found += tables
    found.sort(key=lambda item: item[0].encode())
    return pa.concat_tables([ENTRY_SCHEMA.empty_table(), *(table for _, table in found)])


class _Work:
    """What the threads of one listing do."""

    def __init__(self, bucket: Bucket, keeper: Keeper, reporter: Reporter, *, with_versions: bool) -> None:
        self._bucket, self._keeper, self._reporter, self._with_versions = bucket, keeper, reporter, with_versions

    def expand(self, prefix: str) -> KeptPage:
        """The first page of a folder."""
        if kept := self._keeper.kept(prefix, _DELIMITER):
            return kept[0]
        pages = list_pages(self._bucket, prefix, with_versions=self._with_versions, delimiter=_DELIMITER)
        with closing(pages):
            page = _as_kept(next(pages))
        self._keeper.keep(prefix, _DELIMITER, 0, page)
        return page

    def list_all(self, prefix: str) -> pa.Table:
        """Everything below a prefix, going on from what is kept if the server can."""
        kept = self._keeper.kept(prefix, "")
        try:
            return self._go_on(prefix, kept)
        except BadMarkerError:
            self._keeper.forget(prefix, "")
            return self._go_on(prefix, [])

    def _go_on(self, prefix: str, kept: list[KeptPage]) -> pa.Table:
        tables, after = [page.table for page in kept], kept[-1].following if kept else None
        self._reporter.advance(sum(map(len, tables)))
        if not kept or after is not None:
            for page in list_pages(self._bucket, prefix, with_versions=self._with_versions, after=after):
                read = _as_kept(page)
                self._keeper.keep(prefix, "", len(tables), read)
                tables.append(read.table)
                self._reporter.advance(len(read.table))
        return pa.concat_tables(tables).combine_chunks()


def _as_kept(page: Page) -> KeptPage:
    return KeptPage(table=entries_to_table(page.entries), folders=page.folders, following=page.following)
