"""Tables as people read them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from opendata_pkg.text import human_bytes, visible

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

__all__ = ["draw_table", "human_bytes"]

# Wider than any row, so that a pipe or log file gets whole lines.
_UNCUT_WIDTH = 100_000
_BETWEEN = "  "
# As wide as a number, a date, an abbreviated digest.
_WHOLE_WIDTH = 20


def draw_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: Iterable[str] = ()) -> str:
    """A table as text: styled and cut to a terminal, plain and whole elsewhere. `numbers` are flush right.

    A row is a line, and a name in it only a name: cells are made `visible`.
    """
    rows, right = [tuple(map(visible, row)) for row in rows], set(numbers)
    styled = sys.stdout.isatty() or "FORCE_COLOR" in os.environ
    if not styled and all(_is_simple(cell) for row in rows for cell in row):
        # What rich draws of it, too; but to import rich, and to have it draw a hundred rows, takes as long as a build
        # of what has not changed.
        return _plain(columns, rows, right)
    return _drawn(columns, rows, right)


def _is_simple(cell: str) -> bool:
    """Whether it is as wide as it has characters, and drawn as it is."""
    return cell.isascii() and cell.isprintable() and not cell.endswith(" ")


def _plain(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: Container[str]) -> str:
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    places = [
        f"{{:>{width}}}" if column in right else f"{{:<{width}}}" for column, width in zip(columns, widths, strict=True)
    ]
    line = _BETWEEN.join(places)
    return "".join(line.format(*row).rstrip() + "\n" for row in (columns, *rows))


def _drawn(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: Container[str]) -> str:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = _UNCUT_WIDTH
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    # Numbers, hashes and dates are read as a whole; only names that are longer may go on in the next line.
    folded = [column not in right and width > _WHOLE_WIDTH for column, width in zip(columns, widths, strict=True)]
    least = [_WHOLE_WIDTH if fold else width for fold, width in zip(folded, widths, strict=True)]
    if sum(least) + len(_BETWEEN) * (len(columns) - 1) > console.width:
        return _one_below_the_other(columns, rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, fold, width in zip(columns, folded, least, strict=True):
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=not fold,
            min_width=width,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as drawn:
        console.print(table)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n"


def _one_below_the_other(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A line for each cell that holds something: where a terminal is narrower than a row."""
    blocks = (
        "".join(
            f"{column}: {cell}\n" if column else f"{cell}\n" for column, cell in zip(columns, row, strict=True) if cell
        )
        for row in rows
    )
    return "\n".join(blocks)
