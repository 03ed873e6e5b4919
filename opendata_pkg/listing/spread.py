"""Listing a bucket by many requests at a time: a page takes as long as its way to the server and back.

Prefixes are found on the way, as the folders of the bucket: one request with a delimiter shows what is in a folder. Its
own objects and its folders' are all of it. Once there are enough of them, each is listed as a whole, in one chain of
pages; and when there are no longer enough, other chains begin further on in those that have not ended (`Spans`).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.listing.bucket import AccessDeniedError, NotS3Error
from opendata_pkg.listing.checkpoint import NoKeeper
from opendata_pkg.listing.pages import BadMarkerError, after_key, get_page
from opendata_pkg.listing.spans import DELIMITER, Span, Spans
from opendata_pkg.model import SourceError
from opendata_pkg.parallel import map_unordered
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from opendata_pkg.columns.sorting import SortedRows
    from opendata_pkg.listing.bucket import Bucket
    from opendata_pkg.listing.checkpoint import Keeper
    from opendata_pkg.listing.pages import Page

# What a page takes of a processor. More requests than that keeps busy while one is answered make nothing quicker.
_PAGE_S = 0.007
_LAST_ANSWERS = 8
# A thread that waits for another's answer sees after so long that the listing has failed.
_POLL_S = 0.2


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
    """Put everything below prefixes that do not overlap in `rows` (of `ENTRY_SCHEMA`); up to `jobs` requests at a time.

    The entries of one key come in the server's order; an entry may come twice. What a `keeper` has kept is not asked
    for again. Of the requests, at most two a job and one for each page are in vain.

    Raises:
        BadMarkerError: the server does not go on from where a kept listing was.
        SourceError: the server refused or did not answer, after retries.
    """
    work = _Work(bucket, rows, keeper or NoKeeper(), reporter, with_versions=with_versions, jobs=jobs)
    for prefix in prefixes:
        work.begin(prefix)
    with closing(work), closing(map_unordered(work.do, work.tasks(), jobs=jobs, at_once=jobs)) as done:
        for _ in done:
            if work.is_done:
                # What is still under way is in vain.
                return


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to be listed: as such, or as a whole."""

    prefix: str


@dataclass(frozen=True, slots=True)
class _Look:
    """Looking for the folders in a folder, where spans may begin."""

    spans: Spans
    folder: str


_Task = Span | _Folder | _Look


class _Work:
    """What the threads of one listing share."""

    def __init__(
        self, bucket: Bucket, rows: SortedRows, keeper: Keeper, reporter: Reporter, *, with_versions: bool, jobs: int
    ) -> None:
        self._bucket, self._rows, self._keeper, self._reporter = bucket, rows, keeper, reporter
        self._with_versions, self._jobs = with_versions, jobs
        self._changed = threading.Condition()
        # All below is the lock's.
        self._spans: dict[str, Spans] = {}
        self._queue: deque[_Task] = deque()
        self._open: set[Span | _Folder] = set()
        self._looks = self._pages = self._in_vain = 0
        # How long the last full answers took: the least of them is the server's and the network's, not this process's.
        self._took_s: deque[float] = deque(maxlen=_LAST_ANSWERS)
        self._is_closed = False

    @property
    def is_done(self) -> bool:
        """Whether everything is listed."""
        with self._changed:
            return not self._open

    def close(self) -> None:
        """Let no thread wait for another."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def begin(self, prefix: str) -> None:
        """Take in what is kept of a prefix, and go on from there."""
        if (folder := self._keeper.kept_folder(prefix)) is not None:
            entries, folders = folder
            self._take(entries)
            for inner in folders:
                self.begin(inner)
        elif spans := self._keeper.kept_spans(prefix):
            for span in spans:
                self._put([self._spans_of(prefix).add(span)])
                for number in range(span.pages):
                    self._take(self._keeper.kept_page(span, number))
            if spans[0].after:
                self._list_whole(prefix)
        else:
            self._put([_Folder(prefix)])

    def tasks(self) -> Iterator[_Task]:
        """What to ask for next, until all is listed."""
        while True:
            with self._changed:
                while (task := self._next()) is None:
                    if not self._open or self._is_closed:
                        return
                    self._changed.wait(_POLL_S)
            yield task

    def do(self, task: _Task) -> None:
        """One request, and what follows from its answer."""
        if isinstance(task, Span):
            self._go_on(task)
        elif isinstance(task, _Folder):
            self._expand(task)
        else:
            self._look(task)

    def _next(self) -> _Task | None:
        while self._queue:
            task = self._queue.popleft()
            if isinstance(task, _Folder) and len(self._open) >= self._limit():
                self._open.discard(task)
                self._list_whole(task.prefix)
                task = self._queue.pop()
            if isinstance(task, Span):
                if not task.is_open:
                    continue
                task.is_asked = True
            return task
        return None

    def _limit(self) -> int:
        """How many requests at a time are of use."""
        if not self._took_s:
            return self._jobs
        return min(self._jobs, math.ceil(min(self._took_s) / _PAGE_S) + 1)

    def _wanted(self) -> int:
        """How many more of them there might be."""
        may = self._in_vain + self._looks <= self._pages + 2 * self._jobs
        return self._limit() - len(self._open) - self._looks if may else 0

    def _spans_of(self, prefix: str) -> Spans:
        return self._spans.setdefault(prefix, Spans(prefix=prefix))

    def _list_whole(self, prefix: str) -> None:
        self._put([self._spans_of(prefix).add(Span(prefix=prefix, after=""))])

    def _put(self, tasks: Iterable[Span | _Folder]) -> None:
        opened = [task for task in tasks if isinstance(task, _Folder) or task.is_open]
        self._queue += opened
        self._open.update(opened)

    def _take(self, table: pa.Table) -> None:
        self._rows.add(table)
        self._reporter.advance(len(table))

    def _get(self, prefix: str, *, delimiter: str = "", after: dict[str, str] | None = None) -> Page:
        begun_s = time.perf_counter()
        page = get_page(self._bucket, prefix, with_versions=self._with_versions, delimiter=delimiter, after=after)
        if page.following is not None or not self._took_s:
            self._took_s.append(time.perf_counter() - begun_s)
        return page

    def _expand(self, folder: _Folder) -> None:
        page = None
        # It may be allowed to list all keys of a prefix, and no folders.
        with suppress(AccessDeniedError):
            page = self._get(folder.prefix, delimiter=DELIMITER)
        # More folders than that would cost a request each, however little is in them: spans may begin at any of them.
        if page is None or page.following is not None or len(page.folders) > self._jobs:
            with self._changed:
                self._list_whole(folder.prefix)
                if page is not None:
                    is_all = page.following is None
                    self._spans_of(folder.prefix).note_folders(folder.prefix, page.folders, is_all=is_all)
        else:
            self._keeper.keep_folder(folder.prefix, page.entries.table, page.folders)
            self._take(page.entries.table)
            with self._changed:
                self._put(_Folder(inner) for inner in page.folders)
        with self._changed:
            self._open.discard(folder)
            self._changed.notify_all()

    def _look(self, look: _Look) -> None:
        folders, is_all = tuple[str, ...](), True
        # As above; if it is something else, the spans' own requests tell.
        with suppress(SourceError):
            page = self._get(look.folder, delimiter=DELIMITER)
            folders, is_all = page.folders, page.following is None
        with self._changed:
            self._looks, self._in_vain = self._looks - 1, self._in_vain + 1
            look.spans.note_folders(look.folder, folders, is_all=is_all)
            self._put(look.spans.split_at_folders(self._wanted()))
            self._changed.notify_all()

    def _go_on(self, span: Span) -> None:
        spans = self._spans[span.prefix]
        page = self._ask(span)
        keys = () if page is None else page.entries.keys
        if page is not None and page.following is not None and span.goes_round(page.following):
            raise NotS3Error(self._bucket.where, f"it lists the page after {page.following} for ever")
        with self._changed:
            if page is None or not self._is_of_use(spans, span, keys):
                self._give_up(spans, span)
                return
            if not self._wait_for_reached(spans, span, page, keys):
                return
            end = spans.meets(span, keys)
            following = page.following if end is None else None
            span.reach(keys[:end], following)
        table = page.entries.table.slice(0, end)
        self._keeper.keep_page(span, table, following)
        self._take(table)
        with self._changed:
            self._pages += 1
            span.advance()
            if following is None:
                self._open.discard(span)
            else:
                # Before those of which nothing is known: it is longer than they may be.
                self._queue.appendleft(span)
                self._share(spans, span, keys)
            self._changed.notify_all()

    def _ask(self, span: Span) -> Page | None:
        """The next page of a span; None if it is one that the server does not begin."""
        after = span.following
        if not span.pages and span.after:
            after = after_key(span.after, with_versions=self._with_versions)
        try:
            return self._get(span.prefix, after=after)
        except BadMarkerError:
            if not span.pages:
                return None
            if span.before_last is None:
                raise
            # It was kept too long ago: the last page's last key can be had by the one before it, and what follows too.
            page = self._get(span.prefix, after=after_key(span.before_last, with_versions=self._with_versions))
            if [*page.entries.keys[:1]] != [span.last]:
                raise
            return page

    def _is_of_use(self, spans: Spans, span: Span, keys: Sequence[str]) -> bool:
        return not span.is_void and (span.pages > 0 or spans.begin(span, keys))

    def _give_up(self, spans: Spans, span: Span) -> None:
        if not span.is_void:
            # The server does not begin there.
            spans.drop(span)
            spans.is_ordered = False
        self._in_vain += 1
        self._open.discard(span)
        self._changed.notify_all()

    def _wait_for_reached(self, spans: Spans, span: Span, page: Page, keys: Sequence[str]) -> bool:
        """Wait for the first keys of the spans that a page reaches; False if the listing has failed meanwhile.

        Then the page may be theirs too, and is not to be kept: a listing that goes on would list all twice from there.
        """
        is_last = page.following is None
        reached = None if is_last else keys[-1] if keys else span.last
        while spans.check_order(span, keys):
            ahead = spans.unbegun_after(span, reached)
            for other in ahead:
                if other.first is None and (is_last or not other.is_asked):
                    spans.drop(other)
                    self._open.discard(other)
            if all(other.is_void for other in ahead):
                break
            if self._is_closed:
                return False
            self._changed.wait(_POLL_S)
        return True

    def _share(self, spans: Spans, span: Span, keys: Sequence[str]) -> None:
        """Begin other spans ahead of one that has more pages, if more requests are of use."""
        if not keys:
            return
        self._put(spans.split_at_folders(self._wanted()))
        for folder in spans.unknown_folders(keys):
            if self._wanted() > 0:
                # All of them will be known, or that they are too many.
                spans.note_folders(folder, (), is_all=True)
                self._looks += 1
                self._queue.append(_Look(spans, folder))
        self._put(spans.split_by_guess(span, keys, self._wanted()))
