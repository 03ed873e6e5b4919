"""The progress bar: kept apart, since only a person at a terminal needs the import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task


class _Amount(ProgressColumn):
    """How much is done, of how much, and how fast, in the task's own unit."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def _in_words(self, count: float) -> str:
        return decimal(int(count)) if self.unit == "bytes" else f"{int(count):,}"

    def render(self, task: Task) -> Text:
        """For example `1,200 of 4,000 files, 310/s`."""
        words = self._in_words(task.completed)
        if task.total is not None:
            words += f" of {self._in_words(task.total)}"
        if self.unit != "bytes":
            words += f" {self.unit}"
        return Text(f"{words}, {self._in_words(task.speed)}/s" if task.speed else words)


def make_progress(console: Console, unit: str) -> Progress:
    """A bar for one task on `console`, gone when it is done. `unit` is `bytes` or the plural of what is counted."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Amount(unit),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
