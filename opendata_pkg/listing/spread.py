"""Listing a bucket by many prefixes at a time: a page takes as long as its way to the server and back.

Prefixes are found on the way, as the folders of the bucket: one request with a delimiter shows what is in a folder. Its
own objects and its folders' are all of it, and no two folders share a key, whatever order the server lists in.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from opendata_pkg.listing.pages import list_pages
from opendata_pkg.listing.versions import ENTRY_SCHEMA, entries_to_table
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.listing.pages import Page
    from opendata_pkg.listing.versions import Entry

_DELIMITER = "/"
# A folder of more folders than that is listed as one: each would cost a request, however little is in it.
_FOLDERS_A_JOB = 8


def list_entries(
    bucket: Bucket, prefixes: Sequence[str], *, with_versions: bool, jobs: int, reporter: Reporter = SILENT
) -> pa.Table:
    """Everything below prefixes that do not overlap, in the columns of `ENTRY_SCHEMA`; `jobs` requests at a time.

    The entries of one key stand in the server's order. Looking for prefixes costs at most one request a job for each
    level of folders.

    Raises:
        SourceError: the server refused or did not answer, after retries.
    """

    def expand(prefix: str) -> Page:
        pages = list_pages(bucket, prefix, with_versions=with_versions, delimiter=_DELIMITER)
        with closing(pages):
            return next(pages)

    def list_all(prefix: str) -> pa.Table:
        return entries_to_table(_entries(bucket, prefix, with_versions=with_versions, reporter=reporter))

    found: list[tuple[str, pa.Table]] = []
    open_prefixes, whole = list(prefixes), list[str]()
    while open_prefixes and len(open_prefixes) + len(whole) < jobs:
        folders: list[str] = []
        with closing(map_unordered(expand, open_prefixes, jobs=min(jobs, len(open_prefixes)))) as results:
            for prefix, page in results:
                if not page.is_last or len(page.folders) > _FOLDERS_A_JOB * jobs:
                    whole.append(prefix)
                    continue
                found.append((prefix, entries_to_table(page.entries)))
                reporter.advance(len(page.entries))
                folders += page.folders
        open_prefixes = folders
    rest = [*whole, *open_prefixes]
    with closing(map_unordered(list_all, rest, jobs=min(jobs, len(rest)))) as tables:
        found += tables
    found.sort(key=lambda item: item[0].encode())
    return pa.concat_tables([ENTRY_SCHEMA.empty_table(), *(table for _, table in found)])


def _entries(bucket: Bucket, prefix: str, *, with_versions: bool, reporter: Reporter) -> Iterator[Entry]:
    for page in list_pages(bucket, prefix, with_versions=with_versions):
        yield from page.entries
        reporter.advance(len(page.entries))
