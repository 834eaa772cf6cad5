"""Percentiles of latencies, and their histogram: exact here, and kept to three digits there."""

import math
import zlib

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from loadtest.results import Latency

Seconds = NDArray[np.float64]
LARGEST_US = 24 * 3600 * 1_000_000
DIGITS = 3
RANK_ERROR = 1e-9  # 99.9 % of 20,000 are 19,980.000000000004 as floats go
PERCENTILES = {"p50_s": 50.0, "p90_s": 90.0, "p95_s": 95.0, "p99_s": 99.0, "p999_s": 99.9}
# What the library lets through, of its own and of base64 (a ValueError), zlib and its C part.
UNREADABLE = (
    HdrCookieException,
    HdrLengthException,
    ValueError,
    IndexError,
    RuntimeError,
    zlib.error,
)
NONE = Latency(items=0, mean_s=0, p50_s=0, p90_s=0, p95_s=0, p99_s=0, p999_s=0, max_s=0)


def percentile_s(values_s: Seconds, percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    rank = math.ceil(percent * len(values_s) / 100 - RANK_ERROR)
    place = max(rank, 1) - 1
    return float(np.partition(values_s, place)[place])


def latency_of(values_s: Seconds) -> Latency:
    """Of the values that are numbers; NaN stands for what was not measured."""
    known = values_s[~np.isnan(values_s)]
    if not len(known):
        return NONE
    return Latency(
        items=len(known),
        mean_s=float(known.mean()),
        max_s=float(known.max()),
        **{name: percentile_s(known, percent) for name, percent in PERCENTILES.items()},
    )


def encode_histogram(values_s: Seconds) -> str:
    """HdrHistogram's V2 encoding in base64, of microseconds: 1 to a day, three digits."""
    histogram = HdrHistogram(1, LARGEST_US, DIGITS)
    known = values_s[~np.isnan(values_s)]
    whole_us = np.clip(np.rint(known * 1e6), 1, LARGEST_US).astype(np.int64)
    for value_us, count in zip(*np.unique(whole_us, return_counts=True), strict=True):
        histogram.record_value(int(value_us), int(count))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def decode_histogram(text: str) -> HdrHistogram:
    """Of microseconds. Raises ValueError for what is no such histogram."""
    try:
        return HdrHistogram.decode(text)
    except UNREADABLE as error:
        raise ValueError("/histogram: is not an HdrHistogram (V2, base64)") from error
