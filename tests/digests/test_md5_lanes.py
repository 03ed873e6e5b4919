"""MD5s side by side: those of hashlib, whatever the messages' number, lengths and pieces."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.digests import md5_lanes
from opendata_pkg.digests.md5_lanes import LANES, md5_of_each

# RFC 1321, A.5, "Test suite".
RFC_1321 = {
    b"": "d41d8cd98f00b204e9800998ecf8427e",
    b"a": "0cc175b9c0f1b6a831c399e269772661",
    b"abc": "900150983cd24fb0d6963f7d28e17f72",
    b"message digest": "f96b697d7cb7938d525a2f31aaf161d0",
    b"abcdefghijklmnopqrstuvwxyz": "c3fcd3d76192e4007dfb496cca67e13b",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "d174ab98d277d9f5a5611c2c9f419d9f",
    b"1234567890" * 8: "57edf4a22be3c955ac49da2e2107b67a",
}


def by_hashlib(messages):
    """One after the other."""
    return [hashlib.md5(b"".join(pieces), usedforsecurity=False).digest() for pieces in messages]


def test_the_lanes_are_there():
    """What follows would else be of hashlib alone."""
    pytest.importorskip("llvmlite")
    assert LANES == 8


def test_the_messages_of_the_rfc():
    """All at once."""
    assert [digest.hex() for digest in md5_of_each([[message] for message in RFC_1321])] == [*RFC_1321.values()]


@pytest.mark.parametrize("length", [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000])
def test_lengths_where_padding_changes(length):
    """Beside each other, and beside longer ones."""
    messages = [[bytes([number]) * (length + number % 3)] for number in range(LANES + 3)]
    assert md5_of_each(messages) == by_hashlib(messages)


@given(st.lists(st.lists(st.binary(max_size=200), max_size=5), max_size=20))
def test_any_messages_in_any_pieces(messages):
    """More than there are lanes, of no length, and in pieces that end within a block."""
    assert md5_of_each(messages) == by_hashlib(messages)


def test_pieces_of_a_buffer_and_many_threads():
    """Views that begin anywhere, and the first calls of several threads at a time."""
    data = bytes(range(251)) * 5_000
    messages = [[memoryview(data)[start : start + 70_001], data[:start]] for start in range(1, 11)]
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(md5_of_each, [messages] * 8)]
    assert found == [by_hashlib(messages)] * 8


def test_without_its_library(monkeypatch):
    """The same, one after the other."""
    monkeypatch.setattr(md5_lanes, "LANES", 1)
    assert md5_of_each([[b"a", b"bc"], []]) == by_hashlib([[b"abc"], []])
