"""The line encoding of keys; numbers and sizes as people read and write them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.text import counted, escape_line, human_bytes, parse_size, unescape_line, visible

TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS)
def test_what_is_escaped_reads_back(text):
    """Any key comes back from its escaped form exactly."""
    assert unescape_line(escape_line(text)) == text


@given(TEXTS)
def test_an_escaped_text_is_one_field_of_one_line(text):
    """No control byte and no DEL is left, so that tabs and line ends separate fields and lines only."""
    assert not any(ord(character) < 0x20 or character == "\x7f" for character in escape_line(text))


@given(TEXTS, TEXTS)
def test_different_keys_stay_different(one, other):
    """Two keys never share a line: not even `%0A` as typed and a line feed."""
    assert (escape_line(one) == escape_line(other)) == (one == other)


def test_only_what_must_be_is_escaped():
    """Spaces, `+`, slashes and letters of any script stand as they are; `%` itself is escaped."""
    assert escape_line("a b/+é漢\u2028%41\t\n\x7f") == "a b/+é漢\u2028%2541%09%0A%7F"


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1000", 1000),
        ("20kB", 20_000),
        ("1.5MB", 1_500_000),
        ("1.5 MiB", 1_572_864),
        ("2G", 2_000_000_000),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text, size_bytes):
    """Units of 1000, with `i` of 1024, as on disks; exact also with decimals."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "kB", "-1", "1 KB B", "1e3", "1iB", "1,5MB", "１"])  # noqa: RUF001 - a wide digit
def test_what_is_no_size(text):
    """It is refused with what would be one."""
    with pytest.raises(ValueError, match=r"expected a size such as 1000, 20kB or 1\.5MiB, got"):
        parse_size(text)


@given(st.integers(0, 10**17))
def test_sizes_that_are_shown_can_be_typed(size_bytes):
    """What a table shows is a size that options take, near the true one."""
    assert parse_size(human_bytes(size_bytes)) == pytest.approx(size_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((1, "file"), "1 file"),
        ((0, "file"), "0 files"),
        ((1_234, "more line"), "1,234 more lines"),
        ((1, "branch", "branches"), "1 branch"),
        ((2, "branch", "branches"), "2 branches"),
    ],
)
def test_what_is_counted_agrees_with_its_number(words, said):
    """One thing is one thing, whatever it is called."""
    assert counted(*words) == said


@given(TEXTS)
def test_people_see_what_is_there(text):
    """No control, separator of lines or mark of direction is left; what people write stays as it is."""
    seen = visible(text)
    assert not any(unicodedata.category(one) in {"Cc", "Zl", "Zp"} for one in seen)
    assert not any(
        unicodedata.bidirectional(one) in {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
        for one in seen
    )
    assert visible(seen) == seen


def test_what_is_visible_stays():
    """Letters of every direction, and where they are meant, tabs and ends of lines."""
    assert visible("né/אב 100%") == "né/אב 100%"
    assert visible("a\tb\n\u200e", lines=True) == "a\tb\n%E2%80%8E"
    assert visible("a\nb\x1b[31m") == "a%0Ab%1B[31m"
