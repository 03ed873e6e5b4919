"""The progress bar: kept apart, since only a person at a terminal needs the import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task


_WIDE = 80
_NARROW = 60


class _Amount(ProgressColumn):
    """How much is done, of how much, and how fast, in the task's own unit."""

    def __init__(self, unit: str, *, short: bool) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.unit, self.short = unit, short

    def _in_words(self, count: float) -> str:
        return decimal(int(count)) if self.unit == "bytes" else f"{int(count):,}"

    def render(self, task: Task) -> Text:
        """For example `1,200 of 4,000 files, 310/s`; short, `1,200 of 4,000`."""
        words = self._in_words(task.completed)
        if task.total is not None:
            words += f" of {self._in_words(task.total)}"
        if self.short:
            return Text(words)
        if self.unit != "bytes":
            words += f" {self.unit}"
        return Text(f"{words}, {self._in_words(task.speed)}/s" if task.speed else words)


class _Task(ProgressColumn):
    """What is being done, cut where there is no room."""

    def render(self, task: Task) -> Text:
        """For example `reading the bucket`."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


def make_progress(console: Console, unit: str) -> Progress:
    """A bar for one task on `console`, gone when it is done. `unit` is `bytes` or the plural of what is counted."""
    # What is left out first is what says least; numbers are whole in any terminal.
    wide, narrow = console.width >= _WIDE, console.width < _NARROW
    return Progress(
        SpinnerColumn(),
        _Task(),
        *([BarColumn()] if wide else []),
        _Amount(unit, short=narrow),
        *([] if narrow else [TimeRemainingColumn(table_column=Column(no_wrap=True))]),
        console=console,
        transient=True,
    )
