"""`testudo release build`: a release of files that you have, each of them checked."""

import argparse
from pathlib import Path

from testudo.commands.train import take_up
from testudo.local.home import RELEASES


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spec", type=Path, metavar="SPEC.toml", help="what it is made of (docs/models.md)"
    )
    parser.add_argument(
        "--releases", default=RELEASES, help="where it goes, and `from` is (%(default)s)"
    )
    parser.add_argument(
        "--activate", action="store_true", help="make it the default one, in place of another"
    )


def build(arguments: argparse.Namespace) -> None:
    """Raises CommandError with all that is wrong, ReleaseError for `from`; nothing is saved."""
    from testudo.build_spec import read_spec  # with the runtimes, which other commands need not
    from testudo.building import build_release

    made = build_release(read_spec(arguments.spec), arguments.releases)
    scorers = ", ".join(one.name for one in made.scorers)
    print(f"release {made.release}: {len(made.files)} files, scorers {scorers}")
    print(take_up(arguments.releases, made.release, activate=arguments.activate))
