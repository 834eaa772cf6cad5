"""`testudo update` and `testudo rollback`: another version for the job that runs."""

import argparse

from google.cloud.dataflow_v1beta3 import Job

from testudo.cloud.deployments import recorded
from testudo.cloud.graphs import running_graph
from testudo.cloud.jobs import Jobs
from testudo.cloud.launching import as_dict, launch_parameter
from testudo.cloud.preflight import quota_problems
from testudo.cloud.rollout import Rollout, RolloutFailed, Version
from testudo.cloud.updating import Choice, Way, choose
from testudo.commands.environments import add_environment_arguments
from testudo.commands.launch import (
    add_version_arguments,
    checked_version,
    planned_environment_of,
    say,
)
from testudo.commands.refused import google_errors
from testudo.environment import Environment
from testudo.errors import CommandError

OVERLAP_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_version_arguments(parser)
    add_way_arguments(parser)


def add_way_arguments(parser: argparse.ArgumentParser) -> None:
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


def main(arguments: argparse.Namespace) -> int:
    environment = planned_environment_of(arguments)
    with google_errors("Dataflow"):
        jobs = Jobs(environment)
        version = checked_version(environment, arguments)
        return replace_running(environment, jobs, the_job(environment, jobs), version, arguments)


def the_job(environment: Environment, jobs: Jobs) -> Job:
    """The newest active job. Raises CommandError when there is none."""
    active = jobs.listed()
    if not active:
        raise CommandError(f"{environment.name} has no job; `testudo launch` starts one")
    return active[0]


def replace_running(
    environment: Environment,
    jobs: Jobs,
    running: Job,
    version: Version,
    arguments: argparse.Namespace,
) -> int:
    """Say which way and why, and go it. Returns the exit code."""
    choice = _choice(environment, running, version, parallel=arguments.parallel)
    say(f"{running.name} ({running.id}) -> {version.template.version}: {choice.way}")
    for reason in choice.reasons:
        say(f"  {reason}")
    if choice.way == Way.PARALLEL and (problems := quota_problems(environment)):
        raise CommandError("\n".join(problems))  # for a while there are two fleets
    if arguments.dry_run or choice.way == Way.NOTHING:
        return 0
    rollout = Rollout(environment=environment, jobs=jobs, report=say, overlap_s=arguments.overlap_s)
    try:
        job = rollout.replace(running, version, choice)
    except RolloutFailed as error:
        say(str(error))
        return 1
    print(job.id)
    return 0


def _choice(environment: Environment, running: Job, version: Version, *, parallel: bool) -> Choice:
    if parallel:
        return Choice(Way.PARALLEL, ["--parallel asks for it"])
    request = launch_parameter(
        environment, version.template, version.parameters, job_name=running.name
    )
    return choose(
        running,
        running_graph(running),
        recorded(environment, running.id),
        version.template,
        as_dict(request),
    )
