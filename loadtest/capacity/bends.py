"""Where the design bends on the way to a million messages a second. Pure arithmetic.

Each limit is what an item needs of something, and how much of it there is at first: it bends at
the one divided by the other. docs/capacity.md shows the table and says what changes there, and a
test holds the two together.
"""

import math
from typing import NamedTuple

from loadtest.capacity.bill import MESSAGES_PER_OBJECT, ROW_BYTES
from testudo.local.jobs import DATAFLOW

RATES = (1_000, 10_000, 100_000, 1_000_000)  # items a second
MB = MILLION = 1e6
# Measured: docs/cost.md, and docs/capacity.md for what a process of the generator sends.
CPU_S = 1 / 29  # an item, bundles of two
INLINE_BYTES, BY_URI_BYTES = 49_480, 300
ROWS_PER_APPEND = 15
INLINE_PER_CPU_S = 2_903
JOIN_KEPT_S = 30 + 30  # the join's window, and what may come late
# Of the environment: n2-standard-4 at its hint.
VCPUS, UTILISATION = 4, 0.8
# What there is at first, by Google's pages, which docs/capacity.md names.
PUBLISHED_MB_S, APPENDED_MB_S, WRITES_S, WORKERS = 200, 300, 1_000, 2_000
MOST_KEYS = 100 * MILLION  # assumed: more than this we would not keep unmeasured
DOUBLING_MIN = 20  # of the writes to a bucket


class Bend(NamedTuple):
    """What an item a second needs of something, and how much of it there is at first."""

    what: str
    per_item: float
    limit: float  # infinite where only the bill limits

    @property
    def rate(self) -> float:
        """Items a second at which the limit is reached."""
        return self.limit / self.per_item

    def cells(self) -> list[str]:
        """Its row of the table: at each of RATES, and where it bends."""
        values = [*(rate * self.per_item for rate in RATES), self.rate]
        return [self.what, *map(in_words, values)]


BENDS = (
    Bend("messages with images inline, MB/s", INLINE_BYTES / MB, PUBLISHED_MB_S),
    Bend("messages with images by URI, MB/s", BY_URI_BYTES / MB, PUBLISHED_MB_S),
    Bend("cores that publish images inline", 1 / INLINE_PER_CPU_S, math.inf),
    Bend("payload objects/s", 1 / MESSAGES_PER_OBJECT[DATAFLOW], WRITES_S),
    Bend("keys that the join keeps, millions", JOIN_KEPT_S / MILLION, MOST_KEYS / MILLION),
    Bend("append requests/s", 1 / ROWS_PER_APPEND, math.inf),
    Bend("rows, MB/s", ROW_BYTES / MB, APPENDED_MB_S),
    Bend("workers of 4 vCPUs", CPU_S / UTILISATION / VCPUS, WORKERS),
)


def in_order() -> list[Bend]:
    """The lowest rate first."""
    return sorted(BENDS, key=lambda bend: bend.rate)


def prefix_digits(objects_s: float) -> int:
    """Hexadecimal digits that names must begin with, so that so many writes a second spread."""
    return max(math.ceil(math.log(objects_s / WRITES_S, 16) - 1e-9), 0)


def ramp_min(objects_s: float) -> float:
    """Minutes in which the writes of a bucket should grow to so many."""
    return DOUBLING_MIN * max(math.log2(objects_s / WRITES_S), 0.0)


def in_words(value: float) -> str:
    """Two digits, or whole thousands."""
    if math.isinf(value):
        return "by its price"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}"
