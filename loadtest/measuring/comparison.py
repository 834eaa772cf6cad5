"""Two results beside each other, and whether the difference of their p95 is more than chance."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from loadtest.measuring.items import latencies_of
from loadtest.measuring.latencies import Seconds, decode_histogram, percentile_s
from loadtest.results import Latency, Result

BLOCKS = 20  # neighbours in time share a backlog: whole stretches are drawn, not items
DRAWS = 1000
CONFIDENCE = 0.95
WORST_TENANTS = 5
LEAST_ITEMS = 20  # of a tenant, in both, for its p95 to be compared
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One figure of both."""

    what: str
    before: float
    after: float

    @property
    def percent(self) -> float | None:
        """None where there is nothing to be a percentage of."""
        return 100 * (self.after / self.before - 1) if self.before else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """`b` against `a`."""

    names: tuple[str, str]
    figures: Sequence[Change]
    percentiles: Sequence[Change]  # of the histograms, in seconds
    tenants: Sequence[Change]  # p95 of those that lost most
    p95_change_s: tuple[float, float, float]  # low, middle, high of 95 % of the draws
    beyond_noise: bool
    warnings: Sequence[str]


def compare(a: Result, b: Result, items_a: pa.Table, items_b: pa.Table) -> Comparison:
    """Raises ValueError where a result has no histogram."""
    change_s = p95_change_s(latencies_of(items_a), latencies_of(items_b))
    return Comparison(
        names=(a.name, b.name),
        figures=_figures(a, b),
        percentiles=_percentiles(a, b),
        tenants=_worst(a.tenants, b.tenants),
        p95_change_s=change_s,
        beyond_noise=change_s[0] > 0 or change_s[2] < 0,
        warnings=[*_invalid(a), *_invalid(b), *_other_settings(a, b)],
    )


def p95_change_s(before_s: Seconds, after_s: Seconds) -> tuple[float, float, float]:
    """How much longer p95 is, by a bootstrap over stretches of each run: low, middle, high."""
    if not len(before_s) or not len(after_s):
        return (0.0, 0.0, 0.0)
    chance = np.random.default_rng(1)
    draws = _drawn_p95(after_s, chance) - _drawn_p95(before_s, chance)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), percentile_s(after_s, 95) - percentile_s(before_s, 95), float(high)


def _drawn_p95(taken_s: Seconds, chance: np.random.Generator) -> Seconds:
    blocks = np.array_split(taken_s, min(BLOCKS, len(taken_s)))
    choices = chance.integers(len(blocks), size=(DRAWS, len(blocks)))
    drawn = [np.concatenate([blocks[number] for number in row]) for row in choices]
    return np.array([percentile_s(values, 95) for values in drawn])


def _figures(a: Result, b: Result) -> list[Change]:
    values = {
        "items": (a.items, b.items),
        "throughput, items a second": (a.throughput, b.throughput),
        "lost": (a.lost, b.lost),
        "unexpected": (a.unexpected, b.unexpected),
        "copies removed": (a.copies_removed, b.copies_removed),
    }
    for stage in a.stages.keys() & b.stages.keys():
        values[f"{stage} p95, s"] = (a.stages[stage].p95_s, b.stages[stage].p95_s)
    for role in sorted(a.processes.keys() & b.processes.keys()):
        spent = [1000 * run.processes[role].cpu_s / max(run.items, 1) for run in (a, b)]
        values[f"{role} CPU, ms an item"] = (spent[0], spent[1])
        held = [run.processes[role].peak_bytes / 1e6 for run in (a, b)]
        values[f"{role} memory, MB"] = (held[0], held[1])
    return [
        Change(what=what, before=before, after=after) for what, (before, after) in values.items()
    ]


def _percentiles(a: Result, b: Result) -> list[Change]:
    before, after = decode_histogram(a.histogram), decode_histogram(b.histogram)
    return [
        Change(
            what=f"p{percent:g}",
            before=before.get_value_at_percentile(percent) / 1e6,
            after=after.get_value_at_percentile(percent) / 1e6,
        )
        for percent in PERCENTILES
    ]


def _worst(before: Mapping[str, Latency], after: Mapping[str, Latency]) -> list[Change]:
    both = [
        Change(what=tenant, before=before[tenant].p95_s, after=after[tenant].p95_s)
        for tenant in sorted(before.keys() & after.keys())
        if min(before[tenant].items, after[tenant].items) >= LEAST_ITEMS
    ]
    return sorted(both, key=_gain_s)[:WORST_TENANTS]


def _gain_s(change: Change) -> float:
    return change.before - change.after


def _invalid(result: Result) -> list[str]:
    return [f"{result.name} proves nothing: {problem}" for problem in result.problems]


def _other_settings(a: Result, b: Result) -> list[str]:
    """The rate's chance apart: it is drawn from the seed."""
    before, after = dataclasses.asdict(a.settings), dataclasses.asdict(b.settings)
    return [
        f"the runs differ in {name}: {before[name]} and {after[name]}"
        for name in before
        if before[name] != after[name]
    ]
