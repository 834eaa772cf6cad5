"""Flags that the verbs share, and what is wrong with flags: all of it, reported together."""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from models.manifest import ReleaseError
from models.release import read_pointer
from testudo.commands.environments import add_home_argument
from testudo.errors import CommandError
from testudo.local.home import DEFAULT_HOME, RELEASES

OUT = DEFAULT_HOME / "loadtest"
T = TypeVar("T")


def add_traffic_arguments(parser: argparse.ArgumentParser, *, profile: str) -> None:
    parser.add_argument(
        "--profile", default=profile, help="name of a profile, or its file (%(default)s)"
    )
    parser.add_argument("--customers", type=int, help="how many; the profile's own without")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (%(default)s)")


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--releases",
        type=Path,
        default=Path(RELEASES),
        help="folder of the releases; the one in use is run (%(default)s)",
    )
    add_home_argument(parser)


def add_rig_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, default=1, help="of the local job, see `testudo run` (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="where folders of results go (%(default)s)"
    )
    add_job_arguments(parser)


class Flags:
    """The flags of a command, by name, and what is wrong with them. None is never wrong."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.problems: list[str] = []
        self._arguments = arguments

    def above_0(self, *names: str) -> None:
        for name, value in self._given(names):
            if not 0 < value < math.inf:
                self.problems.append(f"--{name}: is {value:g}, must be more than 0")

    def at_least(self, least: float, *names: str) -> None:
        for name, value in self._given(names):
            if not value >= least:
                self.problems.append(f"--{name}: is {value:g}, must be {least:g} or more")

    def within(self, least: float, most: float, *names: str) -> None:
        for name, value in self._given(names):
            if not least <= value <= most:
                self.problems.append(f"--{name}: is {value:g}, must be {least:g} to {most:,}")

    def read(self, name: str, make: Callable[[], T], *errors: type[Exception]) -> T | None:
        """What `make` returns; None where it raises one of the errors, whose lines are kept."""
        try:
            return make()
        except errors as error:
            self.problems += [f"--{name}: {line}" for line in str(error).splitlines()]
        return None

    def release_in_use(self) -> None:
        try:
            read_pointer(str(self._arguments.releases))
        except ReleaseError as error:
            self.problems.append(f"--releases: {error}; `testudo train` makes a release")

    def error(self) -> CommandError:
        """With everything that is wrong."""
        return CommandError("\n".join(self.problems))

    def _given(self, names: tuple[str, ...]) -> Iterator[tuple[str, float]]:
        for name in names:
            if (value := getattr(self._arguments, name)) is not None:
                yield name, value
