"""Candidates for a demand, each simulated with the same draws and priced."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from loadtest.capacity.autoscaling import Bounds, Floats
from loadtest.capacity.bill import month_bill
from loadtest.capacity.calibration import Calibration
from loadtest.capacity.machines import MachineType
from loadtest.capacity.regression import Interval
from loadtest.capacity.simulation import FleetSpecs, Outcome, poisson_arrivals, simulate
from loadtest.capacity.worker import PERCENT, Guesses, Mix, processes_of, worker_rate
from testudo.cloud.prices import Prices

STEP_S = 60.0
HOLDS = 0.99  # of the minutes
SURE = 0.10  # the goal is held in 9 of 10 draws
HINTS = (0.8, 0.6, 0.4)
RESERVE = 1.25  # times the most workers of any draw, and one more at least
MOST_WORKERS = 1000.0  # that a candidate may grow to while the limit is looked for
FEW_DRAWS = 5
DISK_GB = 50


class Candidate(NamedTuple):
    machine: MachineType
    processes: str
    min_workers: int
    hint: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demand:
    """What one number of customers sends: mean items/s in each step, a column a seed."""

    customers: int
    offered: Floats
    start_hour: float = 0.0  # of the day, at which the first step begins

    @property
    def duration_s(self) -> float:
        return len(self.offered) * STEP_S


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What holds for every candidate of a plan."""

    calibration: Calibration
    mix: Mix
    machines: Sequence[MachineType]
    goal_s: float
    vcpu_speed: Interval
    services_s: Interval
    prices: Prices
    seed: int

    def guesses(self, draws: int) -> Guesses:
        return Guesses.drawn(
            self.calibration,
            vcpu_speed=self.vcpu_speed,
            services_s=self.services_s,
            draws=draws,
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tried:
    """One candidate for one demand, simulated; arrays have a value a draw."""

    candidate: Candidate
    demand: Demand
    outcome: Outcome
    usd_month: Floats

    @property
    def held(self) -> float:
        """The share of minutes that is held in 9 of 10 draws."""
        return float(np.quantile(self.outcome.held_share, SURE))

    @property
    def holds(self) -> bool:
        return self.held >= HOLDS

    @property
    def max_workers(self) -> int:
        """What no draw needed more than, and a reserve for what no draw foresaw."""
        peak = float(self.outcome.peak_workers.max())
        return max(math.ceil(peak * RESERVE), int(peak) + 1)


def candidates(question: Question, demand: Demand) -> list[Candidate]:
    """Machines that hold the models, with few to many workers that are always there."""
    guesses = question.guesses(FEW_DRAWS)
    peaks = np.quantile(demand.offered, [0.5, 0.9, 0.99, 1.0])
    found = []
    for machine in question.machines:
        processes = processes_of(machine, question.calibration)
        if processes is None:
            continue
        rate = float(
            np.median(worker_rate(question.calibration, question.mix, machine, processes, guesses))
        )
        least = {1, *(max(math.ceil(peak / rate / HINTS[0]), 1) for peak in peaks)}
        for workers in sorted(least):
            # Where the least do everything, autoscaling has nothing to do, and no hint.
            scaled = peaks[-1] > workers * rate * HINTS[-1] / 2
            hints = HINTS if scaled else HINTS[:1]
            found += [Candidate(machine, processes, workers, hint) for hint in hints]
    return found


def try_all(
    question: Question,
    pairs: Sequence[tuple[Demand, Candidate]],
    draws: int,
    report: Callable[[float], None],
) -> list[Tried]:
    """Simulate each candidate with the same draws, so that chance favours none."""
    guesses = question.guesses(draws)
    demands = list({id(demand): demand for demand, _ in pairs}.values())
    arrivals = np.hstack([_arrivals(asked, draws, question.seed) for asked in demands])
    places = {id(asked): number for number, asked in enumerate(demands)}
    made = _specs(question, pairs, guesses, [places[id(demand)] for demand, _ in pairs])
    outcome = simulate(arrivals, made, step_s=STEP_S, report=report)
    return [
        _tried(question, demand, candidate, _part(outcome, number * draws, draws))
        for number, (demand, candidate) in enumerate(pairs)
    ]


def _arrivals(demand: Demand, draws: int, seed: int) -> np.ndarray:
    """Each draw has the bursts of one of the demand's seeds, and arrivals of its own."""
    columns = demand.offered.shape[1]
    return np.hstack(
        [
            poisson_arrivals(demand.offered[:, draw % columns], STEP_S, draws=1, seed=seed + draw)
            for draw in range(draws)
        ]
    )


def _specs(
    question: Question,
    pairs: Sequence[tuple[Demand, Candidate]],
    guesses: Guesses,
    places: Sequence[int],
) -> FleetSpecs:
    draws = len(guesses.dearer)
    law = question.calibration.latency[PERCENT]

    def each(values: Sequence[float]) -> Floats:
        return np.repeat(np.asarray(values, dtype=float), draws)

    rates = [
        worker_rate(
            question.calibration, question.mix, candidate.machine, candidate.processes, guesses
        )
        for _, candidate in pairs
    ]
    least = each([candidate.min_workers for _, candidate in pairs])
    return FleetSpecs(
        column=np.concatenate([place * draws + np.arange(draws) for place in places]),
        bounds=Bounds(
            worker_rate=np.concatenate(rates),
            least=least,
            most=np.maximum(least, MOST_WORKERS),
            hint=each([candidate.hint for _, candidate in pairs]),
        ),
        start_workers=least,
        floor_s=np.tile(law.floor_s * guesses.law + guesses.services_s, len(pairs)),
        slope_s=np.tile(law.slope_s * guesses.law, len(pairs)),
        goal_s=question.goal_s,
    )


def _part(outcome: Outcome, start: int, draws: int) -> Outcome:
    """The fleets from `start` on: all arrays have fleets last."""
    return Outcome(
        **{
            field.name: getattr(outcome, field.name)[..., start : start + draws]
            for field in dataclasses.fields(outcome)
        }
    )


def _tried(question: Question, demand: Demand, one: Candidate, outcome: Outcome) -> Tried:
    bill = month_bill(
        worker_s=outcome.worker_s,
        items=outcome.arrived,
        duration_s=demand.duration_s,
        machine=one.machine,
        disk_gb=DISK_GB,
        mix=question.mix,
        prices=question.prices,
        bundles=question.calibration.bundles,
    )
    return Tried(candidate=one, demand=demand, outcome=outcome, usd_month=bill.total)
