"""`testudo doctor`: reads what a project shows of itself, and judges it; changes nothing."""

import argparse
import functools
import json
import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.doctor.checks import CHECKS, CREDENTIALS
from testudo.doctor.findings import Subject, Verdict
from testudo.doctor.running import Result, examine
from testudo.doctor.versions import template_of
from testudo.environment import LOCAL
from testudo.errors import shown

EXAMPLE = "testudo doctor staging --template 1.0"
STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "red",
    Verdict.NOT_CHECKED: "dim",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code: 0 when no check failed, 1 when one did, 2 for wrong usage."
    add_environment_arguments(parser)
    parser.add_argument(
        "--template",
        metavar="VERSION",
        default="",
        help="version whose image and launch are checked (that of the newest deployment)",
    )
    parser.add_argument(
        "--send_messages",
        action="store_true",
        help="publish two messages, which make two rows of the tenant `doctor`",
    )
    parser.add_argument(
        "--wait_s",
        type=_seconds,
        default=300.0,
        help="how long their outcomes are waited for, in seconds (%(default)g)",
    )
    parser.add_argument(
        "--timeout_s",
        type=_seconds,
        default=60.0,
        help="after which a check without an answer has failed, in seconds (%(default)g)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time: it must be more than 0")
    return seconds


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when no check failed, 1 when one did."""
    environment = environment_of(arguments)
    subject = Subject(
        environment=environment,
        template=functools.partial(template_of, environment, arguments.template),
        send_messages=arguments.send_messages,
        wait_s=arguments.wait_s,
        timeout_s=arguments.timeout_s,
        stand_in=environment == LOCAL,
    )
    results = examine(subject, CREDENTIALS, CHECKS, _report)
    if arguments.format == "json":
        print(
            json.dumps({"environment": environment.name, "checks": [*map(_row, results)]}, indent=1)
        )
    else:
        _print(results)
    return int(any(result.finding.verdict is Verdict.FAILED for result in results))


def _report(result: Result) -> None:
    """One line on standard error, as soon as a check has ended."""
    line = f"{result.check}: {result.finding.verdict} ({result.took_s:.1f} s)"
    print(line, file=sys.stderr, flush=True)


def _row(result: Result) -> dict[str, object]:
    return {
        "check": result.check,
        **result.finding._asdict(),
        "took_s": round(result.took_s, 3),
    }


def _print(results: Sequence[Result]) -> None:
    """A table of what was found, and below it what to do: commands in lines that can be copied."""
    console = Console()
    table = Table(show_lines=True)
    for column in ("check", "verdict", "found, and what it means"):
        table.add_column(column, overflow="fold")
    for result in results:
        finding = result.finding
        verdict = Text(str(finding.verdict), style=STYLES[finding.verdict])
        said = Text(f"{shown(finding.found)}\n{shown(finding.means)}")
        table.add_row(result.check, verdict, said)
    console.print(table)
    to_do: dict[str, list[str]] = {}
    for result in results:
        to_do.setdefault(result.finding.do, []).append(result.check)
    to_do.pop("", None)
    if to_do:
        console.print("What to do:")
    for do, checks in to_do.items():
        console.print(Text(f"  {', '.join(checks)}: {shown(do)}"), soft_wrap=True)
    counts = Counter(result.finding.verdict for result in results)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict))
