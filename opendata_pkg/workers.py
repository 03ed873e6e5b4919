"""Work in several processes of this Python, so that all cores are used; nothing of it outlives who asked for it.

Not `multiprocessing`: its children run the caller's main script again, and those that are not told to end stay on when
their parent is killed. Ours are started by name and end with the pipe that they get their work from.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import selectors
import signal
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, Self

from opendata_pkg.columns.lean_arrow import import_arrow
from opendata_pkg.model import SourceError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from types import TracebackType

_BOOT = (
    "import sys; sys.path[:] = sys.argv[2:]; from importlib import import_module; import_module(sys.argv[1]).serve()"
)


class LostWorkerError(SourceError):
    """A process that was to do part of the work is gone."""


class Workers:
    """Processes that call functions of importable modules; `with` ends them, however the block ends.

    Each takes one call at a time: `call` only while `idle`, then `wait` for a result.
    """

    def __init__(self, count: int, *, inherit: Sequence[int] = ()) -> None:
        """Start the processes; they keep the file descriptors `inherit` open, such as that of a lock."""
        self._selector = selectors.DefaultSelector()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle: list[subprocess.Popen[bytes]] = []
        self._tags: dict[int, object] = {}
        for _ in range(count):
            process = start_process(__name__, inherit=inherit)
            self._processes.append(process)
            self._idle.append(process)
            self._selector.register(pipe(process.stdout), selectors.EVENT_READ, process)

    @property
    def idle(self) -> bool:
        """Whether a process waits for work."""
        return bool(self._idle)

    def call(self, tag: object, function: Callable[..., Any], *arguments: object) -> None:
        """Let an idle process call a function; `wait` will give its result with the tag."""
        process = self._idle.pop()
        self._tags[process.pid] = tag
        stdin = pipe(process.stdin)
        try:
            pickle.dump((function, arguments), stdin, protocol=pickle.HIGHEST_PROTOCOL)
            stdin.flush()
        except BrokenPipeError as error:
            raise lost(process, "nothing was published") from error

    def wait(self) -> tuple[Any, Any]:
        """The tag and the result of a call that has ended.

        Raises:
            LostWorkerError: the process was killed.
            BaseException: what the function raised, with its traceback as a note.
        """
        ((key, _), *_) = self._selector.select()
        process: subprocess.Popen[bytes] = key.data
        try:
            result, raised = pickle.load(pipe(process.stdout))  # noqa: S301 - from a process of our own
        except EOFError as error:
            raise lost(process, "nothing was published") from error
        if raised is not None:
            raise raised
        self._idle.append(process)
        return self._tags.pop(process.pid), result

    def __enter__(self) -> Self:
        """The workers themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """As `end`."""
        self.end()

    def end(self) -> None:
        """End all processes: those at work stop, tidying up behind them."""
        self._selector.close()
        for process in self._processes:
            # What could not be sent need not be.
            with contextlib.suppress(BrokenPipeError):
                pipe(process.stdin).close()
        for process in self._processes:
            process.wait()
            pipe(process.stdout).close()


def start_process(module: str, *, inherit: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """A process that runs `serve()` of a module; it keeps the file descriptors `inherit` open.

    What that takes from stdin, and gives on stdout, is pickled: see `conversation`.
    """
    # The process itself needs none of it, and the sooner it is there the better.
    import subprocess  # noqa: PLC0415

    # Ctrl-C reaches all processes of a terminal: ours tell by the end of their stdin, from their first moment on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, module, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(inherit),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream of a process that was started with a pipe for it."""
    assert stream is not None  # noqa: S101 - for the type checker
    return stream


def lost(process: subprocess.Popen[bytes], outcome: str) -> LostWorkerError:
    """The error of a process that ended too early, with what became of the work."""
    status = process.wait()
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return LostWorkerError(
        f"a process that did part of the work was ended from outside ({how}): {outcome}; "
        "see whether memory ran out, then run the command again"
    )


def conversation() -> tuple[queue.SimpleQueue[Any], Callable[[Any], None]]:
    """In a process that was started for work: what stdin says, None at its end, and how to answer on stdout.

    The process stops at the end of stdin, even in the middle of its work: nobody waits for it any more.
    """
    signal.signal(signal.SIGTERM, _stop)
    # Whatever prints must not come between the results.
    results = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(messages,), daemon=True).start()

    def answer(result: Any) -> None:
        data = memoryview(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
        try:
            while data:
                data = data[os.write(results, data) :]
        except BrokenPipeError:
            # Who asked is gone.
            sys.exit()

    return messages, answer


def serve() -> None:
    """Take calls from stdin and give results on stdout, until there is no more stdin."""
    # What there is to do needs it, be it asked for or not: before anything of that is unpickled.
    import_arrow()
    calls, answer = conversation()
    while (call := calls.get()) is not None:
        function, arguments = call
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = function(*arguments), None
        except Exception as error:  # noqa: BLE001 - it is raised again, in the process that asked
            outcome = None, noted(error)
        del call, function, arguments
        answer(outcome)


def noted(error: Exception) -> Exception:
    """An error that is raised again in another process, with the traceback of this one."""
    import traceback  # noqa: PLC0415 - as in `start_process`

    error.add_note(f"in a worker:\n{traceback.format_exc()}")
    return error


def _receive(messages: queue.SimpleQueue[Any]) -> None:
    # Not `sys.stdin`, which Python closes when it ends, and dies if somebody is reading.
    stdin = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        while True:
            messages.put(pickle.load(stdin))  # noqa: S301 - from the process that started this one
    except (EOFError, pickle.UnpicklingError):
        # Nobody waits any more, be it that all is done or that who asked is gone: stop, even in the middle of a call;
        # and after it, since what the signal raises is lost where a finalizer happens to run.
        messages.put(None)
        os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, frame: object) -> None:
    # Once: what tidies up behind the call is not to be stopped, too.
    signal.signal(number, signal.SIG_IGN)
    del frame
    sys.exit()
