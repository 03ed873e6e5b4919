"""Tables and sizes as people read them."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from opendata_pkg.cli import tables
from opendata_pkg.cli.bar import make_progress
from opendata_pkg.cli.tables import draw_table, human_bytes
from opendata_pkg.text import visible


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_500_000, "1.5 MB"),
        (81 * 10**12, "81.0 TB"),
        (5 * 10**18, "5000.0 PB"),
    ],
)
def test_sizes(size_bytes, text):
    """In units of 1000, with one digit after the point and never four before it but for the largest."""
    assert human_bytes(size_bytes) == text


@given(st.integers(0, 10**18 - 10**14))
def test_sizes_are_right(size_bytes):
    """What is shown is the size, to within what one digit can say."""
    number, unit = human_bytes(size_bytes).split(" ")
    scale = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB"].index(unit)
    assert abs(float(number) * scale - size_bytes) <= 0.0501 * scale
    assert float(number) < 1000


def test_a_pipe_gets_whole_rows():
    """However long: no line is cut or broken, no style, numbers flush right, no blanks at line ends."""
    rows = [("a" * 300, "5"), ("[bold]b[/bold] :smile:", "12345")]
    assert draw_table(("name", "files"), rows, numbers=["files"]) == (
        f"name{' ' * 298}files\n{'a' * 300}      5\n[bold]b[/bold] :smile:{' ' * 280}12345\n"
    )


@pytest.mark.parametrize("width", [40, 60, 79])
def test_a_narrow_terminal_breaks_no_number(width, monkeypatch):
    """Nor a hash or a date: only long names go on in the next line, and no line is wider than the terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ("dataset", "date", "files", "size", "commit")
    rows = [("Experimental_Data/Reconstructed_Morphologies", "2026-01-31", "1,234,567", "999.9 GB", "0123456789ab")]
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", draw_table(columns, rows, numbers=("files", "size")))
    assert all(cell in drawn for cell in rows[0][1:])
    others = [line for line in drawn.splitlines() if "Reconstructed" not in line]
    assert all(len(line) <= width for line in others)
    assert drawn.startswith("dataset: " if width < 79 else "dataset ")


@pytest.mark.parametrize("width", [40, 60, 79, 100])
def test_progress_fits_a_narrow_terminal(width):
    """One line, in which the numbers are whole; what is being done may be cut."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = make_progress(console, "objects")
    progress.add_task("listing s3://openbluebrain/Experimental_Data", total=4_000_000, completed=1_200_000)
    console.print(progress.get_renderable())
    shown = console.file.getvalue().rstrip("\n")
    assert "1,200,000 of 4,000,000" in shown
    assert "\n" not in shown
    assert len(shown) <= width


@given(
    st.lists(st.tuples(*[st.text(st.sampled_from("ab [/]:\\{}é\u4e2d\n\t"), max_size=9)] * 3), max_size=4),
    st.sets(st.sampled_from(["one", "two", ""])),
)
def test_a_pipe_gets_what_rich_draws(rows, right):
    """Whatever the cells hold, drawn the short way or the long way: each row a line."""
    shown = [tuple(map(visible, row)) for row in rows]
    drawn = draw_table(("one", "two", ""), rows, numbers=right)
    assert drawn == tables._drawn(("one", "two", ""), shown, right)
    assert drawn.count("\n") == len(rows) + 1


def test_no_rows():
    """The heads alone."""
    assert draw_table(("name", "files"), []) == "name  files\n"


def test_a_terminal_gets_lines_that_fit(monkeypatch):
    """Long cells are folded to the width of the terminal."""

    class _Terminal(io.StringIO):
        def isatty(self):
            """Say so."""
            return True

    monkeypatch.setattr("sys.stdout", _Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", draw_table(("name", "files"), [("a" * 60, "5")]))
    assert all(len(line) <= 40 for line in drawn.splitlines())
    assert drawn.count("a") >= 60
