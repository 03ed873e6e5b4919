"""The one encoding of keys in line-based texts: inventories, digests, ids."""

from __future__ import annotations

import re

# "control bytes, `%` and DEL percent-encoded" (docs/explanation/identity.md): a line then holds exactly one key, and
# the key can be read back. `%` itself is encoded, or the encoding could not be undone.
UNSAFE = r"[\x00-\x1f%\x7f]"
_UNSAFE = re.compile(UNSAFE)
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def escape_line(text: str) -> str:
    """`text` with control bytes, `%` and DEL as `%XX`."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text)


def unescape_line(text: str) -> str:
    """The inverse of `escape_line`."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
