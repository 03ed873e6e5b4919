"""Small objects as zlib streams, put together by hand: setting a compressor up costs more than most objects are long.

Sources: RFC 1950 (zlib) and RFC 1951 (deflate), quoted below. zlib's own `decompress` is the judge, and so is git.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache

# RFC 1950: CMF 0x78 (deflate, 32 KiB window), FLG 0x01 (no dictionary, fastest; makes the two a multiple of 31).
_ZLIB = b"\x78\x01"
_MAX_STORED_BYTES = 0xFFFF
_MAX_REPEAT_BYTES = 258
_MAX_DISTANCE = 0x7FFF
_ADLER = struct.Struct(">L")

# RFC 1951, 3.2.5: "Code / Extra Bits / Length(s)" and the same of distances; each is (lowest value, extra bits).
_LENGTHS = [(3 + i, 0) for i in range(8)] + [
    (low, extra)
    for extra, lows in enumerate([(11, 13, 15, 17), (19, 23, 27, 31), (35, 43, 51, 59), (67, 83, 99, 115)], start=1)
    for low in lows
]
_LENGTHS += [(131, 5), (163, 5), (195, 5), (227, 5), (258, 0)]
_DISTANCES = [(1 + i, 0) for i in range(4)] + [
    ((2 + half << extra) + 1, extra) for extra in range(1, 14) for half in range(2)
]


def deflate(body: bytes) -> bytes:
    """A zlib stream of a body of which nothing is known.

    By ISA-L: of inventories and trees it makes less than zlib's level 1 does, in a quarter of the time.
    """
    from isal import isal_zlib  # noqa: PLC0415 - most commands pack nothing

    return isal_zlib.compress(body, 1)


def store(body: bytes) -> bytes:
    """A zlib stream of a small body that would not get much shorter."""
    if len(body) > _MAX_STORED_BYTES:
        return deflate(body)
    return _stored(len(body), final=True) + body + _ADLER.pack(zlib.adler32(body))


def repeat(body: bytes, start: int, length: int, distance: int) -> bytes:
    """A zlib stream of a small body of which `length` bytes from `start` on stand `distance` bytes before, too."""
    stop = start + length
    if length > _MAX_REPEAT_BYTES or len(body) > _MAX_DISTANCE:
        return deflate(body)
    tail = _copied(length, distance, len(body) - stop)
    return b"".join((_stored(start, final=False), body[:start], tail, body[stop:], _ADLER.pack(zlib.adler32(body))))


@cache
def _stored(length: int, *, final: bool) -> bytes:
    """The beginning of a stream, up to a first block of bytes as they are.

    RFC 1951, 3.2.4: BFINAL and BTYPE 00, "any bits of input up to the next byte boundary are ignored", then "LEN" and
    "NLEN ... the one's complement of LEN".
    """
    return _ZLIB + struct.pack("<BHH", final, length, length ^ 0xFFFF)


@cache
def _copied(length: int, distance: int, rest: int) -> bytes:
    """A block of one copy, and the beginning of a last block of `rest` bytes as they are, if there are any.

    3.2.6: "BTYPE=01 - compressed with fixed Huffman codes": lengths 256-279 have 7 bits "0000000 through 0010111",
    280-287 have 8 "11000000 through 11000111", distances 5 bits; 3.1.1: "Huffman codes are packed starting with the
    most-significant bit of the code", all else with the least.
    """
    bits = f"{'0' if rest else '1'}10"
    code, low, extra = _code(_LENGTHS, length)
    symbol = 257 + code
    bits += f"{symbol - 256:07b}" if symbol < 280 else f"{symbol - 280 + 0b11000000:08b}"  # noqa: PLR2004 - as quoted
    bits += _extra(length - low, extra)
    code, low, extra = _code(_DISTANCES, distance)
    bits += f"{code:05b}" + _extra(distance - low, extra)
    bits += "0000000"  # "end of block", 256
    bits += "100" if rest else ""
    whole = int(bits[::-1], 2).to_bytes((len(bits) + 7) // 8, "little")
    return whole + (struct.pack("<HH", rest, rest ^ 0xFFFF) if rest else b"")


def _code(table: list[tuple[int, int]], value: int) -> tuple[int, int, int]:
    """The index of a value's entry, its lowest value and extra bits."""
    index = max(number for number, (low, _) in enumerate(table) if low <= value)
    return index, *table[index]


def _extra(value: int, bits: int) -> str:
    return f"{value:0{bits}b}"[::-1] if bits else ""
