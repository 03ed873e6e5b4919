"""Doing many slow things at a time, in threads, without holding them all in memory."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_POLL_S = 0.2
_IDLE_S = 0.002


def map_unordered(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, jobs: int
) -> Generator[tuple[_Item, _Result], None, None]:
    """Items with their results, as they become ready, up to `jobs` at a time.

    It begins with one thread and adds others as long as results let wait for themselves: where work is quick, more
    threads would only take Python's lock from each other (for small files from this machine, twice the time).

    Items are taken from their iterable only when a thread is free, and at most `jobs` results wait to be taken, so that
    memory does not grow with their number. The first error of the function or the iterable is raised here. Then, or
    when this generator is closed, the threads end after what they are doing; nobody waits for them, since they are
    daemons: Ctrl-C is quick.
    """
    jobs = max(1, jobs)  # as many as there are items may be none
    crew = _Crew(function, items, jobs)
    started = ended = 0
    try:
        while started == 0 or ended < started:
            try:
                outcome = crew.ready.get(timeout=(_IDLE_S if started else 0) if started < jobs else None)
            except queue.Empty:
                threading.Thread(target=crew.work, name=f"opendata-{started}", daemon=True).start()
                started += 1
                continue
            if outcome is None:
                ended += 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome
    finally:
        crew.stopped.set()


def ahead(items: Iterable[_Item]) -> Generator[_Item, None, None]:
    """The items in their order, made by a thread of its own while those before them are used.

    One waits to be taken and one is being made, so that stages of work that let go of Python's lock, each `ahead` of
    the next, use as many cores in little memory. Errors and closing are as in `map_unordered`.
    """
    with closing(map_unordered(lambda item: item, items, jobs=1)) as made:
        for item, _ in made:
            yield item


class _Crew(Generic[_Item, _Result]):
    """What the threads share: where items come from, and where results go. None says that a thread has ended."""

    def __init__(self, function: Callable[[_Item], _Result], items: Iterable[_Item], jobs: int) -> None:
        self._function = function
        self._items = iter(items)
        self._taking = threading.Lock()
        self.stopped = threading.Event()
        self.ready: queue.Queue[tuple[_Item, _Result] | BaseException | None] = queue.Queue(maxsize=jobs)

    def work(self) -> None:
        try:
            for item in self._taken():
                self._hand_over((item, self._function(item)))
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that asked
            self._hand_over(error)
        else:
            self._hand_over(None)

    def _taken(self) -> Iterator[_Item]:
        end = object()
        while not self.stopped.is_set():
            with self._taking:
                item = next(self._items, end)
            if item is end:
                return
            yield item  # type: ignore[misc] # it is not `end`

    def _hand_over(self, outcome: tuple[_Item, _Result] | BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                self.ready.put(outcome, timeout=_POLL_S)
            except queue.Full:
                continue
            return
