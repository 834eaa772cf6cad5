"""`make loadtest`: traffic to limits in ten minutes, on the local stack.

Each step is a command that can be run by itself, and is shown as such.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from models.manifest import ReleaseError
from models.release import read_pointer
from testudo import cli
from testudo.commands.environments import add_home_argument

REPORT = "report.html"
KNEE = ("--slo_p95=2", "--probe_s=8", "--budget_s=100")


class Step(NamedTuple):
    what: str
    argv: Sequence[str]  # of `testudo`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=2000, help="to plan for (%(default)s)")
    parser.add_argument(
        "--slo_p95",
        type=float,
        default=10.0,
        help="seconds in which 95 of 100 items must be in BigQuery (%(default)g)",
    )
    parser.add_argument(
        "--seconds", type=float, default=12.0, help="that most runs send for (%(default)g)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".testudo/loadtest/tour"),
        help="folder of everything that is measured (%(default)s)",
    )
    parser.add_argument(
        "--releases",
        type=Path,
        default=Path(".testudo/releases"),
        help="releases that score; trained where there are none (%(default)s)",
    )
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when every step did, else the first other exit code of a step."""
    console, began_s, worst = Console(stderr=True), time.monotonic(), 0
    steps = list(_steps(arguments))
    for number, step in enumerate(steps, 1):
        console.rule(f"{number} of {len(steps)}: {step.what}", align="left")
        console.print(f"$ testudo {shlex.join(step.argv)}", markup=False, highlight=False)
        code = cli.main(step.argv)
        worst = worst or code
        if code not in (0, 1):  # 1: it was measured, and is not as it should be
            break
    console.rule(f"{time.monotonic() - began_s:.0f} s", align="left")
    if not worst:
        print(f"The report: {(arguments.out / REPORT).resolve().as_uri()}")
    else:
        print("a step failed; what it said stands above", file=sys.stderr)
    return worst


def _steps(arguments: argparse.Namespace) -> Iterator[Step]:
    out, calibration = arguments.out, arguments.out / "calibration"
    place = [f"--home={arguments.home}", f"--releases={arguments.releases}"]
    runs = [*place, f"--seconds={arguments.seconds:g}"]
    fitted = f"--calibration={calibration / 'calibration.json'}"
    goal = f"--slo_p95={arguments.slo_p95:g}"
    try:
        read_pointer(str(arguments.releases))
    except ReleaseError:
        yield Step("train a release", ["train", f"--releases={arguments.releases}"])
    yield Step(
        "what an item costs on this machine",
        ["loadtest", "calibrate", f"--out={calibration}", *runs],
    )
    yield Step(
        "the highest rate that holds a goal",
        ["loadtest", "knee", *KNEE, *place, f"--out={out / 'knee'}"],
    )
    yield Step(
        "two processes, and another size of picture: predicted, then measured",
        ["loadtest", "prove", fitted, f"--out={out / 'proof'}", *runs],
    )
    yield Step(
        "a wild tenant, and quotas",
        ["loadtest", "fairness", f"--out={out / 'fairness'}", *runs],
    )
    yield Step(
        f"limits for 30 to {arguments.customers:,} customers",
        [
            "loadtest",
            "plan",
            f"--customers={arguments.customers}",
            goal,
            fitted,
            f"--out={out / 'plan.toml'}",
        ],
    )
    yield Step(
        "the report",
        [
            "loadtest",
            "report",
            str(out),
            str(out / "fairness" / "with-it"),
            f"--out={out / REPORT}",
        ],
    )
