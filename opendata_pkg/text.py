"""How keys stand in line-based texts (inventories, digests, ids), and how people read and write numbers and sizes."""

from __future__ import annotations

import re

# "control bytes, `%` and DEL percent-encoded" (docs/explanation/identity.md): a line then holds exactly one key, and
# the key can be read back. `%` itself is encoded, or the encoding could not be undone.
UNSAFE = r"[\x00-\x1f%\x7f]"
UNSAFE_BYTES = bytes([*range(0x20), 0x25, 0x7F])
"""The same: UTF-8 has these bytes for these characters only."""
_UNSAFE = re.compile(UNSAFE)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[kKMGTP]?)(?P<binary>i?)B?")
# What a terminal does not draw but obeys: C0 and C1 controls, the separators of lines and paragraphs, and the marks
# that turn the direction of writing (Bidi_Control, Unicode Standard Annex #9), with which `gpj.exe` reads `exe.jpg`.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")


def escape_line(text: str) -> str:
    """`text` with control bytes, `%` and DEL as `%XX`."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text)


def unescape_line(text: str) -> str:
    """The inverse of `escape_line`."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def visible(text: str, *, lines: bool = False) -> str:
    """`text` for people's eyes: what a terminal would obey instead of draw stands as the `%XX` of its UTF-8 bytes.

    `lines`: tabs and ends of lines are meant, and stay. For messages and tables; what programs read is left as it is.
    """

    def escape(match: re.Match[str]) -> str:
        if lines and match[0] in "\t\n":
            return match[0]
        return "".join(f"%{byte:02X}" for byte in match[0].encode())

    return _UNSEEN.sub(escape, text)


def human_bytes(size_bytes: int) -> str:
    """A size in units of 1000, as disks and networks are sold: `1.5 MB`."""
    size = float(size_bytes)
    for unit in _UNITS:
        # As it will be shown: 999,950 bytes are 1.0 MB, not 1000.0 kB.
        if round(size, 1) < _STEP or unit == _UNITS[-1]:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    raise AssertionError(size_bytes)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number and what is counted, as a sentence has them: `1 file`, `0 files`, `1,234 branches`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def parse_size(text: str) -> int:
    """Bytes of a size as people write it: `1000`, `1.5MB`, `2 GiB`; ValueError otherwise."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match["binary"] and not match["unit"]):
        raise ValueError(f"expected a size such as 1000, 20kB or 1.5MiB, got {text!r}")
    power = " KMGTP".index(match["unit"].upper() or " ")
    from fractions import Fraction  # noqa: PLC0415 - few commands are given a size

    return int(Fraction(match["number"]) * (1024 if match["binary"] else _STEP) ** power)
