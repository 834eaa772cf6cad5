"""The simulation against closed forms of queueing theory, and what it may never lose."""

import math

import numpy as np
import pytest

from loadtest.capacity.autoscaling import Bounds
from loadtest.capacity.simulation import FleetSpecs, Outcome, poisson_arrivals, simulate


def fixed(
    arrivals: np.ndarray,
    *,
    worker_rate: float,
    workers: float = 1,
    step_s: float = 1.0,
    slope_s: float = 0.0,
    goal_s: float = 10.0,
) -> Outcome:
    """One fleet a column, whose number of workers does not change."""
    ones = np.ones(arrivals.shape[1])
    return simulate(
        arrivals,
        FleetSpecs(
            column=np.arange(arrivals.shape[1]),
            bounds=Bounds(
                worker_rate=ones * worker_rate,
                least=ones * workers,
                most=ones * workers,
                hint=ones * 0.8,
            ),
            start_workers=ones * workers,
            floor_s=ones * 0.5,
            slope_s=ones * slope_s,
            goal_s=goal_s,
        ),
        step_s=step_s,
    )


def mean_backlog(arrivals: np.ndarray, served: int) -> float:
    """Over all steps and columns, from runs of one step an hour: the hourly most is the step's."""
    outcome = fixed(arrivals, worker_rate=served / 3600, step_s=3600.0)
    return float(outcome.hour_backlog[300:].mean())


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_has_the_backlog_of_the_slotted_queue(load: float) -> None:
    """Poisson arrivals of rho a slot, one served: rho^2 / (2 (1 - rho)) wait after service."""
    arrivals = poisson_arrivals(np.full(2000, load), 1.0, draws=300, seed=5)
    assert mean_backlog(arrivals, 1) == pytest.approx(load**2 / (2 * (1 - load)), rel=0.05)


@pytest.mark.slow
def test_many_servers_near_their_limit_have_the_backlog_of_heavy_traffic() -> None:
    """At 90 % of 20 a slot: the variance over twice the spare, corrected for whole slots.

    The correction, zeta(1/2) / sqrt(2 pi) of the deviation and a quarter of the spare, is that
    of the maximum of a Gaussian random walk (Chang and Peres, 1997).
    """
    served, load = 20, 0.90
    arrivals = poisson_arrivals(np.full(1500, served * load), 1.0, draws=1000, seed=6)
    variance, spare = served * load, served * (1 - load)
    expected = variance / (2 * spare) - 0.5826 * math.sqrt(variance) + spare / 4
    assert mean_backlog(arrivals, served) == pytest.approx(expected, rel=0.08)


@pytest.mark.slow
def test_the_mean_wait_is_that_of_littles_law() -> None:
    """Mean backlog = rate * mean wait, the wait counted item by item."""
    load, slots = 0.8, 4000
    arrivals = poisson_arrivals(np.full(slots, load), 1.0, draws=1, seed=7)
    came = np.repeat(np.arange(slots), arrivals[:, 0].astype(int))
    leaves = np.empty(len(came))
    free = 0
    for number, slot in enumerate(came):
        leaves[number] = free = max(slot, free)
        free += 1
    waits = leaves - came
    outcome = fixed(arrivals, worker_rate=1 / 3600, step_s=3600.0)
    assert outcome.hour_backlog.mean() == pytest.approx(load * waits.mean(), rel=0.03)


@pytest.mark.slow
def test_an_overload_grows_and_clears_as_a_fluid() -> None:
    """(offered - capacity) * time waits; it is gone after that over the spare capacity."""
    offered = np.concatenate([np.full(7200, 150.0), np.full(3 * 3600, 50.0)])
    outcome = fixed(offered[:, None], worker_rate=100)
    assert outcome.hour_backlog[:, 0] == pytest.approx(
        [180_000, 360_000, 360_000, 180_000, 0], abs=50
    )
    assert outcome.hour_p95_s[1, 0] == pytest.approx(0.5 + 0.975 * 3600, rel=0.01)


def test_nothing_is_lost_or_made() -> None:
    """What arrived was served or waits, in every fleet, however it is scaled."""
    chance = np.random.default_rng(8)
    arrivals = chance.poisson(chance.uniform(0, 20_000, (2000, 1)), (2000, 30)).astype(float)
    ones = np.ones(30)
    outcome = simulate(
        arrivals,
        FleetSpecs(
            column=np.arange(30),
            bounds=Bounds(
                worker_rate=chance.uniform(10, 90, 30),
                least=ones,
                most=chance.integers(1, 9, 30).astype(float),
                hint=chance.uniform(0.1, 0.9, 30),
            ),
            start_workers=ones,
            floor_s=ones,
            slope_s=ones,
            goal_s=10,
        ),
        step_s=60,
    )
    assert outcome.arrived == pytest.approx(arrivals.sum(axis=0))
    assert outcome.arrived == pytest.approx(outcome.served + outcome.backlog)
    assert (outcome.busy_share <= 1 + 1e-9).all()


@pytest.mark.parametrize(("load", "hint"), [(30.0, 0.8), (170.0, 0.8), (170.0, 0.5), (990.0, 0.9)])
def test_a_constant_load_ends_with_the_workers_of_the_hint(load: float, hint: float) -> None:
    """ceil(offered / (capacity * hint)), from one worker and from too many."""
    ones = np.ones(2)
    outcome = simulate(
        np.full((600, 2), load * 60),
        FleetSpecs(
            column=np.arange(2),
            bounds=Bounds(worker_rate=ones * 50, least=ones, most=ones * 99, hint=ones * hint),
            start_workers=np.array([1.0, 60.0]),
            floor_s=ones,
            slope_s=ones,
            goal_s=10,
        ),
        step_s=60,
    )
    assert outcome.hour_workers[-1] == pytest.approx(math.ceil(load / (50 * hint)))


def test_a_worker_that_starts_is_paid_for() -> None:
    """Worker seconds are those of the fleet and of what was asked for."""
    outcome = fixed(np.full((120, 1), 10.0), worker_rate=50, workers=3, step_s=60)
    assert outcome.worker_s[0] == 120 * 60 * 3
    assert outcome.peak_workers[0] == 3


def test_the_law_of_latency_holds_where_nothing_waits() -> None:
    """floor + slope / (1 - utilisation); a goal between it and the next step's wait splits them."""
    calm = fixed(np.full((60, 1), 50.0), worker_rate=100, slope_s=0.2)
    assert calm.hour_p95_s[0, 0] == pytest.approx(0.5 + 0.2 / (1 - 0.5))
    assert calm.held_share[0] == 1
    half = np.where(np.arange(120) % 2, 0.0, 190.0)[:, None]
    assert fixed(half, worker_rate=100, goal_s=1.5).held_share[0] == 1
    assert fixed(half, worker_rate=100, goal_s=1.3).held_share[0] == 0
