"""Backlog, workers and latency of many fleets, in steps of time, all at once.

In each step a fleet serves what waits and what arrives, as far as its workers go; what
is left waits. Within a step nothing is seen: a burst of less than a step is spread over it.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from loadtest.capacity.autoscaling import PUBLISHED, Bounds, Fleets, Floats, Rules, arrive, scale

HOUR_S = 3600.0
# Up to here the latency law was fitted; above, the backlog says what waiting there is.
FITTED = 0.95
PERCENT = 0.95
Draws = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FleetSpecs:
    """The fleets that are simulated; arrays of one length."""

    column: npt.NDArray[np.int64]  # of the arrivals that go to it
    bounds: Bounds
    start_workers: Floats
    floor_s: Floats  # of the latency law's p95, services included
    slope_s: Floats
    goal_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of each fleet; hourly arrays are (hours, fleets)."""

    arrived: Floats
    served: Floats
    backlog: Floats  # at the end
    worker_s: Floats  # paid for: those that start too
    peak_workers: Floats
    held_share: Floats  # of the steps with arrivals, those with p95 within the goal
    busy_share: Floats  # of the workers' CPU
    hour_offered: Draws  # items/s
    hour_workers: Draws  # mean
    hour_backlog: Draws  # items, most
    hour_p95_s: Draws  # nearly: of an hour's steps, weighed by their items


def poisson_arrivals(
    offered: Floats, step_s: float, *, draws: int, seed: int
) -> npt.NDArray[np.float32]:
    """Items in each step: (steps, draws), Poisson around the mean rate."""
    chance = np.random.default_rng(seed)
    means = np.repeat(offered[:, None] * step_s, draws, axis=1)
    return chance.poisson(means).astype(np.float32)


def simulate(
    arrivals: npt.NDArray[np.floating],
    specs: FleetSpecs,
    *,
    step_s: float,
    rules: Rules = PUBLISHED,
    report: Callable[[float], None] = lambda _: None,
) -> Outcome:
    """Run every fleet through all steps. `arrivals` is (steps, columns), items a step.

    An hour that is not whole counts as one. `report` gets the share that is done, once an hour.
    """
    bounds = specs.bounds
    fleets = Fleets.of(specs.start_workers, arrivals[0][specs.column] / step_s)
    totals = _Totals(len(specs.column))
    hours = []
    for hour in _hours(len(arrivals), step_s):
        kept = _Hour(len(hour), len(specs.column))
        for number, step in enumerate(hour):
            now_s = step * step_s
            arrive(fleets, now_s)
            came = arrivals[step][specs.column].astype(float)
            can = fleets.workers * bounds.worker_rate * step_s
            before = totals.backlog
            served = np.minimum(before + came, can)
            left = before + came - served
            busy = served / can
            wait_s = np.maximum(before, left) / (can / step_s)
            steady_s = specs.floor_s + specs.slope_s / (1 - np.minimum(busy, FITTED))
            kept.add(number, came, fleets.workers, left, steady_s + wait_s)
            totals.add(came, served, left, fleets, step_s)
            scale(
                fleets,
                bounds,
                arrived=came / step_s,
                busy=busy,
                backlog=left,
                now_s=now_s + step_s,
                step_s=step_s,
                rules=rules,
            )
        totals.judge(kept, specs.goal_s)
        hours.append(kept.summary(step_s))
        report((hour[-1] + 1) / len(arrivals))
    capacity = totals.worker_running_s * bounds.worker_rate
    offered, workers, backlog, p95_s = (np.stack(column) for column in zip(*hours, strict=True))
    return Outcome(
        arrived=totals.arrived,
        served=totals.served,
        backlog=totals.backlog,
        worker_s=totals.worker_s,
        peak_workers=totals.peak,
        held_share=totals.held / np.maximum(totals.judged, 1),
        busy_share=totals.served / capacity,
        hour_offered=offered,
        hour_workers=workers,
        hour_backlog=backlog,
        hour_p95_s=p95_s,
    )


def _hours(steps: int, step_s: float) -> Iterator[range]:
    size = max(round(HOUR_S / step_s), 1)
    for start in range(0, steps, size):
        yield range(start, min(start + size, steps))


class _Totals:
    """Sums over all steps so far."""

    def __init__(self, fleets: int) -> None:
        self.arrived = np.zeros(fleets)
        self.served = np.zeros(fleets)
        self.backlog = np.zeros(fleets)
        self.worker_s = np.zeros(fleets)
        self.worker_running_s = np.zeros(fleets)
        self.peak = np.zeros(fleets)
        self.held = np.zeros(fleets)
        self.judged = np.zeros(fleets)

    def add(
        self, came: Floats, served: Floats, left: Floats, fleets: Fleets, step_s: float
    ) -> None:
        self.arrived += came
        self.served += served
        self.backlog = left
        paid = fleets.workers + fleets.starting
        self.worker_s += paid * step_s
        self.worker_running_s += fleets.workers * step_s
        np.maximum(self.peak, paid, out=self.peak)

    def judge(self, hour: "_Hour", goal_s: float) -> None:
        busy = hour.came > 0
        self.judged += busy.sum(axis=0)
        self.held += (busy & (hour.p95_s <= goal_s)).sum(axis=0)


class _Hour:
    """The steps of one hour: (steps, fleets)."""

    def __init__(self, steps: int, fleets: int) -> None:
        self.came = np.zeros((steps, fleets))
        self.workers = np.zeros((steps, fleets))
        self.backlog = np.zeros((steps, fleets))
        self.p95_s = np.zeros((steps, fleets))

    def add(
        self, number: int, came: Floats, workers: Floats, backlog: Floats, p95_s: Floats
    ) -> None:
        self.came[number] = came
        self.workers[number] = workers
        self.backlog[number] = backlog
        self.p95_s[number] = p95_s

    def summary(self, step_s: float) -> tuple[Draws, Draws, Draws, Draws]:
        """Offered, workers, backlog, p95. The last: 95 of 100 items were in steps no slower."""
        order = np.argsort(self.p95_s, axis=0)
        items = np.take_along_axis(self.came, order, axis=0).cumsum(axis=0)
        first = (items >= PERCENT * items[-1]).argmax(axis=0)
        p95_s = np.take_along_axis(self.p95_s, np.take_along_axis(order, first[None], 0), 0)[0]
        values = (self.came.mean(axis=0) / step_s, self.workers.mean(axis=0))
        offered, workers, backlog, p95 = (
            column.astype(np.float32) for column in (*values, self.backlog.max(axis=0), p95_s)
        )
        return offered, workers, backlog, p95
