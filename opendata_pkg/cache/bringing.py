"""Many files at a time: in threads, and in other processes too where they are so many and small that Python is busy.

Threads take turns at Python's lock: enough while a network or a disk is waited for, and for large files. Of small files
from a near server, one core brings some thousands in a second; each process more brings as many.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from opendata_pkg.cache.download import DiskFullError
from opendata_pkg.cache.helper import Helper
from opendata_pkg.model import OpenDataError, SourceError
from opendata_pkg.parallel import count_cores, map_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from opendata_pkg.cache.wanted import Wanted
    from opendata_pkg.progress import Reporter
    from opendata_pkg.web.transport import Transport

# Of larger ones, most time goes to what needs no Python: receiving, writing, hashing.
_SMALL_BYTES = 1 << 20
# A process takes as long to start as a few hundred small files take.
_MANY = 500
_MOST_HELPERS = 7
# So many results of a helper are told together, if they come quickly: telling takes as long as a few of them.
_TOGETHER = 32


class StoppedError(SourceError):
    """Nobody waits for the file any more."""


class Order(Protocol):
    """A file to be brought: plain values, that other processes can be sent."""

    @property
    def wanted(self) -> Wanted:
        """What is to be had."""

    @property
    def is_far(self) -> bool:
        """Whether it is to come from the web: then any process can bring it."""


@contextmanager
def early_helper(jobs: int) -> Iterator[Helper | None]:
    """A process that starts while its caller finds out what there is to bring, None where it would be of no use.

    It takes as long to be at work as finding that out does; if nobody has work for it, it is ended.
    """
    if count_cores() == 1 or jobs == 1:
        yield None
    else:
        with Helper(bring_share) as helper:
            yield helper


_Order = TypeVar("_Order", bound=Order)
_Result = TypeVar("_Result")


def bring_all(
    bring: Callable[[_Order, Transport, Callable[[int], None]], _Result],
    orders: Sequence[_Order],
    *,
    transport: Transport,
    jobs: int,
    reporter: Reporter,
    early: Helper | None = None,
) -> Iterator[tuple[int, _Result | OpenDataError]]:
    """What `bring(order, transport, on_bytes)` gives for each order, or its error, by the order's number.

    `jobs` are under way at a time. For many small files, `bring` and the orders are sent to other processes too, of
    which one may have been started `early`.

    Raises:
        DiskFullError: there is no room for any other, either.
        LostWorkerError: one of those processes was killed.
    """
    line = _Line(orders)
    helpers = min(count_cores() - 1, len(line.small) // _MANY, jobs - 1, _MOST_HELPERS)
    share = jobs // (helpers + 1)
    stopped = threading.Event()

    def on_bytes(count: int) -> None:
        if stopped.is_set():
            raise StoppedError("stopped")
        reporter.advance(count)

    def one(number: int) -> _Result | OpenDataError:
        return _outcome(bring, orders[number], transport, on_bytes)

    def elsewhere(helper: Helper) -> Iterator[list[tuple[int, _Result | OpenDataError]]]:
        for done in helper.results(line.take_small, bring, transport, share, ahead=2 * share):
            reporter.advance(sum(count for _, _, count in done))
            yield [(number, outcome) for number, outcome, _ in done]

    with ExitStack() as stack:
        started = [] if early is None else [early][:helpers]
        started += [stack.enter_context(Helper(bring_share)) for _ in range(helpers - len(started))]
        done = map_together(one, line, jobs=jobs - helpers * share, others=map(elsewhere, started))
        stack.callback(stopped.set)
        groups, left = stack.enter_context(closing(done)), len(orders)
        while left:
            # No helper is waited for that has taken nothing.
            group = next(groups)
            left -= len(group)
            yield from group


def bring_share(
    items: Iterable[tuple[int, _Order]],
    bring: Callable[[_Order, Transport, Callable[[int], None]], _Result],
    transport: Transport,
    jobs: int,
) -> Iterator[list[tuple[int, _Result | OpenDataError, int]]]:
    """In a helper: numbers of orders with what was brought of them, and how many bytes were counted meanwhile."""

    def one(item: tuple[int, _Order]) -> tuple[_Result | OpenDataError, int]:
        counted = 0

        def on_bytes(count: int) -> None:
            nonlocal counted
            counted += count

        return _outcome(bring, item[1], transport, on_bytes), counted

    for group in map_together(one, items, jobs=jobs, room=max(jobs, _TOGETHER)):
        yield [(number, outcome, counted) for (number, _), (outcome, counted) in group]


def _outcome(
    bring: Callable[[_Order, Transport, Callable[[int], None]], _Result],
    order: _Order,
    transport: Transport,
    on_bytes: Callable[[int], None],
) -> _Result | OpenDataError:
    try:
        return bring(order, transport, on_bytes)
    except DiskFullError:
        raise
    except OpenDataError as error:
        return error


class _Line:
    """The orders that nobody has begun with, as numbers: threads take the large ones first, helpers only small ones."""

    def __init__(self, orders: Sequence[Any]) -> None:
        self._orders = orders
        self.small: deque[int] = deque()
        self._large: deque[int] = deque()
        for number, order in enumerate(orders):
            size_bytes = order.wanted.size_bytes
            is_small = order.is_far and size_bytes is not None and size_bytes <= _SMALL_BYTES
            (self.small if is_small else self._large).append(number)

    def __iter__(self) -> Iterator[int]:
        for numbers in (self._large, self.small):
            while numbers:
                try:
                    yield numbers.popleft()
                except IndexError:
                    # A helper took the last one.
                    break

    def take_small(self, count: int) -> list[tuple[int, Any]]:
        """Up to so many for a helper, with their numbers."""
        taken: list[tuple[int, Any]] = []
        while self.small and len(taken) < count:
            try:
                number = self.small.pop()
            except IndexError:
                break
            taken.append((number, self._orders[number]))
        return taken
