"""Flags that the subcommands of `testudo release` share: which releases are meant."""

import argparse
from pathlib import Path

from models.training.manifest_lines import LabelledItem, read_items
from models.training.splits import split_items
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.errors import CommandError
from testudo.local.home import RELEASES


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """An environment's releases, or those in a folder of this machine."""
    add_environment_arguments(parser, optional=True)
    parser.add_argument(
        "--releases", help=f"where releases are, if no environment is named ({RELEASES})"
    )


def place_of(arguments: argparse.Namespace) -> str:
    """The root of the releases that are meant. Raises CommandError for two."""
    if not arguments.environment:
        return str(arguments.releases or RELEASES)
    if arguments.releases:
        raise CommandError("name an environment or --releases, not both")
    return environment_of(arguments).releases


def add_item_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        help="JSON Lines file of labelled items, as for `testudo train`",
    )
    parser.add_argument(
        "--held_out",
        action="store_true",
        help="only those of its items that training holds out: of a manifest trained on",
    )


def items_of(arguments: argparse.Namespace) -> list[LabelledItem]:
    """The items to judge by. Raises ManifestRefused with all that is wrong with them."""
    items = read_items(arguments.manifest)
    if arguments.held_out:
        _, items = split_items(items, arguments.manifest, _say_nothing)
    return items


def _say_nothing(line: str) -> None:
    """Of pictures that several items share: training has said it."""
