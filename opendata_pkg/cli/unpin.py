"""`opendata unpin`: take a selection out of a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opendata_pkg.cli.options import JsonOption, LockOption, QuietOption
from opendata_pkg.cli.output import Output
from opendata_pkg.lock.lock import LOCK_NAME
from opendata_pkg.text import counted


def unpin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The selection's name in the lock.")],
    *,
    lock: LockOption = Path(LOCK_NAME),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Take a selection out of the lock. The next sync removes its files."""
    from opendata_pkg.columns.lean_arrow import import_arrow

    import_arrow()
    from opendata_pkg.readers.pinning import unpin as unpin_files

    out = Output(json=json, quiet=quiet)
    result = unpin_files(name, lock=lock)
    out.result(
        result.to_dict(),
        f"took {name} with {counted(result.files, 'file')} out of {lock}; left: {counted(result.left, 'file')}",
    )
