"""Progress and messages where a person works in a notebook: drawn by IPython, with nothing else to install."""

from __future__ import annotations

import sys
import threading
import time
from html import escape
from typing import Any

from opendata_pkg.progress import Reporter

_DRAW_EVERY_S = 0.2


class NotebookReporter(Reporter):
    """Draws a bar below the running cell of a notebook, and says messages there; anywhere else it is silent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: Any = None
        self._task, self._unit = "", ""
        self._total: int | None = None
        self._done = 0
        self._drawn_s = 0.0

    def message(self, text: str) -> None:
        """Print below the cell."""
        if _is_notebook():
            print(text)  # noqa: T201 - a notebook's own way of saying something

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        """Draw a new bar; the one before is taken away."""
        self.finish()
        if not _is_notebook():
            return
        from IPython.display import HTML, display  # noqa: PLC0415 - only a notebook has it

        with self._lock:
            self._task, self._total, self._unit, self._done = task, total, unit, 0
            self._drawn_s = 0.0
            self._handle = display(HTML(self._html()), display_id=True)

    def advance(self, count: int = 1) -> None:
        """Move the bar, at most a few times a second."""
        if self._handle is None:
            return
        from IPython.display import HTML  # noqa: PLC0415

        with self._lock:
            self._done += count
            now_s = time.monotonic()
            if self._handle is not None and (now_s - self._drawn_s > _DRAW_EVERY_S or self._done == self._total):
                self._drawn_s = now_s
                self._handle.update(HTML(self._html()))

    def finish(self) -> None:
        """Take the bar away."""
        with self._lock:
            if self._handle is not None:
                from IPython.display import HTML  # noqa: PLC0415

                self._handle.update(HTML(""))
            self._handle = None

    def _html(self) -> str:
        scale, unit = (1e6, "MB") if self._unit == "bytes" else (1, self._unit)
        done = f"{self._done / scale:,.0f}"
        of = "" if self._total is None else f" of {self._total / scale:,.0f}"
        bar = "" if self._total is None else f'<progress max="{self._total}" value="{self._done}"></progress> '
        return f"<div>{escape(self._task)} {bar}{done}{of} {escape(unit)}</div>"


def _is_notebook() -> bool:
    # A kernel has imported it; whoever else has not.
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415

    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


HERE = NotebookReporter()
"""The default of everything that is called from Python: a bar in notebooks, silence elsewhere."""
