"""Which URLs a key's log offers after a release, given what it offered before. Pure.

A reader's git-annex tries what `.log.web` lists with status 1. So a URL that has come to serve other bytes, or none, is
withdrawn (status 0), and the location log says that the web has the key only while a URL is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_URLS = 4
"""Most URLs offered for one key: thousands of objects may have the same bytes, and readers try one after another."""


class Candidate(NamedTuple):
    """A URL that serves a key's content. Candidates sort best first: versioned, current, then by key bytes."""

    unversioned: bool
    gone: bool
    object_key: bytes
    url: str


WebLog = dict[str, tuple[int, bool]]
"""URL → (time in seconds of its last change, whether it is offered)."""


def next_web_log(
    before: WebLog, current: Iterable[Candidate], recheck: Callable[[str], Candidate | None], time: int
) -> WebLog:
    """The log after a release at `time`.

    Args:
        before: the log as last released.
        current: the URLs of the dataset's present objects with this content.
        recheck: for an offered URL that is not among these, what it is now; None if it no longer serves the content.
        time: of this release, above every time in `before`.
    """
    candidates = {candidate.url: candidate for candidate in current}
    for url, (_, offered) in before.items():
        if offered and url not in candidates and (still := recheck(url)) is not None:
            candidates[url] = still
    chosen = {candidate.url for candidate in sorted(candidates.values())[:MAX_URLS]}
    after: WebLog = {}
    for url, (since, offered) in before.items():
        after[url] = (since, offered) if (url in chosen) == offered else (time, url in chosen)
    for url in chosen - before.keys():
        after[url] = (time, True)
    return after
