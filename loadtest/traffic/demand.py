"""How many messages customers send, and when: rates as stretches of time, added up.

Every customer has a base stretch, from when it joined to the end. A burst, or a
tenant that goes wild, is one more stretch of the same customer on top. In each of
them the rate follows the day of the customer's time zone. So what is offered at a
moment is a sum, and arrivals are independent Poisson processes, a stretch each.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtest.traffic.day import Day, Times

_BURSTS_STREAM = 0  # of the seed; the schedule draws from others

Numbers = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeZone:
    offset_h: float  # ahead of the first hour of `day`
    share: float  # of the customers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bursts:
    """Each customer's own, at random moments."""

    a_day: float  # a customer, on average
    length_s: float  # the mean of exponentially distributed ones
    factor: float  # the customer's rate meanwhile, in times of its usual one


@dataclasses.dataclass(frozen=True, kw_only=True)
class Onboarding:
    """From `start_customers` to all of them, by the same factor each wave."""

    start_customers: int
    waves: int
    over_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wild:
    """A customer that sends `factor` times as much for a while."""

    tenant: int  # by size: 1 is the largest
    from_s: float
    length_s: float
    factor: float


class Stretches(NamedTuple):
    """Rows of the same length: who sends how much more, from when to when."""

    tenant: Numbers  # from 0
    zone: Numbers  # of the demand's time zones
    start_s: Times
    end_s: Times
    rate: Times  # messages a second where the day's curve is 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demand:
    """Who sends how much, and when."""

    customers: int
    rate_a_customer: float  # messages a second, mean of all customers and a day; no bursts
    zipf: float = 0.0  # the n-th customer has a share of n ** -zipf; 0: all the same
    day: Sequence[float] = (1.0,) * 24  # relative weights of its hours
    day_s: float = 86400.0
    start_hour: float = 0.0
    time_zones: Sequence[TimeZone] = (TimeZone(offset_h=0, share=1),)
    bursts: Bursts | None = None
    onboarding: Onboarding | None = None
    wild: Sequence[Wild] = ()

    @cached_property
    def curve(self) -> Day:
        return Day(weights=tuple(self.day), day_s=self.day_s, start_hour=self.start_hour)

    def offered(
        self, step_s: float, duration_s: float, *, customers: int | None = None, seed: int
    ) -> Times:
        """Mean messages a second of all customers in each step, (steps,).

        The last step is a shorter one where `duration_s` is no multiple. Copies count.
        """
        edges_s = np.minimum(np.arange(np.ceil(duration_s / step_s) + 1) * step_s, duration_s)
        stretches = self.stretches(duration_s, customers=customers, seed=seed)
        return np.diff(self.expected(stretches, edges_s)) / np.diff(edges_s)

    def stretches(self, duration_s: float, *, customers: int | None, seed: int) -> Stretches:
        """Everybody's stretches; a wild tenant changes nothing in those of the others."""
        random = np.random.default_rng((seed, _BURSTS_STREAM))
        count = self.customers if customers is None else customers
        sizes = np.arange(1, count + 1) ** -self.zipf
        rate = self.rate_a_customer * count * sizes / sizes.sum()
        shares = np.array([time_zone.share for time_zone in self.time_zones])
        zone = random.choice(len(shares), count, p=shares / shares.sum())
        joined_s = np.minimum(self._joined_s(count, random), duration_s)
        parts = [(np.arange(count), joined_s, np.full(count, duration_s), np.ones(count))]
        if self.bursts:
            parts.append(_bursts(self.bursts, self.day_s, joined_s, duration_s, random))
        for wild in self.wild:
            tenant, start_s = np.array([wild.tenant - 1]), np.array([wild.from_s])
            parts.append((tenant, start_s, start_s + wild.length_s, np.array([wild.factor - 1])))
        tenant, start_s, end_s, more = map(np.concatenate, zip(*parts, strict=True))
        start_s = np.clip(start_s, joined_s[tenant], duration_s)
        end_s = np.clip(end_s, start_s, duration_s)
        return Stretches(tenant, zone[tenant], start_s, end_s, rate[tenant] * more)

    def expected(self, stretches: Stretches, times_s: Times) -> Times:
        """How many messages should have come by each of these times, which ascend."""
        total = np.zeros(len(times_s))
        for rows, offset_h in self.by_zone(stretches):
            moments_s = np.concatenate([stretches.start_s[rows], stretches.end_s[rows]])
            changes = np.concatenate([stretches.rate[rows], -stretches.rate[rows]])
            order = np.argsort(moments_s, kind="stable")
            levels = np.concatenate([[0.0], np.cumsum(changes[order])])
            points_s = np.sort(np.concatenate([times_s, moments_s]))
            level = levels[np.searchsorted(moments_s[order], points_s[:-1], "right")]
            steps = level * np.diff(self.curve.weighted_s(points_s, offset_h))
            sums = np.concatenate([[0.0], np.cumsum(steps)])
            total += sums[np.searchsorted(points_s, times_s)]
        return total

    def by_zone(self, stretches: Stretches) -> Iterator[tuple[Numbers, float]]:
        """The rows of each time zone that has some, and its offset in hours."""
        for number, zone in enumerate(self.time_zones):
            rows = np.flatnonzero(stretches.zone == number)
            if len(rows):
                yield rows, zone.offset_h

    def _joined_s(self, count: int, random: np.random.Generator) -> Times:
        """When each customer joins; which of them are first is chance."""
        if self.onboarding is None or self.onboarding.start_customers >= count:
            return np.zeros(count)
        first, waves = self.onboarding.start_customers, self.onboarding.waves
        growth = (count / first) ** (np.arange(waves + 1) / waves)
        there = np.round(first * growth)  # after each wave
        wave = np.searchsorted(there, np.arange(count), "right")
        return random.permutation(wave / waves * self.onboarding.over_s)


def _bursts(
    bursts: Bursts, day_s: float, joined_s: Times, end_s: float, random: np.random.Generator
) -> tuple[Numbers, Times, Times, Times]:
    """Tenant, start, end and what is added of all bursts, in times of the usual rate."""
    counts = random.poisson(bursts.a_day * (end_s - joined_s) / day_s)
    tenant = np.repeat(np.arange(len(counts)), counts)
    start_s = random.uniform(joined_s[tenant], end_s)
    length_s = random.exponential(bursts.length_s, len(tenant))
    return tenant, start_s, start_s + length_s, np.full(len(tenant), bursts.factor - 1)
