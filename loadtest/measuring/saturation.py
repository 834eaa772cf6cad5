"""What was at its limit in a run, in words. Rules of thumb, each with its threshold here."""

from collections.abc import Mapping

import pyarrow as pa

from loadtest.measuring.shares import Shares
from loadtest.measuring.usage import OTHER, WORKER
from loadtest.results import Latency, Sent

FULL = 0.9  # of a core, or of all cores, for ten seconds
IDLE = 0.5
LARGEST = 4  # consumers that are named
SLOW_SINK_S = 2.0  # at the 95th percentile, from scored to seen
SLOW_SOURCE_S = 1.0  # at the 95th percentile, from due to parsed
GROWN, GROWN_BYTES = 1.3, 300e6  # of the job's memory, its last third against its first
OTHERS_CORES = 0.3  # that other programs may use before they are named
MANY_CORES = ("engine", "pubsub", "bigquery", "storage", OTHER)  # one core is no limit of theirs


def saturated(
    shares: Shares | None,
    samples: pa.Table | None,
    stages: Mapping[str, Latency],
    sent: Sent,
    *,
    cores: int,
    poll_every_s: float,
) -> str:
    """Everything that was at its limit; empty where nothing was.

    A row is seen at the next poll only, so that much does not count as the sink's.
    """
    found = []
    if not sent.kept_up:
        found.append(f"the generator was {sent.lag_p99_s * 1000:.0f} ms late (99th percentile)")
    store = stages["store"]
    if store.items and store.p95_s > SLOW_SINK_S + poll_every_s:
        found.append(f"rows took {store.p95_s:.1f} s from scored to seen in BigQuery (p95)")
    if shares is not None and samples is not None:
        found += _of_processes(shares, cores)
        if shares.busiest_cores() < FULL * cores:  # else workers may wait for a core
            found += _of_source(shares, stages["wait"])
        found += _of_memory(samples)
    return "; ".join(found)


def _of_processes(shares: Shares, cores: int) -> list[str]:
    found = [
        f"{role} used {use.busiest_share:.0%} of a core, one process can hardly use more"
        for role, use in shares.uses().items()
        if role not in MANY_CORES and use.busiest_share >= FULL
    ]
    used = shares.mean_cores()
    busy = sum(used.values())
    if busy >= FULL * cores:
        largest = sorted(used.items(), key=_second, reverse=True)[:LARGEST]
        named = ", ".join(f"{role} {cores_used:.0%}" for role, cores_used in largest)
        which = f"all {cores} cores were" if cores > 1 else "the core was"
        found.append(f"{which} busy ({busy / cores:.0%}); of a core: {named}")
    elif used.get(OTHER, 0.0) >= OTHERS_CORES:
        found.append(f"other programs used {used[OTHER]:.0%} of a core")
    return found


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def _of_source(shares: Shares, wait: Latency) -> list[str]:
    workers = [use.busiest_share for role, use in shares.uses().items() if role.startswith(WORKER)]
    if not workers or max(workers) > IDLE or not wait.items or wait.p95_s <= SLOW_SOURCE_S:
        return []
    return [f"messages waited {wait.p95_s:.1f} s in Pub/Sub (p95) for workers that were not busy"]


def _of_memory(samples: pa.Table) -> list[str]:
    """Whether workers and models hold much more memory at the end than at the beginning."""
    at_s = samples["at_s"].to_numpy()
    begin_s, third_s = at_s.min(), (at_s.max() - at_s.min()) / 3
    held: dict[float, float] = {}
    for moment_s, role, rss in zip(
        at_s.tolist(), samples["role"].to_pylist(), samples["rss_bytes"].to_pylist(), strict=True
    ):
        if role.startswith(WORKER) or role.endswith("-models") or role == "engine":
            held[moment_s] = held.get(moment_s, 0.0) + rss
    first = [rss for at_s, rss in held.items() if at_s <= begin_s + third_s]
    last = [rss for at_s, rss in held.items() if at_s >= begin_s + 2 * third_s]
    if not first or not last:
        return []
    before, after = sum(first) / len(first), sum(last) / len(last)
    if after < GROWN * before or after - before < GROWN_BYTES:
        return []
    return [f"the job's memory grew from {before / 1e6:,.0f} to {after / 1e6:,.0f} MB"]
