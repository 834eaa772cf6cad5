"""Least squares as the calibration needs it: nothing costs less than nothing, errors are relative.

A run at ten times the rate has ten times the CPU seconds and about ten times
the error in them, so every row is weighed by one over its value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from loadtest.records import Bound

CONFIDENCE = 0.95
LEAST_SPREAD = 0.03  # runs that agree better agree by chance: clocks and ticks are coarser


class Interval(NamedTuple):
    """A value with the ends of its 95 % interval."""

    low: Bound
    mid: Bound
    high: Bound

    def text(self, form: str) -> str:
        """The middle, and the ends in brackets."""
        return f"{self.mid:{form}} ({self.low:{form}} to {self.high:{form}})"


class Fit(NamedTuple):
    """Coefficients that are 0 or more, and how far a further run may be off, as a share of it."""

    coefficients: tuple[float, ...]
    spread: float  # half the width of the 95 % interval


def fit_shares(columns: Sequence[Sequence[float]], values: Sequence[float]) -> Fit:
    """Fit values = sum of coefficient * column, the squares of *relative* errors being least.

    Values must be above 0. Raises ValueError where there are no more rows than columns.
    """
    measured = np.asarray(values, dtype=float)
    matrix = np.column_stack([np.asarray(column, dtype=float) for column in columns])
    found, _ = optimize.nnls(matrix / measured[:, None], np.ones(len(measured)))
    return Fit(tuple(map(float, found)), spread_of(matrix @ found, measured, matrix.shape[1]))


def spread_of(
    fitted: Sequence[float] | np.ndarray, measured: Sequence[float] | np.ndarray, used: int
) -> float:
    """The relative half width of the 95 % interval of a further run; `used` values were fitted.

    Student's t, with the error of the fit itself as the square root of 1 + used / runs.
    """
    errors = np.asarray(fitted, dtype=float) / np.asarray(measured, dtype=float) - 1.0
    free = len(errors) - used
    if free < 1:
        raise ValueError(f"{len(errors)} runs are too few to fit {used} values")
    deviation = float(np.sqrt(np.sum(errors**2) / free))
    quantile = float(
        special.stdtrit(free, (1 + CONFIDENCE) / 2)
    )  # scipy.stats takes two seconds to import
    return max(quantile * deviation * float(np.sqrt(1 + used / len(errors))), LEAST_SPREAD)
