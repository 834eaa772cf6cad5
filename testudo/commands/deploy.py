"""`testudo deploy`: an environment gets a version, proves itself, or goes back by itself.

Launches where no job runs, updates where one does, and with `--smoke` sends items through;
if they fail, what ran before comes back. It is what the release pipeline calls.
"""

import argparse

from testudo.cloud.deployments import recorded
from testudo.cloud.jobs import Jobs
from testudo.commands.environments import add_environment_arguments
from testudo.commands.launch import (
    add_version_arguments,
    checked_version,
    launch,
    planned_environment_of,
    say,
)
from testudo.commands.refused import google_errors
from testudo.commands.rollback import roll_back
from testudo.commands.smoke import add_smoke_arguments, smoke
from testudo.commands.update import add_way_arguments, replace_running
from testudo.environment import Environment
from testudo.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_version_arguments(parser)
    add_way_arguments(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="then send items through, and roll back if they fail"
    )
    add_smoke_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when the version runs and passed, 1 when not, whatever runs now."""
    environment = planned_environment_of(arguments)
    with google_errors("Google's services"):
        jobs = Jobs(environment)
        version = checked_version(environment, arguments)
        active = jobs.listed()
        if active:
            code = replace_running(environment, jobs, active[0], version, arguments)
        else:
            code = launch(environment, jobs, version, dry_run=arguments.dry_run)
        if code or arguments.dry_run or not arguments.smoke:
            return code
        if _proved(environment, arguments):
            return 0
        _go_back(environment, jobs, active[0].id if active else "", arguments)
    return 1


def _proved(environment: Environment, arguments: argparse.Namespace) -> bool:
    """Whether the smoke test passed; one that could not be made proves nothing."""
    try:
        return not smoke(environment, arguments).problems
    except CommandError as error:
        say(f"The smoke test could not be made: {error}")
        return False


def _go_back(
    environment: Environment, jobs: Jobs, before: str, arguments: argparse.Namespace
) -> None:
    """Undo this deployment; one that replaced no job, or was there before, stays."""
    current = jobs.listed()
    deployment = recorded(environment, current[0].id) if current else None
    if deployment is None or deployment.replaces != before or not before:
        say("There is nothing to go back to: the job stays as it is")
        return
    say("Going back to what ran before")
    roll_back(environment, arguments, keep_release=False)
