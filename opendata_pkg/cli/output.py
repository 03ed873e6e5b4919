"""One sink for all that a command says: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import sys
import threading
from functools import cached_property
from typing import TYPE_CHECKING

from opendata_pkg.documents import dump_json, dump_json_line
from opendata_pkg.progress import Reporter
from opendata_pkg.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.progress import Progress, TaskID


class Output(Reporter):
    """What one run of a command prints. The newest one made is the run's: see `get_output`.

    `json`: results are one JSON document. `quiet`: nothing on stderr but errors.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        global _current  # noqa: PLW0603 - a run has one sink, and errors must reach it from outside the command
        self.json, self.quiet = json, quiet
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        _current = self

    @cached_property
    def console(self) -> Console:
        """Standard error, as rich writes to it."""
        # Imported where used: `--json` and `--quiet` runs need none of it.
        from rich.console import Console

        return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def result(self, document: object, text: str | None = None) -> None:
        """Print the command's result on stdout: `document` as JSON, else `text` (None: nothing to read)."""
        self.finish()
        if self.json:
            sys.stdout.write(dump_json(document))
        elif text is not None:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def lines(self, documents: Iterable[object]) -> None:
        """Print results on stdout as they come: one JSON document a line."""
        self.texts(map(dump_json_line, documents))

    def texts(self, lines: Iterable[str]) -> None:
        """Print results on stdout as they come: lines for people and pipes."""
        self.finish()
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def error(self, sentence: str) -> None:
        """Say why the command failed; said also when quiet."""
        self.finish()
        self._say(visible(f"error: {sentence}", lines=True))

    def message(self, text: str) -> None:
        """Say one sentence on stderr, above the progress bar if there is one."""
        if not self.quiet:
            self._say(visible(text, lines=True))

    def _say(self, text: str) -> None:
        if self._progress is not None:
            self.console.print(text)
            return
        # To write a line takes no rich, which takes longer to import than many commands take.
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def start(self, task: str, total: int | None = None, unit: str = "files") -> None:
        """Draw a progress bar, where a person looks: a log file would only be cluttered by it."""
        self.finish()
        # The system is asked first: rich takes longer to import than most commands take.
        if self.quiet or not sys.stderr.isatty() or not self.console.is_terminal:
            return
        from opendata_pkg.cli.bar import make_progress

        with self._lock:
            self._progress = make_progress(self.console, unit)
            self._task = self._progress.add_task(task, total=total)
            self._progress.start()

    def advance(self, count: int = 1) -> None:
        """Move the bar, if there is one."""
        with self._lock:
            if self._progress is not None and self._task is not None:
                self._progress.advance(self._task, count)

    def finish(self) -> None:
        """Take the bar away, so that what is printed next stands on its own line."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
            self._progress = self._task = None


_current: Output | None = None


def get_output() -> Output:
    """The output of this run; one that says everything in words if no command has made its own yet."""
    return _current if _current is not None else Output()
