"""Which environment a command means: the local stack's, or one of the file's."""

import argparse
from pathlib import Path

from testudo.commands.place import (
    BUCKET,
    DATASET,
    IMAGE_BUCKET,
    SUBSCRIPTION,
    TOPIC,
    add_home_argument,
    enter_local_stack,
)
from testudo.commands.stand_ins import refuse_stand_ins
from testudo.environment import FILE, Environment, environment_from, read_environment
from testudo.local.servers import PROJECT

LOCAL = "local"


def add_environment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "environment",
        metavar="ENVIRONMENT",
        help="`local` for the local stack that runs, or the name of a table of the file",
    )
    parser.add_argument(
        "--environments", type=Path, default=FILE, help="file of the environments (%(default)s)"
    )
    add_home_argument(parser)


def environment_of(arguments: argparse.Namespace) -> Environment:
    """Raises CommandError with all that is wrong with it, or when stand-ins would answer for it."""
    if arguments.environment == LOCAL:
        enter_local_stack(arguments.home)
        return local_environment()
    environment = read_environment(arguments.environment, arguments.environments)
    refuse_stand_ins(environment.project)
    return environment


def local_environment() -> Environment:
    """The local stack as an environment, under the names that its commands use."""
    values = {
        "project": PROJECT,
        "topic": TOPIC,
        "subscription": SUBSCRIPTION,
        "dataset": DATASET,
        "bucket": BUCKET,
        "image_buckets": [IMAGE_BUCKET],
        "dataset_location": "US",  # the stand-in knows no other
        "max_num_workers": 2,
    }
    return environment_from(LOCAL, values, "the local stack")
