"""Running commands in full view: each is shown as a person would type it, with what it said; checks are counted."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opendata_pkg.model import SourceError
from opendata_pkg.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opendata_pkg.progress import Reporter

_LIMIT_S = 900
_GRACE_S = 10

# What a person's own settings could change or leak into the demo: it must run alike everywhere, with no credentials,
# and a proxy has nothing to do with servers on loopback.
_DROPPED_PREFIXES = ("AWS_", "DATALAD_", "GIT_", "OPENDATA_", "XDG_")
_DROPPED = ("all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy")


class StepFailedError(SourceError):
    """A command of the demo ended with another status than it should."""

    def __init__(self, shown: str, status: int, output: str) -> None:
        self.shown, self.status, self.output = shown, status, output.strip()
        super().__init__(
            f"expected this command of the demo to end with status 0, but it ended with {status}:\n"
            f"$ {shown}\n{self.output}\nRun it by hand to see more, or run the demo again"
        )


def demo_environment(home: Path) -> dict[str, str]:
    """The environment of every command: an empty home, no settings or credentials of whoever runs the demo."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED_PREFIXES) and name.lower() not in _DROPPED
    }
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        "HOME": str(home),
        "OPENDATA_CACHE": str(home / "cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # What DataLad does shows in its results; how, in ten lines for each dataset, would bury them.
        "DATALAD_LOG_LEVEL": "warning",
        # git and DataLad find git-annex on PATH; pip puts it beside Python.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


@dataclass(kw_only=True)
class Stage:
    """Where commands are run and shown. `folder` is the demo's, where they run unless `inside` says otherwise.

    `environment` is that of the commands; `passed` and `failed` are the sentences of the checks so far.
    """

    reporter: Reporter
    folder: Path
    environment: Mapping[str, str]
    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _inside: Path | None = None

    def title(self, text: str) -> None:
        """Begin a part of the story."""
        self.reporter.message(f"\n── {text} " + "─" * max(3, 100 - len(text)))

    def say(self, text: str) -> None:
        """Explain the next step."""
        self.reporter.message(text)

    def opendata(self, *words: str, lines: int = 8) -> str:
        """Run an `opendata` command; what it printed on stdout. Shows up to `lines` lines of it and of its messages."""
        return self._run(shlex.join(["opendata", *words]), [sys.executable, "-m", "opendata_pkg", *words], lines)

    def stock(self, *words: str, lines: int = 8) -> str:
        """Run a stock tool (git, datalad, …), in the same way."""
        return self._run(shlex.join(words), list(words), lines)

    def python(self, script: str, *, lines: int = 8) -> str:
        """Run a Python script, in the same way."""
        return self._run(shlex.join(["python", "-c", script]), [sys.executable, "-c", script], lines)

    def export(self, variables: Mapping[str, str]) -> None:
        """Add to the environment of the commands to come."""
        assignments = (f"{name}={shlex.quote(value)}" for name, value in variables.items())
        self.reporter.message(f"$ export {' '.join(assignments)}")
        self.environment = {**self.environment, **variables}

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Run the block's commands in a folder below the demo's."""
        self.reporter.message(f"$ cd {shlex.quote(path)}")
        self._inside = self.folder / path
        yield
        self._inside = None
        self.reporter.message("$ cd -")

    def check(self, promise: str, *, expected: object, got: object) -> None:
        """Count a check and show its outcome; the values only where they differ."""
        if expected == got:
            self.passed.append(promise)
            self.reporter.message(f"  ✓ {promise}")
        else:
            self.failed.append(f"{promise}: expected {expected}, got {got}")
            self.reporter.message(f"  ✗ {self.failed[-1]}")

    def check_bytes(self, promise: str, *, expected: bytes, path: Path) -> None:
        """Check that a file has exactly these bytes; where not, sizes and digests are shown."""
        found = path.read_bytes() if path.is_file() else None
        self.check(promise, expected=_described(expected), got="no file" if found is None else _described(found))

    def _run(self, shown: str, words: list[str], lines: int) -> str:
        self.reporter.message(f"$ {shown}")
        status, stdout, stderr = run_group(words, cwd=self._inside or self.folder, environment=self.environment)
        if status != 0:
            raise StepFailedError(shown, status, stdout + stderr)
        self._show(stderr.splitlines() + stdout.splitlines(), lines)
        return stdout

    def _show(self, text_lines: list[str], limit: int) -> None:
        shown = [line for line in text_lines if line.strip()]
        for line in shown[:limit]:
            self.reporter.message(f"    {line}")
        if limit and len(shown) > limit:
            self.reporter.message(f"    … {counted(len(shown) - limit, 'more line')}")


def _described(data: bytes) -> str:
    return f"{counted(len(data), 'byte')}, sha256:{hashlib.sha256(data).hexdigest()}"


def run_group(words: list[str], *, cwd: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command in a process group of its own; status, stdout, stderr.

    Whatever interrupts us ends the whole group: a `git annex` that a killed `datalad` leaves would go on otherwise.
    """
    # `with` closes the pipes also where the command has ended and a child of it has not.
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            _end_group(process)
            raise StepFailedError(shlex.join(words), -signal.SIGTERM, f"it did not end within {_LIMIT_S} s") from error
        except BaseException:
            _end_group(process)
            raise
    return process.returncode, _read_text(stdout), _read_text(stderr)


def _read_text(output: bytes) -> str:
    """Output as a terminal leaves it: of a progress display, which returns to the line's start, only the last state."""
    lines = output.decode(errors="replace").replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # The group bears the number of the process we started: as long as that was not waited for, it is nobody else's.
    if process.returncode is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that what the block started is stopped in order."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
