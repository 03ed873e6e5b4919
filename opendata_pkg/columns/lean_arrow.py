"""Arrow for processes that are ours from beginning to end: without numpy, and with the quicker allocator."""

from __future__ import annotations

import os
import sys


def import_arrow() -> None:
    """Import pyarrow, and no numpy with it; let it take memory from jemalloc where it has that.

    pyarrow takes numpy along if it is installed, which takes longer than all else that `opendata fetch` imports; it can
    do without (pyarrow 18), and no command hands an array of numpy to it. Its own choice, mimalloc, gives memory back
    to the system at once and must ask for it again: of a snapshot that is read, half the time goes into that. Only for
    commands and their workers, whose process ends with them: who imports `opendata_pkg` may well want it otherwise.
    """
    if "pyarrow" in sys.modules or sys.modules.get("numpy") is not None:
        return
    # "If the value is None, then a ModuleNotFoundError is raised" (Python's reference, section 5.3.1).
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        import pyarrow.compute  # noqa: PLC0415 - `opendata --help` imports this module, too
    finally:
        del sys.modules["numpy"]
    # What people set themselves counts.
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pyarrow.supported_memory_backends():
        pyarrow.set_memory_pool(pyarrow.jemalloc_memory_pool())
