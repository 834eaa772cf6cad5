"""A schedule: every message of a run, and when it is due, made before the run begins.

Seeded: the same profile, duration, seed, rate and customers give the same schedule
to the bit. A profile with a wild tenant gives all messages of the others unchanged.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from loadtest.traffic.day import Times
from loadtest.traffic.demand import Numbers, Stretches
from loadtest.traffic.kinds import Kind
from loadtest.traffic.profile import BadProfile, Profile

__all__ = ["Kind", "Schedule", "make_schedule"]

MAX_MESSAGES = 20_000_000  # about 500 MB
_COUNTS, _MOMENTS, _KINDS, _COPIES, _DELAYS = 1, 2, 3, 4, 5  # streams of the seed


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Rows of n messages in the order in which they are due."""

    due_s: Times  # float64, from the start of the run
    tenant: NDArray[np.int32]  # number in `tenants`
    kind: NDArray[np.int16]  # number in `kinds`
    original: NDArray[np.int32]  # its own number, or that of the message that it copies
    tenants: tuple[str, ...]
    kinds: tuple[Kind, ...]
    profile: str
    seed: int
    duration_s: float
    wild: tuple[str, ...] = ()  # tenants that send more than their share for a while

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        return self.original != np.arange(len(self.original))


def tenant_name(number: int) -> str:
    """The name of a customer; 0 is the largest, `tenant-0001`."""
    return f"tenant-{number + 1:04d}"


def make_schedule(
    profile: Profile,
    *,
    duration_s: float,
    seed: int,
    rate: float | None = None,
    customers: int | None = None,
) -> Schedule:
    """Draw the messages of a profile. With `rate` its demand is scaled to this mean.

    Raises BadProfile where the profile cannot give that.
    """
    count = profile.customers if customers is None else customers
    _check(profile, duration_s, rate, count)
    stretches = profile.stretches(duration_s, customers=count, seed=seed)
    expected = float(profile.expected(stretches, np.array([duration_s]))[0])
    wanted = expected if rate is None else rate * duration_s
    if not expected or wanted > MAX_MESSAGES:
        raise BadProfile(
            f"{profile.name}: {wanted if expected else 0:,.0f} messages in {duration_s:g} s; "
            f"1 to {MAX_MESSAGES:,} are possible"
        )
    due_s, tenant = _arrivals(profile, stretches, wanted / expected, seed)
    kinds, shares = profile.kinds
    # A stream for each question, asked in the order of the stretches: whatever a last one
    # adds, the answers of all others stay the same.
    chances = (np.random.default_rng((seed, stream)) for stream in (_KINDS, _COPIES, _DELAYS))
    kinds, shares = profile.kinds
    kind = np.searchsorted(np.cumsum(shares)[:-1], next(chances).random(len(due_s)), "right")
    copied = next(chances).random(len(due_s)) < profile.copies.share
    delay_s = next(chances).exponential(profile.copies.after_s, len(due_s))
    order = np.argsort(due_s, kind="stable")
    due_s, tenant, kind = due_s[order], tenant[order], kind[order]
    original = _originals(due_s, tenant, copied[order], delay_s[order])
    return Schedule(
        due_s=due_s,
        tenant=tenant.astype(np.int32),
        kind=kind[original].astype(np.int16),
        original=original.astype(np.int32),
        tenants=tuple(map(tenant_name, range(count))),
        kinds=kinds,
        profile=profile.name,
        seed=seed,
        duration_s=duration_s,
        wild=tuple(sorted({tenant_name(wild.tenant - 1) for wild in profile.wild})),
    )


def _check(profile: Profile, duration_s: float, rate: float | None, customers: int) -> None:
    problems = []
    if not 0 < duration_s < float("inf"):
        problems.append(f"a duration of {duration_s:g} s: it must be more than 0")
    if rate is not None and not 0 < rate < float("inf"):
        problems.append(f"a rate of {rate:g} messages a second: it must be more than 0")
    if customers < 1:
        problems.append(f"{customers} customers: 1 or more are needed")
    problems += [
        f"wild: there is no tenant {wild.tenant} among {customers}"
        for wild in profile.wild
        if wild.tenant > customers
    ]
    if problems:
        raise BadProfile("\n".join(f"{profile.name}: {problem}" for problem in problems))


def _arrivals(
    profile: Profile, stretches: Stretches, scale: float, seed: int
) -> tuple[Times, Numbers]:
    """When messages are due and whose they are, in the order of the stretches.

    A stretch's arrivals are evenly spread over weighted time, and brought to real time by
    the inverse of the day's integral: a Poisson process that follows the day.
    """
    counting, random = (np.random.default_rng((seed, stream)) for stream in (_COUNTS, _MOMENTS))
    first, last = np.zeros(len(stretches.rate)), np.zeros(len(stretches.rate))
    for rows, offset_h in profile.by_zone(stretches):
        first[rows] = profile.curve.weighted_s(stretches.start_s[rows], offset_h)
        last[rows] = profile.curve.weighted_s(stretches.end_s[rows], offset_h)
    counts = counting.poisson(stretches.rate * scale * np.maximum(last - first, 0))
    stretch = np.repeat(np.arange(len(counts)), counts)
    due_s = random.uniform(first[stretch], last[stretch])
    zone = stretches.zone[stretch]
    for number, time_zone in enumerate(profile.time_zones):
        its = zone == number
        due_s[its] = profile.curve.times_s(due_s[its], time_zone.offset_h)
    due_s = np.clip(due_s, stretches.start_s[stretch], stretches.end_s[stretch])
    return due_s, stretches.tenant[stretch]


def _originals(due_s: Times, tenant: Numbers, copied: NDArray[np.bool_], delay_s: Times) -> Numbers:
    """What each message is a copy of: the tenant's latest original, `delay_s` before or earlier.

    A message that has none is an original.
    """
    originals, copies = np.flatnonzero(~copied), np.flatnonzero(copied)
    found = np.arange(len(due_s))
    if not len(originals):
        return found
    apart_s = due_s[-1] + 1.0  # so that tenants lie one after the other on one axis
    places = tenant * apart_s + due_s
    originals = originals[np.argsort(places[originals], kind="stable")]
    latest_s = tenant[copies] * apart_s + np.maximum(due_s[copies] - delay_s[copies], -0.5)
    before = np.searchsorted(places[originals], latest_s, "right") - 1
    source = originals[np.maximum(before, 0)]
    has_one = (before >= 0) & (tenant[source] == tenant[copies])
    found[copies[has_one]] = source[has_one]
    return found
