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
    times = Counter(one.item_id for one in found)
    wrong = [
        f"{one.item_id}: {one.outcome}, not {expected.get(one.item_id, 'published')}"
        for one in found
        if expected.get(one.item_id) != one.outcome
    ]
    problems = _listed("without an outcome", [one for one in expected if one not in times])
    problems += _listed("with two outcomes", [one for one, count in times.items() if count > 1])
    problems += _listed("with another outcome than expected", wrong)
    latencies = sorted(
        one.latency_s for one in found if one.latency_s is not None and one.item_id not in warm_up
    )
    p95_s = latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else None
    if p95_s is None or p95_s > limit_s:
        said = "there is no prediction" if p95_s is None else f"p95 is {p95_s:.2f} s"
        problems.append(f"{said}, and the limit is {limit_s:g} s from publish to prediction")
    return Verdict(
        published=len(expected),
        outcomes=dict(Counter(one.outcome for one in found)),
        p95_s=p95_s,
        limit_s=limit_s,
        problems=problems,
    )


def _listed(what: str, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return [f"{len(ids)} {what}: {', '.join(sorted(ids)[:SHOWN_IDS])}{more}"]
