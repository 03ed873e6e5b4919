"""`opendata`, and `python -m opendata_pkg`."""

import gc
import sys

_CONTAINERS = 100_000


def main() -> None:
    """The console script: Ctrl-C while it is still being imported ends it without a traceback, too."""
    # What is made while a command starts stays until it ends: to look for cycles among it a hundred times, as Python
    # does otherwise, takes a tenth of that time.
    gc.set_threshold(_CONTAINERS)
    try:
        from opendata_pkg.cli.main import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        # What commands say and end with (`cli.errors`), which may not be there yet.
        sys.exit(130)


if __name__ == "__main__":
    main()
