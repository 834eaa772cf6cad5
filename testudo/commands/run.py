"""`testudo run`: check the flags, start the job or jobs, and end them cleanly when asked to."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_pipeline.options import flags_help
from models.manifest import ReleaseError
from models.release import POINTER
from testudo.commands.environments import add_home_argument
from testudo.commands.job import checked, interrupt, on_signals, run_job, say
from testudo.commands.processes import end_with_supervisor, run_several
from testudo.commands.quiet import quiet
from testudo.environment import LOCAL, LOCAL_OVERFLOW
from testudo.errors import CommandError
from testudo.local.connect import bring_releases, enter_stack, lead_to_stack
from testudo.local.engine import running_engine
from testudo.local.home import RELEASES
from testudo.local.jobs import BUNDLES, DATAFLOW, LAPTOP, local_flags
from testudo.local.runs import recorded

EXAMPLE = "testudo run --input_file=messages.jsonl --output=out --releases=.testudo/releases"
NEEDED = ("pubsub", "bigquery", "storage")  # of the local stack; a job asks no control plane
LANES = {"main": LOCAL, "overflow": LOCAL_OVERFLOW}
# What says where and on what a job runs; on the local stack it is known.
ELSEWHERE = ("--input_subscription", "--input_file", "--runner", "--job_endpoint")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--local_releases",
        type=Path,
        default=Path(RELEASES),
        help="releases to bring to the local stack (%(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="jobs that share the local stack's subscription, each with an engine of its own and "
        "about 1 GB of memory: one uses about a core (%(default)s)",
    )
    parser.add_argument(
        "--lane",
        choices=LANES,
        default="main",
        help="the local stack's subscription to read: of topic items, or of items-overflow, to "
        "which --overflow_topic=projects/testudo-local/topics/items-overflow leads (%(default)s)",
    )
    parser.add_argument(
        "--bundles",
        choices=BUNDLES,
        default=LAPTOP,
        help=f"on the local stack: `{LAPTOP}`, up to a hundred messages, one bundle after the "
        f"other; `{DATAFLOW}`, one or two, many at once, as a job may get them there (%(default)s)",
    )
    # Of a child that --processes starts.
    parser.add_argument("--process_number", type=int, default=0, help=argparse.SUPPRESS)
    add_home_argument(parser)
    parser.epilog = (
        "Without --input_subscription and --input_file the local stack that runs is used "
        "from end to end.\n\n" + flags_help()
    )


def main(arguments: argparse.Namespace, flags: Sequence[str]) -> int:
    on_signals(interrupt)
    if arguments.process_number:
        return _run_one_of_several(arguments, flags)
    if problems := _problems(arguments, flags):
        raise CommandError("\n".join(problems))
    if any(flag.startswith("--input_") for flag in flags):
        with quiet(arguments.home / "logs" / "run.log"):
            return run_job(flags)
    stack = enter_stack(arguments.home, NEEDED)
    try:
        bring_releases(arguments.local_releases)
    except ReleaseError as error:
        raise CommandError(f"{error}{_advice(arguments.local_releases)}") from error
    if arguments.processes > 1:
        checked([*local_flags(LANES[arguments.lane], ""), *flags])  # said once, not by each
        numbers = range(1, arguments.processes + 1)
        return run_several([_child_flags(arguments, number, flags) for number in numbers])
    return _run_on_engine(arguments, stack.tools, flags)


def _advice(releases: Path) -> str:
    there = (releases / POINTER).exists()
    return "" if there else "\nTrain a release first: `testudo train`."


def _problems(arguments: argparse.Namespace, flags: Sequence[str]) -> list[str]:
    given = {flag.split("=", 1)[0] for flag in flags}
    problems = []
    if arguments.processes < 1:
        problems.append(f"--processes: is {arguments.processes}, must be 1 or more")
    for own, unset in (("processes", 1), ("lane", "main"), ("bundles", LAPTOP)):
        if getattr(arguments, own) == unset:
            continue
        problems += [
            f"--{own}: is of the local stack, and does not go with {flag}"
            for flag in ELSEWHERE
            if flag in given
        ]
    return problems


def _child_flags(arguments: argparse.Namespace, number: int, flags: Sequence[str]) -> list[str]:
    own = {
        "home": arguments.home,
        "lane": arguments.lane,
        "bundles": arguments.bundles,
        "process_number": number,
    }
    given = [f"--{name}={value}" for name, value in own.items()]
    return [*given, *flags]


def _run_one_of_several(arguments: argparse.Namespace, flags: Sequence[str]) -> int:
    """The job of a child; its supervisor has prepared everything."""
    end_with_supervisor()
    stack = lead_to_stack(arguments.home, NEEDED)
    return _run_on_engine(arguments, stack.tools, flags)


def _run_on_engine(arguments: argparse.Namespace, tools: Path, flags: Sequence[str]) -> int:
    lane = "" if arguments.lane == "main" else f"-{arguments.lane}"
    number = f"-{arguments.process_number}" if arguments.process_number else ""
    name = f"run{lane}{number}"
    log = arguments.home / "logs" / f"{name}.log"
    with (
        recorded(arguments.home, name, log if sys.stderr.isatty() else None),
        quiet(log),
        running_engine(
            arguments.home, say, tools=tools, name=f"prism{lane}{number}"
        ) as job_endpoint,
    ):
        own = [*local_flags(LANES[arguments.lane], job_endpoint), *BUNDLES[arguments.bundles]]
        return run_job([*own, *flags])
