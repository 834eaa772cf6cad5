"""`testudo deploy`: an environment gets a version, proves itself, or goes back by itself.

Launches where no job runs, updates where one does, and with `--smoke` sends items through;
if they fail, what ran before comes back. It is what the release pipeline calls.
"""

import argparse

from models.failures import TestudoError
from testudo.cloud.deployments import recorded
from testudo.cloud.rollout import Rollout
from testudo.commands.environments import add_environment_arguments
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import (
    add_version_arguments,
    add_way_arguments,
    planned_environment_of,
    print_id,
    rollout_of,
    say,
    version_of,
)
from testudo.commands.smoke import Load, add_smoke_arguments, load_of, smoke
from testudo.environment import Environment

EXAMPLE = "testudo deploy staging --template 1.1"


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
        rollout = rollout_of(environment, arguments)
        version = version_of(environment, arguments)
        active = rollout.jobs.listed()
        print_id(rollout.replace(active[0], version) if active else rollout.launch(version))
        if arguments.dry_run or not arguments.smoke or _proved(environment, load_of(arguments)):
            return 0
        _go_back(rollout, active[0].id if active else "")
    return 1


def _proved(environment: Environment, load: Load) -> bool:
    """Whether the smoke test passed; one that could not be made proves nothing."""
    try:
        return not smoke(environment, load).problems
    except TestudoError as error:
        say(f"The smoke test could not be made: {error}")
        return False


def _go_back(rollout: Rollout, before: str) -> None:
    """Undo this deployment; one that replaced no job, or was there before, stays."""
    current = rollout.jobs.listed()
    deployment = recorded(rollout.environment, current[0].id) if current else None
    if deployment is None or deployment.replaces != before or not before:
        say("There is nothing to go back to: the job stays as it is")
        return
    say("Going back to what ran before")
    print_id(rollout.roll_back(keep_release=False))
