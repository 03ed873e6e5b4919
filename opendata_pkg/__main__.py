"""`opendata`, and `python -m opendata_pkg`."""

import atexit
import gc
import os
import sys

_CONTAINERS = 100_000


def main() -> None:
    """The console script: Ctrl-C while it is still being imported ends it without a traceback, too."""
    # What is made while a command starts stays until it ends: to look for cycles among it a hundred times, as Python
    # does otherwise, takes a tenth of that time.
    gc.set_threshold(_CONTAINERS)
    status: list[object] = []
    # What was registered first is called last.
    atexit.register(_leave, status)
    try:
        from opendata_pkg.cli.main import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        # What commands say and end with (`cli.errors`), which may not be there yet.
        sys.exit(130)
    except SystemExit as end:
        status.append(end.code)
        raise


def _leave(status: list[object]) -> None:
    """End the process, once nothing is left to be done but to take apart all that was made in it.

    Python would do that object by object, which takes as long as importing Arrow; the system frees the memory at once.
    """
    if not (status and isinstance(status[0], int)):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Python says what it says of that at every process's end.
        return
    os._exit(status[0])


if __name__ == "__main__":
    main()
