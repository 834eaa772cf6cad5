"""`testudo update`: another version for the job that runs."""

import argparse

from testudo.commands.environments import add_environment_arguments
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import (
    add_version_arguments,
    add_way_arguments,
    planned_environment_of,
    print_id,
    rollout_of,
    version_of,
)

EXAMPLE = "testudo update staging --template 1.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_version_arguments(parser)
    add_way_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    environment = planned_environment_of(arguments)
    with google_errors("Dataflow"):
        rollout = rollout_of(environment, arguments)
        version = version_of(environment, arguments)
        print_id(rollout.replace(rollout.running(), version))
    return 0
