"""Tables of the report, as a terminal shows them."""

from collections.abc import Sequence

from rich import table as rich
from rich.text import Text

from loadtest.report.section import Table


def rich_table(table: Table, columns: Sequence[str] = ()) -> rich.Table:
    """All columns, or those that are named. Cells are text: what a file brings is no markup."""
    shown = [number for number, name in enumerate(table.columns) if not columns or name in columns]
    made = rich.Table(title=Text(table.caption), title_justify="left")
    for number in shown:
        name = table.columns[number]
        made.add_column(name, justify="left" if not number or name in table.words else "right")
    for row in table.rows:
        made.add_row(*(Text(row[number]) for number in shown))
    return made
