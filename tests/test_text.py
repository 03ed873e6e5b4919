"""The line encoding of keys."""

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.text import escape_line, unescape_line

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
