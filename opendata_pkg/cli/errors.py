"""The one table from what went wrong to a sentence on stderr and an exit status (docs/reference/exit-status.md)."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from opendata_pkg.cli.output import get_output
from opendata_pkg.model import OpenDataError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130
"""128 + SIGINT, as a shell says it."""
CLOSED_PIPE = 141
"""128 + SIGPIPE: what ordinary commands end with when `head` has seen enough."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


_PUBLISHING = frozenset({"build", "release"})


@contextmanager
def errors_as_sentences(command: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Turn every foreseen error of the block into its sentence and `typer.Exit`; let defects show their traceback.

    `command` tells the name of the command that was run, once it is known: what an interruption leaves depends on it.
    """
    try:
        yield
    except OpenDataError as error:
        get_output().error(str(error))
        raise typer.Exit(error.exit_status) from error
    except KeyboardInterrupt as error:
        left = "published" if command() in _PUBLISHING else "left under its name"
        get_output().error(f"interrupted: nothing half-made was {left}; run the same command again to go on")
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # Python flushes stdout once more when it ends, and would complain about the pipe a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(CLOSED_PIPE) from error
    except OSError as error:
        get_output().error(os_error_sentence(error, command()))
        raise typer.Exit(SourceError.exit_status) from error


def os_error_sentence(error: OSError, command: str | None = None) -> str:
    """What the operating system refused to a command, where, what that left, and what to do next."""
    where = f": {error.filename}" if error.filename is not None else ""
    left = "nothing was published" if command in _PUBLISHING else "what is complete stays as it is"
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _NO_SPACE:
        return f"the disk is full{where}; {left}: free space and run the same command again"
    if error.errno in _NOT_WRITABLE and _is_of_cache(error.filename):
        return f"cannot write the cache{where} ({reason}); set OPENDATA_CACHE to a folder that you may write to"
    if isinstance(error, PermissionError):
        return f"not allowed{where} ({reason}); check who owns it and its permissions, then run again"
    return f"the system refused{where} ({reason}); {left}: mend that and run the same command again"


def _is_of_cache(filename: object) -> bool:
    """Whether a file is in the cache's folder, or is a folder above it that there is not."""
    from opendata_pkg.digests.checksums import cache_folder

    if not isinstance(filename, str):
        return False
    cache, path = cache_folder(), Path(filename)
    return path.is_relative_to(cache) or (cache.is_relative_to(path) and not path.exists())
