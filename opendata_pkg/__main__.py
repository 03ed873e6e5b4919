"""`opendata`, and `python -m opendata_pkg`."""

import sys


def main() -> None:
    """The console script: Ctrl-C while it is still being imported ends it without a traceback, too."""
    try:
        from opendata_pkg.cli.main import main as run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:
        # What commands say and end with (`cli.errors`), which may not be there yet.
        sys.exit(130)


if __name__ == "__main__":
    main()
