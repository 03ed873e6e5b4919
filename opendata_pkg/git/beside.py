"""Two things at a time: one in a thread, beside the block that needs it done in the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Result = TypeVar("_Result")
_PATIENCE_S = 1.0


@contextmanager
def beside(function: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
    """Run a function beside the block, which is handed a way to wait for its result, or for its error.

    A block that ends well ends after it. One that fails does not wait long, so that Ctrl-C is quick.
    """
    outcome: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, name="opendata-beside", daemon=True)
    thread.start()

    def result() -> _Result:
        thread.join()
        if errors:
            raise errors[0]
        return outcome[0]

    try:
        yield result
    except BaseException:
        thread.join(_PATIENCE_S)
        raise
    result()
