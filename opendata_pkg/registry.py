"""pooch registries: one line a file, as plain `pooch.Pooch.load_registry` reads it back. Pure: text out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opendata_pkg.plan import PlannedFile


def registry_line(file: PlannedFile) -> str | None:
    """`NAME ALGORITHM:HEX URL` and a newline; None for a file without a digest, which pooch has no line for.

    pooch splits lines as a shell does and passes over those that begin with `#`: so names are quoted as for a shell.
    """
    if (digest := file.entry.digest) is None:
        return None
    return f"{shlex.quote(file.path)} {digest} {shlex.quote(file.url)}\n"
