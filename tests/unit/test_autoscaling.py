"""The published rules of autoscaling, one by one, on fleets whose load is set by hand."""

import numpy as np
import pytest

from loadtest.capacity.autoscaling import PUBLISHED, Bounds, Fleets, arrive, scale, wanted_workers

RATE = 50.0  # items/s that one worker does


def bounds(*, least: float = 1, most: float = 100, hint: float = 0.8) -> Bounds:
    return Bounds(
        worker_rate=np.array([RATE]),
        least=np.array([least]),
        most=np.array([most]),
        hint=np.array([hint]),
    )


def run(
    fleets: Fleets,
    limits: Bounds,
    *,
    seconds: float,
    load: float,
    busy: float,
    backlog: float,
    step_s: float = 10.0,
) -> list[float]:
    """The workers after each step of a load that stays."""
    seen = []
    for number in range(int(seconds / step_s)):
        arrive(fleets, number * step_s)
        scale(
            fleets,
            limits,
            arrived=np.array([load]),
            busy=np.array([busy]),
            backlog=np.array([backlog]),
            now_s=(number + 1) * step_s,
            step_s=step_s,
        )
        seen.append(float(fleets.workers[0]))
    return seen


def fleet(workers: float, load: float) -> Fleets:
    return Fleets.of(np.array([workers]), np.array([load]))


@pytest.mark.parametrize(
    ("load", "hint", "workers"),
    [(0, 0.8, 1), (39, 0.8, 1), (41, 0.8, 2), (400, 0.8, 10), (9, 0.1, 2)],
)
def test_a_steady_load_has_the_workers_that_keep_cpu_at_the_hint(
    load: float, hint: float, workers: int
) -> None:
    """Load / (a worker's rate * hint), rounded up, and the least at least."""
    steady = wanted_workers(bounds(hint=hint), np.array([load]), np.array([0.0]), PUBLISHED)
    assert steady[0] == workers


def test_a_backlog_adds_workers_that_clear_it_in_time() -> None:
    """The load and a 150th of the backlog a second: what was published as the aim."""
    wanted = wanted_workers(bounds(), np.array([100.0]), np.array([150 * 400.0]), PUBLISHED)
    assert wanted[0] == (100 + 400) / RATE


def test_workers_come_after_the_sustained_time_and_the_start() -> None:
    """Two minutes of backlog, three of starting: the fleet is unchanged until then."""
    grown = run(fleet(1, 100), bounds(), seconds=400, load=100, busy=1.0, backlog=6000)
    first = next(number for number, workers in enumerate(grown) if workers > 1)
    assert first * 10 == PUBLISHED.sustained_s + PUBLISHED.start_s
    assert grown[first] == 3


def test_a_backlog_of_workers_that_wait_adds_none() -> None:
    """CPU under 20 %: more workers would not help."""
    same = run(fleet(1, 100), bounds(), seconds=600, load=100, busy=0.1, backlog=6000)
    assert set(same) == {1.0}


def test_no_fleet_shrinks_with_a_backlog_or_with_busy_workers() -> None:
    """Over ten seconds of backlog, or CPU over the hint, keeps every worker."""
    backlogged = run(fleet(9, 10), bounds(), seconds=600, load=10, busy=0.5, backlog=9 * RATE * 11)
    assert backlogged[-1] == 9
    busy = run(fleet(9, 10), bounds(), seconds=600, load=10, busy=0.9, backlog=0)
    assert set(busy) == {9.0}


def test_a_fleet_with_too_many_workers_shrinks_to_the_hint_and_not_below_the_least() -> None:
    """After two calm minutes at once, to what the load needs, or to the least."""
    calm = run(fleet(9, 100), bounds(), seconds=300, load=100, busy=0.2, backlog=0)
    assert calm[10] == 9
    assert calm[11] == 3
    kept = run(fleet(9, 100), bounds(least=5), seconds=300, load=100, busy=0.2, backlog=0)
    assert kept[-1] == 5


def test_no_fleet_grows_beyond_the_most() -> None:
    """max_num_workers holds, whatever waits."""
    grown = run(fleet(1, 900), bounds(most=4), seconds=900, load=900, busy=1.0, backlog=1e6)
    assert max(grown) == 4
