"""Probes of the knee: what a result says of its rate, and the file of all of them."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from loadtest.measuring.search import CONFIDENCE, Probe, estimate
from loadtest.records import Amount, Bound, Positive
from loadtest.results import Result, Settings

KNEE = "knee.json"
NEAR = 3  # failed probes next to the knee, which say what is at its limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One probe; `holds` is None where the result proves neither."""

    rate: Amount  # offered
    achieved: Amount
    p95_s: Bound
    holds: bool | None
    problems: Sequence[str]
    saturated: str = ""
    result: str = ""  # its folder's name


def judge(result: Result, goal_p95_s: float) -> Judged:
    """Hold a result against the goal.

    It holds if nothing is wrong with it, p95 is within the goal, and fewer items waited at
    the end of the sending than the rate brings in the goal's time. It fails if p95 is past
    the goal by more than a late generator and rare polls can explain, whatever else is
    wrong: a machine that is full makes the generator late too.
    """
    settings, last = result.settings, round(result.settings.duration_s) - 1
    waiting = result.seconds[min(last, len(result.seconds) - 1)].waiting if result.seconds else 0
    within = result.latency.p95_s <= goal_p95_s and waiting < settings.rate * goal_p95_s
    own_s = result.sent.lag_max_s + result.poll_every_s
    outcomes_wrong = result.lost or result.unexpected or result.sent.refused
    holds: bool | None = None
    if result.valid:
        holds = within
    elif not outcomes_wrong and result.latency.p95_s - own_s > goal_p95_s:
        holds = False
    return Judged(
        rate=settings.rate,
        achieved=result.throughput,
        p95_s=result.latency.p95_s,
        holds=holds,
        saturated=result.saturated,
        problems=list(result.problems),
        result=result.name,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knee:
    """What knee.json holds.

    `knee`, `low` and `high` are None where no probe failed, or none held. `stopped` says why
    the search ended before it had enough; empty where it did not.
    """

    goal_p95_s: Positive
    probes: Sequence[Judged]
    knee: Amount | None
    low: Amount | None
    high: Amount | None
    saturated: str
    processes: int
    images: str
    profile: str = ""
    stopped: str = ""
    percent: float = 95
    confidence: float = CONFIDENCE


def knee_of(
    probes: Sequence[Judged], goal_p95_s: float, settings: Settings, *, stopped: str
) -> Knee:
    """What the probes until now say."""
    found = estimate(
        [Probe(probe.rate, probe.holds) for probe in probes if probe.holds is not None]
    )
    return Knee(
        goal_p95_s=goal_p95_s,
        probes=list(probes),
        knee=found and found.knee,
        low=found and found.low,
        high=found and found.high,
        saturated=saturated_near(probes, found.knee) if found else "",
        stopped=stopped,
        profile=settings.profile,
        processes=settings.processes,
        images=settings.images,
    )


def saturated_near(probes: Sequence[Judged], knee: float) -> str:
    """What the failed probes next to the knee name most, as the nearest of those says it."""
    failed = sorted(
        (abs(probe.rate - knee), probe.saturated) for probe in probes if probe.holds is False
    )[:NEAR]
    parts = [part for _, words in failed for part in words.split("; ") if part]
    counts = Counter(_subject(part) for part in parts)
    named: dict[str, str] = {}
    for part in parts:
        if 2 * counts[_subject(part)] > len(failed):
            named.setdefault(_subject(part), part)
    return "; ".join(named.values())


def _subject(part: str) -> str:
    """Two sayings with other numbers are one: their words up to the first."""
    return " ".join(part.split()[:2])
