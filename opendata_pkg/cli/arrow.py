"""Arrow for commands, at half the price: without numpy."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_arrow() -> None:
    """Import pyarrow, and no numpy with it."""
    with without_numpy():
        import pyarrow.compute  # noqa: F401


@contextmanager
def without_numpy() -> Iterator[None]:
    """Whoever imports pyarrow in the block takes no numpy along.

    pyarrow takes numpy along if it is installed, which takes longer than all else that `opendata fetch` imports; it can
    do without (pyarrow 18), and no command hands an array of numpy to it. Only for commands, whose process ends with
    them: who imports `opendata_pkg` may well want both.
    """
    if "numpy" in sys.modules or "pyarrow" in sys.modules:
        yield
        return
    # "If the value is None, then a ModuleNotFoundError is raised" (Python's reference, section 5.3.1).
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["numpy"]
