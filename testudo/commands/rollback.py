"""`testudo rollback`: back to the image, the flags and the release that ran before."""

import argparse

from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import add_dry_run_argument, add_way_arguments, print_id, rollout_of

EXAMPLE = "testudo rollback staging"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_way_arguments(parser)
    add_dry_run_argument(parser)
    parser.add_argument(
        "--keep_release",
        action="store_true",
        help="leave current.json as it is: only the job goes back",
    )


def main(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    with google_errors("Dataflow"):
        rollout = rollout_of(environment, arguments)
        print_id(rollout.roll_back(keep_release=arguments.keep_release))
    return 0
