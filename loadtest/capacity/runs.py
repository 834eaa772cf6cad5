"""Measured runs as the fits of a calibration see them."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from loadtest.capacity.calibration import BadCalibration
from loadtest.capacity.images import Picture, PictureCost
from loadtest.results import Result

LEAST_RUNS = 4
FULL_MACHINE = 0.94  # of all cores: at less, something else held the run back
BACKLOGGED = 0.95  # a run that did less of what was offered was at its limit


class Run(NamedTuple):
    """One run as the fits see it."""

    picture: Picture
    messages: int
    seconds: float  # from the first to the last outcome
    offered: float  # messages a second
    cpu_s: Mapping[str, float]  # by role; worker-1 is worker
    result: Result

    @property
    def throughput(self) -> float:
        return self.messages / self.seconds

    @property
    def limited(self) -> bool:
        return self.throughput < BACKLOGGED * self.offered

    @property
    def busy_cores(self) -> float:
        """Of the machine, other programs' included, on the mean of the seconds with outcomes."""
        shares = [
            sum(second.cpu_shares.values()) for second in self.result.seconds if second.outcomes
        ]
        return statistics.fmean(shares) if shares else self.cores(list(self.cpu_s))

    def cores(self, roles: Sequence[str]) -> float:
        """That these roles kept busy, on the mean of the run."""
        return sum(self.cpu_s.get(role, 0.0) for role in roles) / self.seconds


def checked_runs(results: Sequence[Result], pictures: Mapping[str, PictureCost]) -> list[Run]:
    """Raises BadCalibration with everything that is wrong with the runs."""
    problems = (
        [] if len(results) >= LEAST_RUNS else [f"{len(results)} runs; {LEAST_RUNS} are needed"]
    )
    runs = []
    for result in results:
        if not result.complete:
            problems.append(
                f"{result.name}: proves nothing: {result.lost} items lost, {result.unexpected} "
                f"with another outcome, {result.sent.refused} messages refused"
            )
        if result.settings.processes != 1:
            problems.append(
                f"{result.name}: is of {result.settings.processes} processes, must be of 1"
            )
        if result.settings.images not in pictures:
            problems.append(
                f"{result.name}: its pictures, {result.settings.images!r}, were not timed"
            )
        elif not result.throughput or not result.sent.seconds:
            problems.append(f"{result.name}: has no throughput")
        else:
            runs.append(_run(result))
    if len({round(run.offered) for run in runs}) < 2:  # noqa: PLR2004 - a line needs two
        problems.append("all runs are of one rate; two or more are needed")
    if problems:
        raise BadCalibration("\n".join(problems))
    return runs


def _run(result: Result) -> Run:
    messages = result.sent.messages - result.sent.refused
    cpu_s: defaultdict[str, float] = defaultdict(float)
    for role, use in result.processes.items():
        cpu_s[role.split("-")[0] if role.startswith("worker") else role] += use.cpu_s
    return Run(
        picture=Picture.named(result.settings.images),
        messages=messages,
        seconds=messages / result.throughput,
        offered=messages / result.sent.seconds,
        cpu_s=cpu_s,
        result=result,
    )
