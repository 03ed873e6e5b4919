"""pooch registries: one line a file, as plain `pooch.Pooch.load_registry` reads it back. Pure: text out."""

from __future__ import annotations

import shlex
import string
from typing import TYPE_CHECKING

from opendata_pkg.columns.arrays import hold_any, holds, joined
from opendata_pkg.urls import url_parts

if TYPE_CHECKING:
    import pyarrow as pa


# shlex.quote: "use single quotes, and put single quotes into double quotes".
_QUOTE = "'\"'\"'"
# What it quotes.
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


def registry_lines(batch: pa.RecordBatch, base: str) -> pa.Array:
    """`registry_line` of every row of a batch of `Plan.batches`, with its URL; those without a digest are left out."""
    import pyarrow.compute as pc  # noqa: PLC0415 - readers' commands need a line, and no Arrow

    digests: tuple[pa.Array | str, ...] = "sha256:", batch["sha256"]
    if batch["sha256"].null_count:
        digests = (pc.coalesce(joined(*digests), joined("md5:", batch["md5"])),)
    urls = url_parts(base, batch["key"], batch["version_id"])
    # A URL with a version has a `?`, which is quoted: then there is no need to look for it, a million times. Neither
    # the rest of it nor a digest has a quote.
    real = pc.fill_null(pc.not_equal(batch["version_id"], "null"), fill_value=False)
    urls = (
        ("'", base.replace("'", _QUOTE), *urls[1:], "'") if real.true_count == len(real) else (_quoted(joined(*urls)),)
    )
    return joined(_quoted(batch["path"]), " ", *digests, " ", *urls, "\n").drop_null()


def _quoted(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    if not hold_any(texts, _QUOTED_BYTES):
        return texts
    odd = pc.match_substring_regex(texts, r"[^A-Za-z0-9_@%+=:,./-]")
    return pc.if_else(odd, _in_quotes(texts), texts)


def _in_quotes(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    return joined("'", pc.replace_substring(texts, "'", _QUOTE) if holds(texts, b"'") else texts, "'")
