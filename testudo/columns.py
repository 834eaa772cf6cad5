"""Rows as lines of text: each column as wide as its widest cell, numbers to the right."""

from collections.abc import Sequence

from testudo.errors import shown


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line of heads and a line a row, two spaces between columns."""
    cells = [[shown(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [
        all(row[number].replace("-", "")[:1].isdigit() for row in cells[1:] if row[number])
        and len(cells) > 1
        for number in range(len(heads))
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
