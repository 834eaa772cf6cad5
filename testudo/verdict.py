"""What a smoke test says of the outcomes that it found: all that is wrong with them."""

import dataclasses
import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

PREDICTED = "predicted"
SHOWN_IDS = 5


class Outcome(NamedTuple):
    item_id: str
    outcome: str  # PREDICTED, or a reason
    latency_s: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a smoke test found; it passed when `problems` is empty."""

    published: int
    outcomes: Mapping[str, int]
    p95_s: float | None
    limit_s: float
    problems: Sequence[str]


def verdict(
    expected: Mapping[str, str],
    warm_up: Container[str],
    found: Sequence[Outcome],
    limit_s: float,
) -> Verdict:
    """Hold outcomes against `expected`, which has PREDICTED or a reason for each item id.

    The latency is that of predictions whose ids are not in `warm_up`.
    """
    times = Counter(outcome.item_id for outcome in found)
    wrong = [
        f"{outcome.item_id}: {outcome.outcome}, not {expected.get(outcome.item_id, 'published')}"
        for outcome in found
        if expected.get(outcome.item_id) != outcome.outcome
    ]
    problems = _listed("without an outcome", [item for item in expected if item not in times])
    problems += _listed("with two outcomes", [item for item, count in times.items() if count > 1])
    problems += _listed("with another outcome than expected", wrong)
    latencies = sorted(
        outcome.latency_s
        for outcome in found
        if outcome.latency_s is not None and outcome.item_id not in warm_up
    )
    p95_s = latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else None
    if p95_s is None or p95_s > limit_s:
        said = "there is no prediction" if p95_s is None else f"p95 is {p95_s:.2f} s"
        problems.append(f"{said}, and the limit is {limit_s:g} s from publish to prediction")
    return Verdict(
        published=len(expected),
        outcomes=dict(Counter(outcome.outcome for outcome in found)),
        p95_s=p95_s,
        limit_s=limit_s,
        problems=problems,
    )


def _listed(what: str, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return [f"{len(ids)} {what}: {', '.join(sorted(ids)[:SHOWN_IDS])}{more}"]
