"""How the keys below a prefix are shared out among requests that are under way at once. No network, no threads.

A listing is a chain: each page says how to ask for the next. But one may also ask for what comes after any key, which
need not be there ("StartAfter is where you want Amazon S3 to start listing from. Amazon S3 starts listing after this
specified key. StartAfter can be any key in the bucket", Amazon S3 API reference, ListObjectsV2; of ListObjectVersions,
KeyMarker does it). So a second chain can begin further on, and the first one ends when it meets the second's first key.

No key is lost, whatever order a server lists in: two chains that are at one key go on alike, and one that does not meet
another's first key goes on to the end of the list. What is then found twice is the same twice, and counts once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DELIMITER = "/"
_SAMPLE_KEYS = 100
_KINDS = (digits, ascii_uppercase, ascii_lowercase)


@dataclass(slots=True, eq=False, kw_only=True)
class Span:
    """A chain of `pages`, which begins with the first key after `after`, and so after any key from `begins` on.

    `first` is that key, once it is known, and `last` the one that it has got to; `before_last` is a key before that, of
    a span that was kept. `following` asks for its next page; None once it has met another span, or the end of the list.
    `is_asked`: a request is under way. `is_void`: it is not needed.
    """

    prefix: str
    after: str
    begins: str = ""
    pages: int = 0
    first: str | None = None
    last: str = ""
    before_last: str | None = None
    following: dict[str, str] | None = None
    is_asked: bool = False
    is_void: bool = False
    # What asked for its pages in this run: a list is of any length, and so numbers are kept of it.
    _asked: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.begins = self.begins or self.after

    @property
    def is_open(self) -> bool:
        """Whether it has, or may have, more pages."""
        return not self.is_void and (self.following is not None or not self.pages)

    def goes_round(self, following: dict[str, str]) -> bool:
        """Whether what asks for its next page has asked for one before: then it would never end."""
        number = hash(tuple(following.items()))
        if number in self._asked:
            return True
        self._asked.add(number)
        return False

    def reach(self, keys: Sequence[str], following: dict[str, str] | None) -> None:
        """The next page of it is to be kept: from here on, no span may begin before the last of its keys."""
        self.before_last, self.following = None, following
        if keys:
            self.last = keys[-1]

    def advance(self) -> None:
        """That page is kept."""
        self.pages, self.is_asked = self.pages + 1, False


@dataclass(slots=True, kw_only=True)
class Spans:
    """The spans of one prefix, and what is known of its keys.

    `is_ordered` until a page is not in the order of keys' UTF-8, or does not begin after where it was asked to: then
    there are no new spans.
    """

    prefix: str
    is_ordered: bool = True
    _spans: list[Span] = field(default_factory=list)
    _claimed: dict[str, Span] = field(default_factory=dict)
    # Folders that were looked at, and whether all folders in them are known; the folders that were found, in order.
    _known: dict[str, bool] = field(default_factory=dict)
    _folders: list[str] = field(default_factory=list)
    # There are no keys after it.
    _end: str | None = None

    def add(self, span: Span) -> Span:
        """Take a span in, a new one or one that was kept."""
        if span.first is not None:
            self._claimed[span.first] = span
        insort(self._spans, span, key=_begins)
        return span

    def begin(self, span: Span, keys: Sequence[str]) -> bool:
        """Take note of the first page of a span; whether it is of use, and so to be kept."""
        if not span.after:
            return True
        if not keys:
            self._end = min(span.after, self._end or span.after)
        elif keys[0] <= span.after:
            self.is_ordered = False
        elif (other := self._claimed.get(keys[0])) is not None:
            # Nothing is in between.
            self._move(other, min(other.begins, span.begins))
        else:
            span.first = keys[0]
            self._claimed[span.first] = span
            return True
        self.drop(span)
        return False

    def drop(self, span: Span) -> None:
        """A span that is not needed, or cannot be had: the one before it goes on into it."""
        span.is_void = True
        self._spans.remove(span)

    def check_order(self, span: Span, keys: Sequence[str]) -> bool:
        """Whether a page is in order, as all others are."""
        if any(above > below for above, below in pairwise((span.last, *keys))):
            self.is_ordered = False
        return self.is_ordered

    def unbegun_after(self, span: Span, key: str | None) -> list[Span]:
        """Spans of which no page is kept yet, which begin after a span does and before `key` (None: the end)."""
        start = bisect_right(self._spans, span.begins, key=_begins)
        stop = len(self._spans) if key is None else bisect_left(self._spans, key, key=_begins)
        return [other for other in self._spans[start:stop] if not other.pages]

    def meets(self, span: Span, keys: Sequence[str]) -> int | None:
        """Where a page of a span meets another one."""
        for place, key in enumerate(keys):
            other = self._claimed.get(key)
            if other is not None and other is not span and other.pages:
                return place
        return None

    def note_folders(self, folder: str, folders: Sequence[str], *, is_all: bool) -> None:
        """Take note of folders in a folder, which is looked at."""
        self._known[folder] = is_all
        if folders:
            self._folders = sorted({*self._folders, *folders})

    def unknown_folders(self, keys: Sequence[str]) -> list[str]:
        """Folders that keys are in and that were not looked at, but may have folders; outermost first."""
        inner = common_folder(keys)
        found = [] if _is_flat(inner, keys) else [inner]
        while len(inner) > len(self.prefix):
            inner = inner[: inner.rfind(DELIMITER, 0, -1) + 1]
            found.append(inner)
        return [
            folder
            for folder in reversed(found)
            if self.is_ordered and len(folder) >= len(self.prefix) and folder not in self._known
        ]

    def split_at_folders(self, count: int) -> list[Span]:
        """Up to so many new spans, which begin at known folders that no span has reached."""
        if count <= 0 or not self.is_ordered:
            return []
        points = [folder for before, until in self._gaps() for folder in _between(self._folders, before, until)]
        return [self.add(Span(prefix=self.prefix, after=point)) for point in _evenly(points, count)]

    def split_by_guess(self, span: Span, keys: Sequence[str], count: int) -> list[Span]:
        """Up to so many new spans, which begin where names such as a span's last `keys` may go on to.

        Not where they are names of folders, all of which are known, or will be.
        """
        inner = common_folder(keys)
        is_known = not _is_flat(inner, keys) and self._known.get(inner, True)
        if count <= 0 or not self.is_ordered or is_known:
            return []
        until = next((until for before, until in self._gaps() if before == span.last), None)
        points = guess_points(keys, until, count)
        return [self.add(Span(prefix=self.prefix, after=point)) for point in points]

    def _gaps(self) -> Iterator[tuple[str, str | None]]:
        """What open spans have before them: after which key, and up to which."""
        reached = ""
        for place, span in enumerate(self._spans):
            # One that has no page and begins before where another has got to is on its way to find that there is
            # nothing in between, as a third did that began before it (`_move`). What follows is not its own.
            if span.is_open and (span.pages or span.begins >= reached):
                before = max(span.last, span.begins)
                beyond = (other.begins for other in self._spans[place + 1 :] if other.begins >= before)
                yield before, next(beyond, self._end)
            reached = max(reached, span.last)

    def _move(self, span: Span, begins: str) -> None:
        self._spans.remove(span)
        span.begins = begins
        insort(self._spans, span, key=_begins)


def guess_points(keys: Sequence[str], until: str | None, count: int) -> list[str]:
    """Up to `count` keys after the last of `keys`, before `until`, where names that go on like them may be found.

    `keys` are in order. A point is the beginning of the last one, up to a character that is replaced by a later one: by
    a digit or letter of its kind, or one that such names vary in. Those furthest to the left come first, since they cut
    off most: after `cell-0000.swc` … `cell-0999.swc`, `d`, `f`, …; …; `cell-1`, `cell-3`, …; `cell-01`, …
    """
    last, start = keys[-1], len(common_folder(keys))
    differ = len(_common(keys[0], last))
    sample = keys[:: len(keys) // _SAMPLE_KEYS + 1]
    columns = [{*column} - {""} for column in zip_longest(*(key[start:] for key in sample), fillvalue="")]
    characters = {character for column in columns if len(column) > 1 for character in column}
    choices = []
    for place in range(start, min(differ + 1, len(last))):
        stem, kind = last[:place], next((kind for kind in _KINDS if last[place] in kind), "")
        later = [stem + character for character in sorted({*characters, *kind}) if character > last[place]]
        choices.append(_between(later, last, until))
    places = sum(map(bool, choices))
    # Some of each place, since the first ones may be of a word that all names begin with.
    return [point for later in choices for point in _evenly(later, -(-count // places))][:count] if places else []


def common_folder(keys: Sequence[str]) -> str:
    """The innermost folder that keys, which are in order, are all in; empty if there is none."""
    common = _common(keys[0], keys[-1])
    return common[: common.rfind(DELIMITER) + 1]


def _is_flat(folder: str, keys: Sequence[str]) -> bool:
    """Whether keys in a folder are in no folder of it, as far as the first and the last one tell."""
    return DELIMITER not in keys[0][len(folder) :] and DELIMITER not in keys[-1][len(folder) :]


def _common(one: str, other: str) -> str:
    """What two texts begin with."""
    length = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[:length] if length is not None else min(one, other, key=len)


def _between(points: Sequence[str], before: str, until: str | None) -> Sequence[str]:
    """Those of sorted points that are after a key, and before another one or the end."""
    stop = len(points) if until is None else bisect_left(points, until)
    return points[bisect_right(points, before) : stop]


def _evenly(points: Sequence[str], count: int) -> list[str]:
    """Up to `count` of them, spread evenly."""
    count = max(0, min(count, len(points)))
    return [points[(number + 1) * (len(points) + 1) // (count + 1) - 1] for number in range(count)]


def _begins(span: Span) -> str:
    return span.begins
