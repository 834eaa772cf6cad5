"""`testudo loadtest compare A B`: what changed between two runs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from loadtest.measuring.comparison import Change, Comparison, compare
from loadtest.measuring.items import load_items
from loadtest.results import ITEMS, Result
from testudo.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="folder of the first run's result")
    parser.add_argument("b", type=Path, metavar="B", help="folder of the second one's")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="of the output (%(default)s)"
    )


def main(arguments: argparse.Namespace) -> int:
    found = compared(arguments.a, arguments.b)
    for warning in dict.fromkeys(found.warnings):  # once where a result is held against itself
        print(f"testudo loadtest compare: {warning}", file=sys.stderr)
    if arguments.format == "json":
        print(json.dumps(found.to_json(), indent=1))
    else:
        tell(Console(), found)
    return 0


def compared(a: Path, b: Path) -> Comparison:
    """Raises CommandError with everything that cannot be read."""
    problems: list[str] = []
    loaded: list[tuple[Result, pa.Table]] = []
    for name, folder in (("A", a), ("B", b)):
        try:
            loaded.append((Result.load(folder), load_items(folder / ITEMS)))
        except OSError as error:
            problems.append(f"{name}: {error.filename} cannot be read: {error.strerror}")
        except ValueError as error:
            problems.append(f"{name}: {folder} holds no result of a run: {error}")
    if problems:
        raise CommandError("\n".join(problems))
    (first, first_items), (second, second_items) = loaded
    try:
        return compare(first, second, first_items, second_items)
    except ValueError as error:
        raise CommandError(f"{a} or {b}: {error}") from error


def tell(console: Console, found: Comparison) -> None:
    console.print(_table("latency, s", found.percentiles, found.names, digits=3))
    console.print(_table("", found.figures, found.names, digits=2))
    if found.tenants:
        title = "p95 of the tenants that lost most, s"
        console.print(_table(title, found.tenants, found.names, digits=3))
    low, middle, high = found.p95_change_s
    console.print(
        f"p95 changed by {middle:+.3f} s; 95 % of what chance makes of these runs lies in "
        f"{low:+.3f} to {high:+.3f} s: "
        + ("more than noise." if found.beyond_noise else "no difference beyond noise.")
    )


def _table(title: str, changes: Sequence[Change], names: tuple[str, str], *, digits: int) -> Table:
    table = Table(title, *names, "change")
    for heading in table.columns[1:]:
        heading.justify = "right"
    for one in changes:
        percent = "" if one.percent is None else f"{one.percent:+.1f} %"
        table.add_row(one.what, f"{one.before:,.{digits}f}", f"{one.after:,.{digits}f}", percent)
    return table
