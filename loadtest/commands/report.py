"""`testudo loadtest report`: one HTML page of results and plans, to read and to send."""

import argparse
import datetime
import math
import webbrowser
from pathlib import Path

from rich.console import Console

from loadtest.report.material import BadMaterial, read_material
from loadtest.report.page import page
from testudo.errors import CommandError

EXAMPLE = "testudo loadtest report .testudo/loadtest --open"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="of results, knees, proofs and plans; everything below it is shown, and runs that are "
        "named themselves are compared with the first of them",
    )
    parser.add_argument(
        "--plan", type=Path, action="append", default=[], metavar="FILE", help="a plan.json besides"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="the page (%(default)s)"
    )
    parser.add_argument("--title", default="Load and limits", help="of the page (%(default)s)")
    parser.add_argument(
        "--slo_p95",
        type=float,
        metavar="S",
        help="goal to hold runs to, seconds (that of the knees and plans, where they agree)",
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser")


def main(arguments: argparse.Namespace) -> int:
    """Returns 0. Raises CommandError with everything that cannot be read."""
    problems = []
    if not arguments.folders and not arguments.plan:
        problems.append("FOLDER: name one at least, or a --plan")
    goal_s = arguments.slo_p95
    if goal_s is not None and not (goal_s > 0 and math.isfinite(goal_s)):
        problems.append(f"--slo_p95: is {goal_s:g}, must be more than 0")
    if arguments.out.is_dir():
        problems.append(f"--out: {arguments.out} is a folder, must be a file")
    try:
        material = read_material(arguments.folders, arguments.plan)
    except BadMaterial as error:
        problems.append(str(error))
    if problems:
        raise CommandError("\n".join(problems))

    with Console(stderr=True).status("making the page"):
        text = page(
            material,
            title=arguments.title,
            made_at=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            goal_s=material.goal_p95_s() if goal_s is None else goal_s,
        )
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--out: {arguments.out}: {error.strerror}") from error
    address = arguments.out.resolve().as_uri()
    print(address)
    if arguments.open:
        webbrowser.open(address)
    return 0
