"""`python -m opendata_pkg` is `opendata`."""

from opendata_pkg.cli.main import main

if __name__ == "__main__":
    main()
