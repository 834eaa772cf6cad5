"""What the commands of deployment share: their flags, and the rollout that these ask for."""

import argparse
import sys
from pathlib import Path

from google.cloud.dataflow_v1beta3 import Job

from testudo.cloud.jobs import Jobs
from testudo.cloud.plan_file import with_plan
from testudo.cloud.rollout import OVERLAP_S, Rollout
from testudo.cloud.versions import Version, checked_version
from testudo.commands.environments import environment_of
from testudo.environment import LOCAL, Environment
from testudo.errors import CommandError
from testudo.local.runs import SCORES_NOTHING


def add_version_arguments(parser: argparse.ArgumentParser) -> None:
    """What is to run: for launch, update and deploy alike."""
    parser.add_argument(
        "--template",
        required=True,
        metavar="VERSION",
        help="version of the template, as `testudo template build` was given it",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FLAG=VALUE",
        help="a flag of the pipeline (`testudo run --help`), over the environment's; repeatable",
    )
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="limits of `testudo loadtest plan`, over the environment's values of workers",
    )
    add_dry_run_argument(parser)


def add_dry_run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry_run", action="store_true", help="check and say what would be done, and do nothing"
    )


def add_way_arguments(parser: argparse.ArgumentParser) -> None:
    """How the running job is replaced."""
    parser.add_argument(
        "--parallel",
        action="store_true",
        help="start the new job beside the old one and then drain that, even where an update in "
        "place would do",
    )
    parser.add_argument(
        "--overlap_s",
        type=float,
        default=OVERLAP_S,
        help="how long both work when they run in parallel, in seconds (%(default)g)",
    )


def planned_environment_of(arguments: argparse.Namespace) -> Environment:
    """The environment with the plan's limits, where one is given.

    Raises CommandError with all that is wrong with either.
    """
    environment = environment_of(arguments)
    if arguments.plan is None:
        return environment
    try:
        return with_plan(environment, arguments.plan)
    except CommandError as error:
        raise CommandError(f"--plan: {error}".replace("\n", "\n--plan: ")) from error


def version_of(environment: Environment, arguments: argparse.Namespace) -> Version:
    return checked_version(environment, arguments.template, arguments.set)


def rollout_of(environment: Environment, arguments: argparse.Namespace) -> Rollout:
    """Made of those flags of the above that the command has."""
    if environment is LOCAL:
        say(SCORES_NOTHING)
    names = ("dry_run", "parallel", "overlap_s")
    given = {name: value for name, value in vars(arguments).items() if name in names}
    return Rollout(environment=environment, jobs=Jobs(environment), report=say, **given)


def print_id(job: Job | None) -> None:
    """On standard output, for scripts; nothing where nothing was done."""
    if job is not None:
        print(job.id)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
