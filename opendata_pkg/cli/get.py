"""`opendata get`: contents of a clone's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendata_pkg.cli.options import JobsOption, JsonOption, OfflineOption, QuietOption
from opendata_pkg.cli.output import Output


def get(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders of a clone; by default this one."),
    ] = None,
    *,
    jobs: JobsOption = 16,
    offline: OfflineOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring contents into a clone, many at a time, each checked against its digest.

    git-annex and DataLad then know them as present. Stopped, the same command goes on where it was.
    """
    from opendata_pkg.cli.clone import describe_got
    from opendata_pkg.readers.getting import get as get_contents

    out = Output(json=json, quiet=quiet)
    got = get_contents(paths or (), jobs=jobs, offline=offline, reporter=out)
    for path, error in got.failures.items():
        out.message(f"failed: {path}: {error}")
    out.result(got.to_dict(), describe_got(got))
    got.check_complete()
