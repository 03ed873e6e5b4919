"""Doing many slow things at a time, in threads, without holding them all in memory."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Results that come at once are handed over together, up to so long after the first.
_TOGETHER_S = 0.005
# How long threads are watched before it is decided whether there should be more: to tell waiting from work, and to tell
# whether one more has made it quicker.
_WINDOW_S = 0.01
_TRIAL_S = 0.03
# A signal that comes just before the main thread begins to wait does not wake it: Ctrl-C is noticed after so long.
_LONGEST_S = 0.5
# Threads that use less than this of a processor are waiting for something else than each other.
_BUSY = 0.6
# What they are to come to, as far as that can be told.
_ENOUGH = 0.8
# By how much one more must make it quicker, as a part of what each one did before it.
_GAIN = 0.3
# When to try once more after it did not; each time twice as long.
_NEXT_TRIAL_S = 0.5
# After how long a thread of `ahead` sees that nobody wants more.
_POLL_S = 0.2
# How many items of a stage may wait to be taken, so that stages that take turns being slow do not wait for each other.
# One is not enough (a pair of snapshots of a million rows: 0.8 to 1.07 s; with three 0.75 s, in the same memory).
_AHEAD = 3


def count_cores() -> int:
    """How many cores this process may use; macOS does not tell, but how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, jobs: int, at_once: int = 1
) -> Generator[tuple[_Item, _Result], None, None]:
    """Items with their results, as they become ready, up to `jobs` at a time.

    It begins with `at_once` threads, more than one where each item is known to wait for the network, and adds others as
    long as that makes it quicker: see `Pace`. One job needs no thread.

    Items are taken from their iterable only when a thread is free, and at most twice `jobs` results wait to be taken,
    so that memory does not grow with their number. The first error of the function or the iterable is raised here.
    Then, or when this generator is closed, the threads end after what they are doing; nobody waits for them, since they
    are daemons: Ctrl-C is quick.
    """
    with closing(map_together(function, items, jobs=jobs, at_once=at_once)) as groups:
        for group in groups:
            yield from group


def map_together(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    jobs: int,
    at_once: int = 1,
    room: int | None = None,
    others: Iterable[Iterable[Sequence[tuple[_Item, _Result]]]] = (),
) -> Generator[list[tuple[_Item, _Result]], None, None]:
    """`map_unordered`, giving results together that became ready together: up to `room` (by default `jobs`) wait.

    Of those of `others`, which somebody else makes, each is waited for by a thread of its own.
    """
    following = list(others)
    if jobs <= 1 and not following:  # as many as there are items may be none
        for item in items:
            yield [(item, function(item))]
        return
    crew = _Crew(function, items, jobs, min(at_once, jobs), room or jobs)
    for groups in following:
        crew.follow(groups)
    try:
        while crew.is_at_work:
            done, error = crew.take()
            if done:
                yield done
            if error is not None:
                raise error
    finally:
        crew.stop()


class Pace:
    """How many threads pay, by what those that there are have done in the last moments.

    Where they wait (for the network, mostly), many do more: there are up to twice as many, until they are busy. Then
    one more helps only if the work lets go of Python's lock, as hashing does; else threads take the lock from each
    other, and small files from a near server take twice as much of the processor. Which of both it is, a trial tells;
    also where they seem to wait, since it may be for a processor that others keep busy.
    """

    def __init__(self, now_s: float, jobs: int, threads: int = 1) -> None:
        self.threads = threads
        self._jobs = jobs
        self._since_s, self._used_s, self._done = now_s, 0.0, 0
        # What has just begun, or changed, is not counted: threads make connections first.
        self._is_settled = False
        # During a trial, how many threads there were before it, and their results in a second.
        self._before: tuple[int, float] | None = None
        self._next_trial_s, self._pause_s = now_s, _NEXT_TRIAL_S

    @property
    def is_full(self) -> bool:
        """Whether there are as many as there may be."""
        return self.threads == self._jobs

    def change(self, now_s: float, used_s: float, done: int) -> int:
        """How many to add, or to take away, now that `done` results so far have taken `used_s` of processors."""
        window_s = now_s - self._since_s
        if window_s < _WINDOW_S:
            return 0
        use, count = (used_s - self._used_s) / window_s, done - self._done
        if count < 2 * self.threads:
            # Of work that takes longer than the window, nothing is known yet.
            self._before, change = None, self._more(0)
        elif (self._is_settled or use < _BUSY) and window_s < _TRIAL_S:
            return 0
        else:
            change = self._try(now_s, count / window_s, use) if self._is_settled or use < _BUSY else 0
        self._since_s, self._used_s, self._done = now_s, used_s, done
        self._is_settled = change == 0
        self.threads += change
        return change

    def _more(self, use: float) -> int:
        """How many to add: one, if they are busy, else twice as many as there are at most."""
        share = 0 if use >= _BUSY else min(1.0, _ENOUGH / max(use, _ENOUGH / 2) - 1)
        return min(max(math.ceil(self.threads * (1 + share)), self.threads + 1), self._jobs) - self.threads

    def _try(self, now_s: float, rate: float, use: float) -> int:
        """Begin or end a trial."""
        if self._before is not None:
            (threads, before), self._before = self._before, None
            added = self.threads - threads
            if rate < before * (1 + _GAIN * added / threads):
                self._next_trial_s, self._pause_s = now_s + self._pause_s, 2 * self._pause_s
                return -added
        if self.is_full or now_s < self._next_trial_s:
            return 0
        self._before = self.threads, rate
        return self._more(use)


def ahead(items: Iterable[_Item]) -> Generator[_Item, None, None]:
    """The items in their order, made by a thread of its own while those before them are used.

    A few wait to be taken while one is being made, so that stages of work that let go of Python's lock, each `ahead` of
    the next, use as many cores in little memory. Errors are raised, and threads end, as in `map_unordered`.
    """
    made: queue.Queue[tuple[_Item] | BaseException | None] = queue.Queue(maxsize=_AHEAD)
    stopped = threading.Event()
    threading.Thread(target=_make, args=(items, made, stopped), name="opendata-ahead", daemon=True).start()
    try:
        while (outcome := made.get()) is not None:
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome[0]
    finally:
        stopped.set()


def _make(
    items: Iterable[_Item], made: queue.Queue[tuple[_Item] | BaseException | None], stopped: threading.Event
) -> None:
    """Put items in the queue, and last None or the error that there was, unless nobody wants more."""

    def hand_over(outcome: tuple[_Item] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                made.put(outcome, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    end: BaseException | None = None
    try:
        for item in items:
            hand_over((item,))
            if stopped.is_set():
                break
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that asked
        end = error
    hand_over(end)


class _Crew(Generic[_Item, _Result]):
    """What the threads share: where items come from, and where results go."""

    def __init__(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], jobs: int, at_once: int, room: int
    ) -> None:
        self._function, self._most_waiting = function, room
        self._items = iter(items)
        self._taking = threading.Lock()
        # Whoever holds it may be made to clean up, and that may be another such crew's, or this one's, end.
        lock = threading.RLock()
        self._ready, self._room = threading.Condition(lock), threading.Condition(lock)
        # All below is the lock's.
        self._waiting: list[tuple[_Item, _Result]] = []
        self._error: BaseException | None = None
        self._threads = self._surplus = self._done = 0
        self._used_s = 0.0
        self._is_stopped = self._is_drained = self._is_awaited = False
        self._pace = Pace(time.monotonic(), jobs, at_once)
        self._start(at_once)

    @property
    def is_at_work(self) -> bool:
        """Whether there may be more results."""
        return self._threads > 0 or bool(self._waiting) or self._error is not None

    def take(self) -> tuple[list[tuple[_Item, _Result]], BaseException | None]:
        """The results that wait, after waiting for them, and the first error after them; there may be neither."""
        with self._ready:
            if self._threads and self._error is None:
                # Being woken for each of many quick results would take longer than they do.
                self._ready.wait(_TOGETHER_S)
            if not self._waiting and self._threads and self._error is None:
                self._is_awaited = True
                self._ready.wait(_LONGEST_S if self._pace.is_full or self._is_drained else _WINDOW_S)
                self._is_awaited = False
            taken, self._waiting = self._waiting, []
            error, self._error = self._error, None
            self._room.notify_all()
            if not self._is_drained:
                change = self._pace.change(time.monotonic(), self._used_s, self._done)
                self._start(change)
                self._surplus += max(0, -change)
        return taken, error

    def follow(self, groups: Iterable[Sequence[tuple[_Item, _Result]]]) -> None:
        """Take over what somebody else makes, in one thread more."""
        self._begin(self._follow, groups)

    def stop(self) -> None:
        """Let the threads end after what they are doing."""
        with self._room:
            self._is_stopped = True
            self._room.notify_all()

    def _start(self, threads: int) -> None:
        for _ in range(threads):
            self._begin(self._work)

    def _begin(self, task: Callable[..., None], *arguments: object) -> None:
        self._threads += 1
        name = f"opendata-{self._threads}"
        threading.Thread(target=self._run, args=(task, *arguments), name=name, daemon=True).start()

    def _run(self, task: Callable[..., None], *arguments: object) -> None:
        failed: BaseException | None = None
        try:
            task(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that asked
            failed = error
        with self._ready:
            self._error = self._error or failed
            self._threads -= 1
            self._ready.notify()

    def _work(self) -> None:
        used_s = time.thread_time()
        for item in self._taken():
            outcome = (item, self._function(item))
            before_s, used_s = used_s, time.thread_time()
            with self._room:
                self._done += 1
                self._used_s += used_s - before_s
                self._hand_over(outcome)

    def _follow(self, groups: Iterable[Sequence[tuple[_Item, _Result]]]) -> None:
        for group in groups:
            with self._room:
                self._hand_over(*group)

    def _taken(self) -> Iterator[_Item]:
        end = object()
        while not self._is_stopped and not self._is_surplus():
            with self._taking:
                item = next(self._items, end)
            if item is end:
                self._is_drained = True
                return
            yield item  # type: ignore[misc] # it is not `end`

    def _is_surplus(self) -> bool:
        """Whether this thread is one too many."""
        if not self._surplus:
            return False
        with self._room:
            is_surplus = self._surplus > 0
            self._surplus -= is_surplus
            return is_surplus

    def _hand_over(self, *outcomes: tuple[_Item, _Result]) -> None:
        """Let results wait to be taken, when there is room; the lock is held."""
        while len(self._waiting) >= self._most_waiting and not self._is_stopped:
            self._room.wait()
        self._waiting += outcomes
        if self._is_awaited or 2 * len(self._waiting) >= self._most_waiting:
            self._ready.notify()
