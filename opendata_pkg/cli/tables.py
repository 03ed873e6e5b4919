"""Tables and sizes as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
# Wider than any row, so that a pipe or log file gets whole lines.
_UNCUT_WIDTH = 100_000


def human_bytes(size_bytes: int) -> str:
    """A size in units of 1000, as disks and networks are sold: `1.5 MB`."""
    size = float(size_bytes)
    for unit in _UNITS:
        # As it will be shown: 999,950 bytes are 1.0 MB, not 1000.0 kB.
        if round(size, 1) < _STEP or unit == _UNITS[-1]:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    raise AssertionError(size_bytes)


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
