"""Tables for notebooks."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.html import html_table


class Cells(HTMLParser):
    """Collects the texts of a table's cells, and every tag."""

    def __init__(self):
        super().__init__()
        self.texts, self.tags = [], set()

    def handle_starttag(self, tag, _attrs):
        """Begin a cell."""
        self.tags.add(tag)
        if tag == "td":
            self.texts.append("")

    def handle_data(self, data):
        """Go on with it."""
        if self.texts:
            self.texts[-1] += data


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=1))
def test_no_text_becomes_markup(texts):
    """What is in a cell is read back, whatever it looks like."""
    parser = Cells()
    parser.feed(html_table("<script>", ("a & b",), [(text,) for text in texts]))
    assert parser.texts == texts
    assert parser.tags == {"table", "caption", "thead", "tr", "th", "tbody", "td"}


def test_numbers_are_set_as_numbers():
    """To the right, with separators; None is an empty cell."""
    assert html_table("c", (), [(1234567, None)]).count("1,234,567") == 1
    assert '<td style="text-align: left"></td>' in html_table("c", (), [(1, None)])
