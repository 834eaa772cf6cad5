"""How demand rises and falls over a day: a curve, its integral and the inverse of that.

The integral of the curve is time too: a weighted one, that runs fast when demand is
high. Arrivals that are evenly spread over it are spread by the curve over real time.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

HOURS = 24
_CELLS_AN_HOUR = 12  # the curve is flat within one: its integral and inverse are exact

Times = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Day:
    """A curve through 24 hourly weights, of mean 1, that repeats every `day_s`.

    A weight holds in the middle of its hour; between two of them the curve is straight.
    """

    weights: Sequence[float]
    day_s: float
    start_hour: float  # of the first zone (offset 0), at second 0

    def weighted_s(self, times_s: Times, offset_h: float) -> Times:
        """The curve's integral from 0 to each time, in a zone `offset_h` ahead."""
        shift_s = self._shift_s(offset_h)
        return self._integral(times_s + shift_s) - self._integral(np.array([shift_s]))

    def times_s(self, weighted_s: Times, offset_h: float) -> Times:
        """The inverse of `weighted_s`."""
        edges_s, sums = self._cells
        shift_s = self._shift_s(offset_h)
        days, rest = np.divmod(weighted_s + self._integral(np.array([shift_s])), self.day_s)
        return days * self.day_s + np.interp(rest, sums, edges_s) - shift_s

    def _shift_s(self, offset_h: float) -> float:
        return (self.start_hour + offset_h) / HOURS * self.day_s

    def _integral(self, local_s: Times) -> Times:
        edges_s, sums = self._cells
        days, rest = np.divmod(local_s, self.day_s)
        return days * self.day_s + np.interp(rest, edges_s, sums)

    @cached_property
    def _cells(self) -> tuple[Times, Times]:
        """The edges of a day's cells, and the integral at each; both end at `day_s`."""
        count = HOURS * _CELLS_AN_HOUR
        hours = (np.arange(count) + 0.5) / _CELLS_AN_HOUR
        levels = np.interp(hours, np.arange(HOURS) + 0.5, self.weights, period=HOURS)
        edges_s = np.linspace(0, self.day_s, count + 1)
        sums = np.concatenate([[0.0], np.cumsum(levels)]) / levels.sum() * self.day_s
        return edges_s, sums
