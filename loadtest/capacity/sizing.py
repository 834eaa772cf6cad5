"""Which limits to set for a number of customers: the cheapest candidate that holds.

First every candidate is simulated with few draws; those that hold the goal are then tried
with many, cheapest first, until one holds there too.
"""

from collections.abc import Callable, Sequence

import numpy as np

from loadtest.capacity.trials import FEW_DRAWS, Demand, Question, Tried, candidates, try_all

MANY_DRAWS = 25
TRIED = 3  # candidates that are tried with many draws before the best of them is taken


def size(
    question: Question,
    demands: Sequence[Demand],
    report: Callable[[str, float], None] = lambda *_: None,
) -> list[Tried]:
    """The best candidate for each demand: the cheapest that holds, else the one that holds most.

    `report` gets what is simulated, and the share of it that is done.
    Raises ValueError when no machine holds a worker with its models.
    """
    pairs = [
        (demand, candidate) for demand in demands for candidate in candidates(question, demand)
    ]
    if not pairs:
        raise ValueError("no machine type has the memory for a worker and its models")
    first = try_all(question, pairs, FEW_DRAWS, lambda done: report("every candidate", done))
    ranked = [
        _ranked([trial for trial in first if trial.demand is demand])[:TRIED] for demand in demands
    ]
    return _confirmed(question, ranked, report)


def _confirmed(
    question: Question,
    ranked: Sequence[Sequence[Tried]],
    report: Callable[[str, float], None],
) -> list[Tried]:
    """Of each demand the first candidate that holds with many draws, else the best of them."""
    confirmed: list[list[Tried]] = [[] for _ in ranked]
    for turn in range(TRIED):
        open_ = [
            (number, ones[turn])
            for number, ones in enumerate(ranked)
            if turn < len(ones) and not any(trial.holds for trial in confirmed[number])
        ]
        if not open_:
            break
        pairs = [(tried.demand, tried.candidate) for _, tried in open_]
        again = try_all(question, pairs, MANY_DRAWS, lambda done: report("the best", done))
        for (number, _), trial in zip(open_, again, strict=True):
            confirmed[number].append(trial)
    return [_ranked(ones)[0] for ones in confirmed]


def _ranked(tried: Sequence[Tried]) -> list[Tried]:
    """Those that hold by price, then the others by how much they hold."""

    def key(one: Tried) -> tuple[bool, float, float]:
        price = float(np.median(one.usd_month))
        return (not one.holds, 0.0 if one.holds else -one.held, price)

    return sorted(tried, key=key)
