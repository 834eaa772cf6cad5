"""`testudo loadtest calibrate`: what an item costs on this machine, from which plans are made.

One process of the pipeline on a local stack of its own, at several rates and with two
sizes of picture; decoding is timed for more sizes outside of it. docs/capacity.md says
what is fitted.
"""

import argparse
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.capacity.calibrating import calibrate
from loadtest.capacity.calibration import BadCalibration, Calibration
from loadtest.capacity.images import Picture, kernel_costs
from loadtest.commands.steady import (
    OVERLOAD,
    Bench,
    add_run_arguments,
    check_run_arguments,
    reporter,
    running_bench,
)
from loadtest.processes import MeasuringError
from loadtest.results import Result
from models.release import read_pointer
from testudo.errors import CommandError
from testudo.local.missing import ToolsMissing
from testudo.local.processes import StackError

FILE = "calibration.json"
REFERENCE, SECOND = Picture(640, 480, "JPEG"), Picture(1280, 960, "JPEG")
# Sizes and formats whose decoding is timed, so that a profile's mix can be priced.
TIMED = (
    Picture(320, 240, "JPEG"),
    REFERENCE,
    SECOND,
    Picture(320, 240, "PNG"),
    Picture(640, 480, "PNG"),
    Picture(320, 240, "WEBP"),
    Picture(640, 480, "WEBP"),
)
FIRST_GUESS = 150.0  # items a second; its run shows what the next ones should be
SHARES = (0.25, 0.45, 0.6, 0.75)  # of the throughput found
SECOND_SHARES = (0.15, 0.3)  # of the same: it is four times as large
MODEL_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".testudo/loadtest/calibration"),
        help="folder of calibration.json and of the runs (%(default)s)",
    )
    add_run_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    check_run_arguments(arguments)
    console = Console(stderr=True)
    report = reporter(console)
    try:
        with running_bench(arguments, report) as bench:
            made = calibration_of(bench, arguments.releases)
    except (MeasuringError, StackError, ToolsMissing, BadCalibration) as error:
        raise CommandError(str(error)) from error
    made.save(arguments.out / FILE)
    Console().print(as_table(made))
    print(f"Saved: {arguments.out / FILE}")
    return 0


def calibration_of(bench: Bench, releases: Path) -> Calibration:
    """Run everything and fit. Raises MeasuringError or BadCalibration."""
    release = read_pointer(str(releases)).default
    bench.report(f"Decoding {len(TIMED)} sizes and formats, timed alone")
    pictures = kernel_costs(releases / release, TIMED)
    bench.report(f"{REFERENCE.name}: a run to see how much can be done, then the others")
    guess = bench.most(REFERENCE, FIRST_GUESS / OVERLOAD, "first").throughput
    results = [bench.most(REFERENCE, guess, "most")]
    results += _at_shares(bench, REFERENCE, SHARES, results[0].throughput, "reference")
    results += _at_shares(bench, SECOND, SECOND_SHARES, results[0].throughput, "second")
    return calibrate(results, pictures, release=release, machine=machine())


def _at_shares(
    bench: Bench, picture: Picture, shares: Sequence[float], most: float, name: str
) -> list[Result]:
    return [
        bench.measure(picture, share * most, f"{name}-{share * 100:.0f}-percent")
        for share in shares
    ]


def machine() -> str:
    """The processor's name, where the system tells it."""
    try:
        found = MODEL_NAME.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    name = found[1].strip() if found else platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def as_table(made: Calibration) -> Table:
    """What an item of the reference costs, by role."""
    reference = Picture.named(made.reference)
    table = Table(title=f"CPU of an item, {made.reference}", title_justify="left")
    for heading in ("role", "ms an item", "idle, share of a core", "+-"):
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for role, cost in made.roles.items():
        table.add_row(
            role,
            f"{1000 * made.item_s(role, reference):.2f}",
            f"{cost.idle_share:.3f}",
            f"{cost.spread:.0%}",
        )
    return table
