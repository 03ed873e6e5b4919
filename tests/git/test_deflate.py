"""zlib streams put together by hand, judged by zlib."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.git.deflate import deflate, repeat, store


@pytest.mark.parametrize("size", [0, 1, 512, 513, 65_535, 65_536])
def test_any_body_comes_back(size):
    """Also those too long for one block, and nothing at all."""
    body = os.urandom(size)
    assert zlib.decompress(deflate(body)) == zlib.decompress(store(body)) == body


@pytest.mark.parametrize("rest", [b"", b"r", bytes(range(200, 230))])
@pytest.mark.parametrize("gap", [0, 1, 7, 500, 32_000])
def test_any_repeated_part_comes_back(gap, rest):
    """Of every length that deflate has a code for, and more, at any distance, at the end or not."""
    for length in range(3, 262):
        part = os.urandom(length)
        begin = b"begin" + part + os.urandom(gap)
        body = begin + part + rest
        assert zlib.decompress(repeat(body, len(begin), length, length + gap)) == body


@given(st.binary(min_size=1, max_size=4), st.integers(3, 258), st.binary(max_size=3))
def test_a_copy_may_overlap_itself(part, length, rest):
    """As runs of few bytes do."""
    begin = b"x" + part
    run = (part * length)[:length]
    assert zlib.decompress(repeat(begin + run + rest, len(begin), length, len(part))) == begin + run + rest


def test_what_repeats_is_short():
    """A symlink of git-annex, whose target ends in the same name twice, takes little more than half of its length."""
    name = os.urandom(40).hex().encode()
    body = b"../.git/annex/objects/aa/bb/" + name + b"/" + name
    assert len(repeat(body, len(body) - 80, 80, 81)) < 0.7 * len(body)


@given(st.binary(max_size=2000))
def test_a_stream_is_hardly_longer_than_its_body(body):
    """By less than a reader of packs takes along: it knows where a stream begins, not where it ends."""
    packed = deflate(body)
    assert zlib.decompress(packed) == body
    assert len(packed) <= len(body) + (len(body) >> 2) + 64


def test_text_gets_short():
    """An inventory is mostly hex digits, of four bits each, and takes little more than half of its length."""
    lines = b"".join(b"%d,%s\n" % (row, os.urandom(32).hex().encode()) for row in range(1000))
    assert len(deflate(lines)) < 0.6 * len(lines)
