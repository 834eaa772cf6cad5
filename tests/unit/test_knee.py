"""The search for the knee, on systems that are made up and whose knee is known."""

import math
import random

import pytest

from loadtest.measuring.search import GAP, Search, estimate

MOST_PROBES = 60


def searched(knee: float, *, width: float, seed: int, start_rate: float = 20.0) -> Search:
    """A search on a system that fails more and more often around its knee."""
    chance = random.Random(seed)
    search = Search(start_rate=start_rate, limit_rate=5000.0)
    while (rate := search.next_rate()) is not None:
        fails = (1 + math.tanh(math.log(rate / knee) / (2 * width))) / 2  # a logistic curve
        search.add(rate, holds=chance.random() >= fails)
        assert len(search.probes) < MOST_PROBES, "the search does not end"
    return search


@pytest.mark.parametrize("width", [0.005, 0.03, 0.08])
@pytest.mark.parametrize("knee", [7.0, 93.0, 1400.0])
def test_interval_holds_the_knee(knee: float, width: float) -> None:
    """In 40 searches the 95 % interval holds the known knee, up to chance's share."""
    found = [estimate(searched(knee, width=width, seed=seed).probes) for seed in range(40)]
    inside = sum(one is not None and one.low <= knee <= one.high for one in found)
    assert inside >= 34


@pytest.mark.parametrize("width", [0.005, 0.05])
def test_knee_is_close(width: float) -> None:
    """The middle of many estimates is the knee, and few are far from it."""
    found = [estimate(searched(200.0, width=width, seed=seed).probes) for seed in range(60)]
    errors = sorted(abs(math.log(one.knee / 200.0)) for one in found if one is not None)
    assert len(errors) == 60
    assert errors[30] < 0.04
    assert errors[54] < 0.15


def test_first_rate_may_be_too_high() -> None:
    """A search that begins above the knee goes down to it."""
    found = estimate(searched(10.0, width=0.02, seed=3, start_rate=400.0).probes)
    assert found is not None
    assert found.low <= 10.0 <= found.high


def test_nothing_fails_up_to_the_limit() -> None:
    """Where all probes hold there is no knee, and the last probe is at the limit."""
    search = Search(start_rate=20.0, limit_rate=100.0)
    while (rate := search.next_rate()) is not None:
        search.add(rate, holds=True)
    assert search.probes[-1].rate == 100.0
    assert estimate(search.probes) is None


def test_steps_go_up_then_halve_the_gap() -> None:
    """Up by half as much again until one fails, and then between the two, in the logarithm."""
    search = Search(start_rate=20.0, limit_rate=1000.0)
    rates = []
    for holds in (True, True, False, True):
        rates.append(search.next_rate())
        search.add(rates[-1] or 0.0, holds=holds)
    assert rates == pytest.approx([20.0, 30.0, 45.0, math.sqrt(30.0 * 45.0)])
    held, failed = search.bounds()
    assert held is not None
    assert failed is not None
    assert failed / held < 1.5
    assert GAP < 1.5
