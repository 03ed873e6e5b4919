"""Tables as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["draw_table", "human_bytes"]

# Wider than any row, so that a pipe or log file gets whole lines.
_UNCUT_WIDTH = 100_000


def draw_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: Iterable[str] = ()) -> str:
    """A table as text: styled and cut to a terminal, plain and whole elsewhere. `numbers` are flush right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    right = set(numbers)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = _UNCUT_WIDTH
    with console.capture() as drawn:
        console.print(table)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n"
