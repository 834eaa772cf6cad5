"""Which environment a command means: the local stack, one of the file, or a project's."""

import argparse
import dataclasses
from pathlib import Path

from testudo.commands.stand_ins import refuse_stand_ins
from testudo.environment import LOCAL, Environment
from testudo.environment_file import FILE, read_environment
from testudo.local.connect import enter_stack
from testudo.local.home import DEFAULT_HOME


def add_environment_arguments(
    parser: argparse.ArgumentParser, *, default: str = "", optional: bool = False
) -> None:
    """Of a command that always is for one environment; with a default, that where none is named.

    Where it is optional and without a default, none is None.
    """
    parser.add_argument(
        "environment",
        metavar="ENVIRONMENT",
        nargs="?" if default or optional else None,
        default=default or None,
        help="`local` for the local stack that runs, or the name of a table of the file",
    )
    _add_file_argument(parser)
    add_home_argument(parser)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a command that reads or writes items, for most people those of the local stack."""
    group = parser.add_argument_group("where (without a name: the local stack that runs)")
    name = group.add_mutually_exclusive_group()
    name.add_argument("--environment", help="name of a table of the file, or `local`")
    name.add_argument("--project", help="Google Cloud project, with the names below")
    topic, dataset = Environment.topic, Environment.dataset
    group.add_argument("--topic", help=f"Pub/Sub topic ({topic}, or the environment's)")
    group.add_argument("--dataset", help=f"BigQuery dataset ({dataset}, or the environment's)")
    _add_file_argument(group)
    add_home_argument(group)


def add_home_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--home", type=Path, default=DEFAULT_HOME, help="folder of the local stack (%(default)s)"
    )


def _add_file_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--environments", type=Path, default=FILE, help="file of the environments (%(default)s)"
    )


def environment_of(arguments: argparse.Namespace) -> Environment:
    """The environment that is named; this process is led to the local stack where it is that.

    Raises CommandError with all that is wrong with it, or when stand-ins would answer for it.
    """
    if arguments.environment == LOCAL.name:
        enter_stack(arguments.home)
        return LOCAL
    environment = read_environment(arguments.environment, arguments.environments)
    refuse_stand_ins(environment.project)
    return environment


def data_environment_of(arguments: argparse.Namespace) -> Environment:
    """As `environment_of`, with the names of `add_data_arguments` over the environment's own."""
    named = {
        name: value
        for name in ("topic", "dataset")
        if (value := getattr(arguments, name)) is not None
    }
    refuse_stand_ins(arguments.project or "", named.get("dataset", "").rpartition(".")[0])
    if arguments.project:
        return Environment(name=arguments.project, project=arguments.project, **named)
    if not arguments.environment:
        arguments.environment = LOCAL.name
    environment = environment_of(arguments)
    refuse_stand_ins(named.get("dataset", "").rpartition(".")[0])
    return dataclasses.replace(environment, **named)
