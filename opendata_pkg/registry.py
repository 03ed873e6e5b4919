"""pooch registries: one line a file, as plain `pooch.Pooch.load_registry` reads it back. Pure: text out."""

from __future__ import annotations

import shlex


def registry_line(path: str, digest: str | None, url: str | None) -> str | None:
    """`NAME ALGORITHM:HEX URL` and a newline; None for a file without a digest, which pooch has no line for.

    pooch splits lines as a shell does and passes over those that begin with `#`: so names are quoted as for a shell.
    Without a URL, pooch appends the name to its base URL.
    """
    if digest is None:
        return None
    words = (path, digest) if url is None else (path, digest, url)
    return " ".join(map(shlex.quote, words)) + "\n"
