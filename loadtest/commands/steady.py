"""Constant load of one kind of picture: costs are fitted on it, predictions held against it."""

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from loadtest.capacity.images import Picture
from loadtest.measuring.rig import Rig
from loadtest.processes import MeasuringError
from loadtest.results import Result
from loadtest.traffic.kinds import Kind
from loadtest.traffic.profile import Part, Profile, read_profile
from loadtest.traffic.schedule import make_schedule
from models.manifest import ReleaseError
from models.release import read_pointer
from testudo.commands.place import add_home_argument
from testudo.errors import CommandError

OVERLOAD = 1.6  # times what is expected: the rest waits, so that all that can be busy is
LOOKS_APART_S = 2.0  # a look costs the stand-in a quarter of a second of CPU
OVERLOAD_S = 20.0  # at least: a shorter run is mostly its beginning and its end
TRIES = 2  # of a run that proves nothing: another process may have had the cores


def steady_profile(picture: Picture) -> Profile:
    """The packaged profile `steady` with this picture in every item."""
    kind = Kind(
        name=picture.name,
        width_px=picture.width_px,
        height_px=picture.height_px,
        format=picture.format,
    )
    return dataclasses.replace(read_profile("steady"), mix=(Part(kind=kind, share=1.0),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """Steady runs on one rig, a folder each, told in a line each."""

    rig: Rig
    folder: Path
    seconds: float
    seed: int
    report: Callable[[str], None]

    def measure(self, picture: Picture, rate: float, name: str) -> Result:
        """One run at so many messages a second. Raises MeasuringError where it proves nothing."""
        for turn in range(TRIES):
            result = self._run(picture, rate, name, self.seed + turn, self.seconds)
            if result.valid:
                return result
        raise MeasuringError(f"{name} proves nothing: {'; '.join(result.problems)}")

    def most(self, picture: Picture, expected: float, name: str) -> Result:
        """A run at more than can be done, which shows how much can; its latencies mean nothing.

        Raises MeasuringError where an item has not the outcome that it should have.
        """
        seconds = max(self.seconds, OVERLOAD_S)
        result = self._run(picture, OVERLOAD * expected, name, self.seed, seconds)
        if not result.complete:
            raise MeasuringError(f"{name} proves nothing: {'; '.join(result.problems)}")
        return result

    def _run(self, picture: Picture, rate: float, name: str, seed: int, seconds: float) -> Result:
        schedule = make_schedule(steady_profile(picture), duration_s=seconds, seed=seed, rate=rate)
        result = self.rig.measure(
            schedule, name=name, folder=self.folder / name, look_every_s=LOOKS_APART_S
        )
        said = [f"{result.throughput:.0f}/s", f"p95 {result.latency.p95_s:.2f} s"]
        said += [one for one in (result.saturated, *result.problems) if one]
        self.report(f"  {picture.name} at {rate:.0f}/s: {'; '.join(said)}")
        return result


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Of whatever makes such runs."""
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="that each run sends for (%(default)g)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the traffic (%(default)s)")
    parser.add_argument(
        "--releases",
        type=Path,
        default=Path(".testudo/releases"),
        help="releases that score (%(default)s)",
    )
    add_home_argument(parser)


def check_run_arguments(arguments: argparse.Namespace) -> None:
    """Raises CommandError with everything that is wrong."""
    problems = []
    if not 5 <= arguments.seconds <= 600:  # noqa: PLR2004 - said in the message
        problems.append(f"--seconds: is {arguments.seconds:g}, must be 5 to 600")
    try:
        read_pointer(str(arguments.releases))
    except ReleaseError as error:
        problems.append(f"--releases: {error}; `testudo train` makes one")
    if problems:
        raise CommandError("\n".join(problems))


@contextlib.contextmanager
def running_bench(
    arguments: argparse.Namespace, report: Callable[[str], None], *, processes: int = 1
) -> Iterator[Bench]:
    """A rig of its own, as `add_run_arguments` says.

    Raises MeasuringError, StackError and ToolsMissing.
    """
    with Rig(arguments.home, str(arguments.releases), processes=processes, report=report) as rig:
        yield Bench(
            rig=rig,
            folder=arguments.out,
            seconds=arguments.seconds,
            seed=arguments.seed,
            report=report,
        )


def reporter(console: Console) -> Callable[[str], None]:
    """Lines as they are, without markup: they may quote logs."""

    def report(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    return report
