"""pooch registries: one line a file, as plain `pooch.Pooch.load_registry` reads it back. Pure: text out."""

from __future__ import annotations

import shlex
import string
from typing import TYPE_CHECKING

from opendata_pkg.arrays import hold_any, holds, joined

if TYPE_CHECKING:
    import pyarrow as pa


# What `shlex.quote` quotes.
_QUOTED_BYTES = bytes(set(range(256)) - set((string.ascii_letters + string.digits + "_@%+=:,./-").encode()))


def registry_line(path: str, digest: str | None, url: str | None) -> str | None:
    """`NAME ALGORITHM:HEX URL` and a newline; None for a file without a digest, which pooch has no line for.

    pooch splits lines as a shell does and passes over those that begin with `#`: so names are quoted as for a shell.
    Without a URL, pooch appends the name to its base URL.
    """
    if digest is None:
        return None
    words = (path, digest) if url is None else (path, digest, url)
    return " ".join(map(shlex.quote, words)) + "\n"


def registry_lines(batch: pa.RecordBatch) -> pa.Array:
    """`registry_line` of every row of a batch of `Plan.batches`; those without a digest are left out."""
    import pyarrow.compute as pc  # noqa: PLC0415 - readers' commands need a line, and no Arrow

    digests = joined("sha256:", batch["sha256"])
    if digests.null_count:
        digests = pc.coalesce(digests, joined("md5:", batch["md5"]))
    # A URL with a version has a `?`, which is quoted: then there is no need to look for it, a million times.
    real = pc.fill_null(pc.not_equal(batch["version_id"], "null"), fill_value=False)
    urls = _in_quotes(batch["url"], "\n") if real.true_count == len(real) else joined(_quoted(batch["url"]), "\n")
    return pc.binary_join_element_wise(_quoted(batch["path"]), digests, urls, " ").drop_null()


def _quoted(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    if not hold_any(texts, _QUOTED_BYTES):
        return texts
    odd = pc.match_substring_regex(texts, r"[^A-Za-z0-9_@%+=:,./-]")
    return pc.if_else(odd, _in_quotes(texts), texts)


def _in_quotes(texts: pa.Array, end: str = "") -> pa.Array:
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    # shlex.quote: "use single quotes, and put single quotes into double quotes".
    inner = pc.replace_substring(texts, "'", "'\"'\"'") if holds(texts, b"'") else texts
    return joined("'", inner, f"'{end}")
