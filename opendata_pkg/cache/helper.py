"""One more process for a long line of items, which takes from the line as long as there are any.

It is a process of this Python as those of `workers` are, and ends as they do. It imports what its function needs, and
nothing else: where that is little, it is at work before others have done a few hundred small files.
"""

from __future__ import annotations

import contextlib
import pickle
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from opendata_pkg.workers import conversation, lost, noted, pipe, start_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

# So many items are sent together: a message takes both processes as long as one small file.
_TOGETHER = 16


class Helper:
    """A process that runs `function(items, *arguments)`, which yields lists of results; `with` ends it.

    The function is one of an importable module. Each item is to have one result, in any order.
    """

    def __init__(self, function: Callable[..., Iterator[Sequence[Any]]]) -> None:
        """Start the process, which imports what the function needs."""
        self._process = start_process(__name__)
        self._owed = 0
        self._send(function)

    def results(self, take: Callable[[int], Sequence[Any]], *arguments: object, ahead: int) -> Iterator[Sequence[Any]]:
        """What the function yields for the items that `take(count)` gives, until it gives none. To be asked for once.

        It has up to `ahead` items that it has not begun with, and a few more.

        Raises:
            LostWorkerError: the process was killed.
            BaseException: what the function raised, with its traceback as a note.
        """
        self._send(arguments)
        # It says when it is there: until then, others take what there is.
        self._receive()
        while True:
            while self._owed <= ahead and (items := take(_TOGETHER)):
                self._owed += len(items)
                self._send(items)
            if not self._owed:
                return
            results = self._receive()
            self._owed -= len(results)
            yield results

    def _send(self, message: object) -> None:
        stdin = pipe(self._process.stdin)
        try:
            pickle.dump(message, stdin, protocol=pickle.HIGHEST_PROTOCOL)
            stdin.flush()
        except BrokenPipeError as error:
            raise lost(self._process, "what it did is kept") from error

    def _receive(self) -> Sequence[Any]:
        try:
            results, raised = pickle.load(pipe(self._process.stdout))  # noqa: S301 - from a process of our own
        except EOFError as error:
            raise lost(self._process, "what it did is kept") from error
        if raised is not None:
            raise raised
        found: Sequence[Any] = results
        return found

    def __enter__(self) -> Self:
        """The helper itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, also in the middle of its work."""
        if not self._owed:
            # There is nothing that it could leave half done: it need not take its time, be it to begin or to end.
            self._process.kill()
        # What could not be sent need not be.
        with contextlib.suppress(BrokenPipeError):
            pipe(self._process.stdin).close()
        self._process.wait()
        pipe(self._process.stdout).close()


def serve() -> None:
    """Be the process: take the function, then items from stdin, and give results on stdout."""
    messages, answer = conversation()
    if (function := messages.get()) is None or (arguments := messages.get()) is None:
        return
    answer(((), None))
    try:
        for results in function(chain.from_iterable(iter(messages.get, None)), *arguments):
            answer((results, None))
    except Exception as error:  # noqa: BLE001 - it is raised again, in the process that asked
        answer(((), noted(error)))
