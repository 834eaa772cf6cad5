"""From the tables of a run to its result."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadtest.measuring.items import LOST, is_item
from loadtest.measuring.latencies import Seconds, encode_histogram, latency_of, percentile_s
from loadtest.measuring.saturation import saturated
from loadtest.measuring.shares import Shares
from loadtest.results import Latency, Result, Second, Sent, Settings

SLOWEST_POLLS_S = 2.0  # or twice what was asked for, where that is more
LATE_SHARE = 0.001  # of the items, that only the last sweep may find
SHOWN = 5
IMAGE_STEPS = ("fetch", "decode", "encode")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run left: its messages, what was sampled, and when it began."""

    name: str
    settings: Settings
    sent: Sent
    items: pa.Table  # loadtest.measuring.items
    samples: pa.Table | None  # loadtest.measuring.usage; None where the job runs elsewhere
    start_s: float  # since 1970
    poll_every_s: float
    asked_poll_every_s: float  # what was to be between polls
    late: int  # items that only the last sweep found
    failure: str = ""  # why Pub/Sub did not take a message


def summarise(run: Measured) -> Result:
    """Every number of a run."""
    its = run.items.filter(is_item(run.items)).sort_by("due_s")
    latency_s = _column(its, "seen_s") - _column(its, "due_s")
    outcomes = Counter(its["outcome"].to_pylist())
    lost = outcomes.pop(LOST, 0)
    due_s = _column(run.items, "due_s") - run.start_s
    seen_s = _column(its, "seen_s") - run.start_s
    ends_s = seen_s[~np.isnan(seen_s)]
    length = max(run.settings.duration_s, float(ends_s.max()) if len(ends_s) else 0.0)
    seconds = int(np.ceil(length))
    shares = None if run.samples is None else Shares(run.samples, run.start_s, seconds)
    stages = _stages(its)
    return Result(
        name=run.name,
        started_at=datetime.fromtimestamp(run.start_s, UTC).isoformat(timespec="milliseconds"),
        settings=run.settings,
        sent=run.sent,
        items=len(its),
        outcomes=dict(outcomes.most_common()),
        lost=lost,
        unexpected=_unexpected(its),
        copies_removed=int(np.maximum(_column(its, "rows") - 1, 0).sum()),
        latency=latency_of(latency_s),
        histogram=encode_histogram(latency_s),
        stages=stages,
        tenants=_by_tenant(its, latency_s),
        processes={} if shares is None else shares.uses(),
        seconds=_series(due_s, _column(its, "due_s") - run.start_s, seen_s, shares, seconds),
        throughput=_throughput(_column(its, "processed_s")),
        poll_every_s=run.poll_every_s,
        saturated=saturated(
            shares,
            run.samples,
            stages,
            run.sent,
            cores=run.settings.cores,
            poll_every_s=run.poll_every_s,
        ),
        problems=_problems(run, its, lost),
    )


def _column(table: pa.Table, name: str) -> Seconds:
    values: Seconds = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _stages(its: pa.Table) -> dict[str, Latency]:
    """Where the time went. `job` is from parsed to scored: what steps take, and all queues."""
    received_s, processed_s = _column(its, "received_s"), _column(its, "processed_s")
    steps_ms = [np.nan_to_num(_column(its, f"{image_step}_ms")) for image_step in IMAGE_STEPS]
    no_image = np.isnan(_column(its, "decode_ms"))
    return {
        "wait": latency_of(received_s - _column(its, "due_s")),
        "image": latency_of(np.where(no_image, np.nan, np.sum(steps_ms, axis=0)) / 1000),
        "text": latency_of(_column(its, "text_ms") / 1000),
        "score": latency_of(_column(its, "score_ms") / 1000),
        "job": latency_of(processed_s - received_s),
        "store": latency_of(_column(its, "seen_s") - processed_s),
    }


def _by_tenant(its: pa.Table, latency_s: Seconds) -> dict[str, Latency]:
    tenants = np.array(its["tenant"].to_pylist(), dtype=object)
    order = np.argsort(tenants, kind="stable")
    names, begins = np.unique(tenants[order].astype(str), return_index=True)
    groups = np.split(latency_s[order], begins[1:])
    return {str(name): latency_of(group) for name, group in zip(names, groups, strict=True)}


def _unexpected(its: pa.Table) -> int:
    """Items with an outcome that their kind should not have, or with two."""
    other = pc.and_(
        pc.not_equal(its["outcome"], LOST), pc.not_equal(its["outcome"], its["expected"])
    )
    return int(pc.sum(pc.or_(other, pc.greater(its["outcomes"], 1))).as_py() or 0)


def _series(
    due_s: Seconds, items_due_s: Seconds, seen_s: Seconds, shares: Shares | None, seconds: int
) -> Sequence[Second]:
    due = _counts(due_s, seconds)
    outcomes = _counts(seen_s, seconds)
    waiting = np.cumsum(_counts(items_due_s, seconds) - outcomes)
    number, latency_s = np.floor(items_due_s), seen_s - items_due_s
    cpu = [dict[str, float]()] * seconds if shares is None else shares.series()
    series = []
    for second in range(seconds):
        its = latency_s[number == second]
        its = its[~np.isnan(its)]
        series.append(
            Second(
                second=second,
                due=int(due[second]),
                outcomes=int(outcomes[second]),
                waiting=int(waiting[second]),
                p50_s=percentile_s(its, 50) if len(its) else None,
                p95_s=percentile_s(its, 95) if len(its) else None,
                cpu_shares=cpu[second],
            )
        )
    return series


def _counts(times_s: Seconds, seconds: int) -> Seconds:
    known = times_s[~np.isnan(times_s)]
    inside = np.clip(known.astype(np.int64), 0, seconds - 1)
    return np.bincount(inside, minlength=seconds).astype(np.float64)


def _throughput(processed_s: Seconds) -> float:
    known = processed_s[~np.isnan(processed_s)]
    took_s = float(np.ptp(known)) if len(known) else 0.0
    return (len(known) - 1) / took_s if took_s else 0.0


def _problems(run: Measured, its: pa.Table, lost: int) -> list[str]:
    found = []
    if not run.sent.kept_up and not run.sent.refused:
        found.append(
            f"the generator did not keep up: {run.sent.lag_p99_s * 1000:.0f} ms late (p99), "
            f"{run.sent.lag_max_s * 1000:.0f} ms at most"
        )
    if run.sent.refused:
        why = f": {run.failure}" if run.failure else ""
        found.append(f"Pub/Sub did not take {run.sent.refused} messages{why}")
    if unsent := run.items.num_rows - run.sent.messages:
        found.append(f"{unsent} messages of the schedule were not sent")
    if lost:
        found.append(f"{lost} items have no outcome")
    if unexpected := _unexpected(its):
        found.append(f"{unexpected} items have another outcome than expected: {_examples(its)}")
    if run.poll_every_s > max(SLOWEST_POLLS_S, 2 * run.asked_poll_every_s):
        found.append(f"the watcher polled only every {run.poll_every_s:.1f} s")
    if run.late > LATE_SHARE * its.num_rows:
        found.append(f"{run.late} items were found by the last sweep only")
    return found


def _examples(its: pa.Table) -> str:
    wrong = its.filter(
        pc.and_(pc.not_equal(its["outcome"], LOST), pc.not_equal(its["outcome"], its["expected"]))
    )
    kinds = Counter(
        f"{kind}: {outcome}, not {expected}"
        for kind, outcome, expected in zip(
            *(wrong[name].to_pylist() for name in ("kind", "outcome", "expected")), strict=True
        )
    )
    return "; ".join(f"{what} ({count})" for what, count in kinds.most_common(SHOWN)) or "two each"
