"""`testudo launch`: everything is checked, then a job is launched from a template."""

import argparse

from testudo.commands.environments import add_environment_arguments
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import (
    add_version_arguments,
    planned_environment_of,
    print_id,
    rollout_of,
    version_of,
)

EXAMPLE = "testudo launch staging --template 1.0 --dry_run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_version_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    environment = planned_environment_of(arguments)
    with google_errors("Dataflow"):
        rollout = rollout_of(environment, arguments)
        print_id(rollout.launch(version_of(environment, arguments)))
    return 0
