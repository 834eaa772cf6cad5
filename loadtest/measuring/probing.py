"""Probes of the knee: what a result says of its rate, and the file of all of them."""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.measuring.search import CONFIDENCE, Probe, estimate
from loadtest.results import Result, Settings

KNEE = "knee.json"
NEAR = 3  # failed probes next to the knee, which say what is at its limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One probe; `holds` is None where the result proves neither."""

    rate: float  # offered
    achieved: float
    p95_s: float
    holds: bool | None
    saturated: str
    problems: Sequence[str]
    result: str  # its folder's name


def judge(result: Result, goal_p95_s: float) -> Judged:
    """Hold a result against the goal.

    It holds if nothing is wrong with it, p95 is within the goal, and fewer items waited at
    the end of the sending than the rate brings in the goal's time. It fails if p95 is past
    the goal by more than a late generator and rare looks can explain, whatever else is
    wrong: a machine that is full makes the generator late too.
    """
    settings, last = result.settings, round(result.settings.duration_s) - 1
    waiting = result.seconds[min(last, len(result.seconds) - 1)].waiting if result.seconds else 0
    within = result.latency.p95_s <= goal_p95_s and waiting < settings.rate * goal_p95_s
    own_s = result.sent.lag_max_s + result.look_every_s
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


def report_of(
    probes: Sequence[Judged], goal_p95_s: float, settings: Settings, *, stopped: str
) -> dict[str, Any]:
    """What knee.json holds; `knee`, `low` and `high` are null where no probe failed, or none held.

    `stopped` says why the search ended before it had enough; empty where it did not.
    """
    known = [Probe(one.rate, one.holds) for one in probes if one.holds is not None]
    found = estimate(known)
    return {
        "goal_p95_s": goal_p95_s,
        "percent": 95,
        "probes": [dataclasses.asdict(one) for one in probes],
        "knee": found and found.knee,
        "low": found and found.low,
        "high": found and found.high,
        "confidence": CONFIDENCE,
        "saturated": saturated_near(probes, found.knee) if found else "",
        "stopped": stopped,
        "profile": settings.profile,
        "processes": settings.processes,
        "images": settings.images,
    }


def saturated_near(probes: Sequence[Judged], knee: float) -> str:
    """What the failed probes next to the knee name most, as the nearest of those says it."""
    failed = sorted((abs(one.rate - knee), one.saturated) for one in probes if one.holds is False)[
        :NEAR
    ]
    parts = [part for _, said in failed for part in said.split("; ") if part]
    counts = Counter(_subject(part) for part in parts)
    named: dict[str, str] = {}
    for part in parts:
        if 2 * counts[_subject(part)] > len(failed):
            named.setdefault(_subject(part), part)
    return "; ".join(named.values())


def _subject(part: str) -> str:
    """Two sayings with other numbers are one: their words up to the first."""
    return " ".join(part.split()[:2])


def save(report: dict[str, Any], folder: Path) -> None:
    (folder / KNEE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
