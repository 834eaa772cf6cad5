"""Find the rate that a system holds half of the time, from probes that hold or fail.

Which rate to probe next: steps up by a factor until one fails, halvings of the gap (in the
logarithm), then the up-and-down method (Dixon and Mood 1948): a step up after a probe that
holds, a step down after one that fails, so that probes gather around the threshold. What
they say together: the posterior of a logistic curve's threshold over all probes, not the
reversals alone (Watson and Pelli 1983), since there is time for few. The slope and one
lapse in fifty, a probe that goes wrong for no reason of the rate, are unknowns of it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UP = 1.5
FIRST_STEP = 1.12  # of the staircase; halved (in the logarithm) after each second reversal
LEAST_STEP = 1.03
GAP = 1.15  # between the highest that held and the lowest that failed, for the staircase to begin
REVERSALS = 6
CONFIDENCE = 0.95
LAPSE = 0.02
WIDTHS = np.geomspace(0.01, 0.3, 10)  # of the curve, in the logarithm of the rate
GRID = 300


class Probe(NamedTuple):
    rate: float
    holds: bool


class Estimate(NamedTuple):
    """The rate that holds half of the time, and the interval that it lies in."""

    knee: float
    low: float
    high: float


@dataclasses.dataclass
class Search:
    """Says which rate to probe next, or that it is enough."""

    start_rate: float
    limit_rate: float
    probes: list[Probe] = dataclasses.field(default_factory=list)
    _step: float = FIRST_STEP
    _reversals: int = 0
    _staircase: bool = False

    def next_rate(self) -> float | None:
        """None when there are reversals enough, or nothing fails up to the limit."""
        if not self.probes:
            return min(self.start_rate, self.limit_rate)
        last = self.probes[-1]
        held, failed = self.bounds()
        if failed is None:
            return None if last.rate >= self.limit_rate else min(last.rate * UP, self.limit_rate)
        if held is None:
            return last.rate / UP
        if not self._staircase and failed / held > GAP:
            return math.sqrt(held * failed)
        self._staircase = True
        if self._reversals >= REVERSALS:
            return None
        return min(last.rate * self._step if last.holds else last.rate / self._step,
                   self.limit_rate)  # fmt: skip

    def add(self, rate: float, *, holds: bool) -> None:
        """`rate` may differ a little from what was asked: chance draws a probe's messages."""
        if self._staircase and self.probes and self.probes[-1].holds != holds:
            self._reversals += 1
            if self._reversals % 2 == 0:
                self._step = max(math.sqrt(self._step), LEAST_STEP)
        self.probes.append(Probe(rate, holds))

    def bounds(self) -> tuple[float | None, float | None]:
        """The highest rate that held, and the lowest that failed."""
        held = [probe.rate for probe in self.probes if probe.holds]
        failed = [probe.rate for probe in self.probes if not probe.holds]
        highest, lowest = max(held, default=None), min(failed, default=None)
        if highest is not None and lowest is not None and highest > lowest:
            return lowest, highest  # they overlap: the staircase lies between
        return highest, lowest


def estimate(probes: Sequence[Probe]) -> Estimate | None:
    """The posterior's median and its middle 95 %; None unless some held and some failed."""
    if len({probe.holds for probe in probes}) < 2:  # noqa: PLR2004 - both answers
        return None
    rates = np.log([probe.rate for probe in probes])
    holds = np.array([probe.holds for probe in probes])
    thresholds = np.linspace(rates.min() - math.log(UP), rates.max() + math.log(UP), GRID)
    distance = (rates[None, None, :] - thresholds[:, None, None]) / WIDTHS[None, :, None]
    fails = LAPSE / 2 + (1 - LAPSE) / (1 + np.exp(-np.clip(distance, -50, 50)))
    likelihood = np.prod(np.where(holds, 1 - fails, fails), axis=2)
    posterior = likelihood.sum(axis=1)
    below = np.cumsum(posterior) / posterior.sum()
    tail = (1 - CONFIDENCE) / 2
    low, knee, high = np.exp(np.interp([tail, 0.5, 1 - tail], below, thresholds))
    return Estimate(float(knee), float(low), float(high))
