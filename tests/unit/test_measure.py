"""What a number of items costs, found as the difference of two runs."""

import psutil
import pytest
from rigs.costs import difference, used_cpu_s

from loadtest.processes import MeasuringError


def burn(seconds: float) -> None:
    """Work for so much CPU time."""
    end_s = used_cpu_s(psutil.Process()) + seconds
    while used_cpu_s(psutil.Process()) < end_s:
        sum(range(10_000))


@pytest.mark.slow
def test_other_work_during_the_short_run_does_not_make_items_cost_less_than_nothing() -> None:
    """Both runs are made again until the longer one took more, and the least of each counts."""
    ran: list[int] = []

    def run(count: int) -> None:
        ran.append(count)
        burn(0.2 if count > 1 else 0.5 if len(ran) == 2 else 0.01)

    cost = difference(run, few=1, items=9)
    assert ran[:5] == [1, 1, 10, 1, 10]
    assert cost.items == 9
    assert cost.cpu_s > 0
    assert cost.wall_s > 0


def test_items_that_cost_nothing_that_can_be_measured_are_told() -> None:
    """Rather than a rate of any size, or below zero."""
    with pytest.raises(MeasuringError, match="more items"):
        difference(lambda count: burn(0.05 / count), few=1, items=4)
