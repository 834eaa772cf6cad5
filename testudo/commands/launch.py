"""`testudo launch`: everything is checked, then a job is launched from a template."""

import argparse
import sys
from pathlib import Path

from beam_pipeline.config import FLAGS
from testudo.cloud.jobs import Jobs, state_of
from testudo.cloud.plan_file import with_plan
from testudo.cloud.preflight import launch_problems, quota_problems
from testudo.cloud.rollout import Rollout, RolloutFailed, Version
from testudo.cloud.templates import read_template
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.environment import Environment
from testudo.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_version_arguments(parser)


def add_version_arguments(parser: argparse.ArgumentParser) -> None:
    """What is to run: for launch and update alike."""
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
    parser.add_argument(
        "--dry_run", action="store_true", help="check and say what would be done, and do nothing"
    )


def main(arguments: argparse.Namespace) -> int:
    environment = planned_environment_of(arguments)
    with google_errors("Dataflow"):
        jobs = Jobs(environment)
        version = checked_version(environment, arguments)
        if active := jobs.listed():
            names = ", ".join(f"{one.name} ({state_of(one)})" for one in active)
            raise CommandError(
                f"{environment.name} has a job already: {names}; `testudo update` replaces it"
            )
        return launch(environment, jobs, version, dry_run=arguments.dry_run)


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


def launch(environment: Environment, jobs: Jobs, version: Version, *, dry_run: bool) -> int:
    """Launch a job where none runs. Returns the exit code."""
    if problems := quota_problems(environment):
        raise CommandError("\n".join(problems))
    if dry_run:
        say(f"Would launch {version.template.version} ({version.template.image})")
        return 0
    try:
        job = Rollout(environment=environment, jobs=jobs, report=say).launch(version)
    except RolloutFailed as error:
        say(str(error))
        return 1
    print(job.id)
    return 0


def checked_version(environment: Environment, arguments: argparse.Namespace) -> Version:
    """Raises CommandError with everything that speaks against launching it."""
    parameters, problems = dict(environment.pipeline_flags), []
    for one in arguments.set:
        name, equals, value = one.removeprefix("--").partition("=")
        if not equals or name not in FLAGS:
            problems.append(f"--set: {one!r} is no FLAG=VALUE with a flag of the pipeline")
        parameters[name] = value
    if problems:
        raise CommandError("\n".join(problems))
    try:
        template = read_template(environment, arguments.template)
    except CommandError as error:
        raise CommandError(str(error)) from error
    if problems := launch_problems(environment, template, parameters):
        raise CommandError("\n".join(problems))
    return Version(template, parameters)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
