"""How long work tells what it is doing, without knowing whether anybody looks."""

from __future__ import annotations


class Reporter:
    """Takes messages and progress and drops them: the default for a library. The command line draws them on stderr."""

    def message(self, text: str) -> None:
        """Say one sentence that a person should know."""

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        """Begin a task of `total` units (None: not known); it replaces the one before. `unit` may be `bytes`."""

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done. May be called from any thread."""

    def finish(self) -> None:
        """End the task."""


SILENT = Reporter()
"""The reporter that says nothing."""
