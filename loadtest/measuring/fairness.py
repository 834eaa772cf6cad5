"""What a tenant that goes wild does to the others, in runs with it and without, or with quotas."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadtest.measuring.items import is_item
from loadtest.measuring.latencies import latency_of
from loadtest.results import Latency, Result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shares:
    """The latencies of one run; `wild` is None where nobody went wild."""

    name: str
    others: Latency
    wild: Latency | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fairness:
    """Runs of the same traffic, the others' items the same to the byte in each."""

    wild: Sequence[str]  # tenants
    runs: Sequence[Shares]  # those without the wild tenants first


def same_traffic(result: Result) -> tuple[object, ...]:
    """Equal for runs that differ in wild tenants, quotas and processes alone."""
    settings = result.settings
    return (settings.profile, settings.seed, settings.duration_s, settings.customers)


def fairness_of(runs: Sequence[tuple[Result, pa.Table]]) -> Fairness | None:
    """None where no tenant went wild in any of the runs."""
    wild = sorted({tenant for result, _ in runs for tenant in result.settings.wild})
    if not wild:
        return None
    calm_first = sorted(runs, key=_has_wild)
    return Fairness(wild=wild, runs=[_shares(result, items, wild) for result, items in calm_first])


def _has_wild(run: tuple[Result, pa.Table]) -> bool:
    return bool(run[0].settings.wild)


def _shares(result: Result, items: pa.Table, wild: Sequence[str]) -> Shares:
    """Copies have no latency of their own, and a lost item has none."""
    its = items.filter(is_item(items))
    taken_s = pc.subtract(its["seen_s"], its["due_s"]).to_numpy()
    of_wild = np.isin(np.array(its["tenant"].to_pylist()), wild)
    return Shares(
        name=result.name,
        others=latency_of(taken_s[~of_wild]),
        wild=latency_of(taken_s[of_wild]) if result.settings.wild else None,
    )
