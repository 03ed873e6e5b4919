"""Arrow for commands, at half the price: without numpy."""

from __future__ import annotations

import sys


def import_arrow() -> None:
    """Import pyarrow, and no numpy with it.

    pyarrow takes numpy along if it is installed, which takes longer than all else that `opendata fetch` imports; it can
    do without (pyarrow 18), and no command hands an array of numpy to it. Only for commands, whose process ends with
    them: who imports `opendata_pkg` may well want both.
    """
    if "numpy" in sys.modules or "pyarrow" in sys.modules:
        return
    # "If the value is None, then a ModuleNotFoundError is raised" (Python's reference, section 5.3.1).
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        import pyarrow.compute  # noqa: F401
    finally:
        del sys.modules["numpy"]
