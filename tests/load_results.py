"""Results, knees, proofs and plans as the load kit writes them, from seeded chance."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter

from loadtest.capacity.plan import Plan
from loadtest.capacity.proof import Figure, Proof, Row, figure
from loadtest.capacity.regression import Interval
from loadtest.measuring.probing import Judged, Knee
from loadtest.records import write_record
from loadtest.results import ITEMS, Latency, ProcessUse, Result, Second, Sent, Settings

MB = 1_000_000
CORES = 2
CAPACITY = 120.0  # items a second of one process
# CPU seconds an item, and memory, of each role.
ROLES = {
    "worker-1": (0.0042, 410 * MB),
    "image-models": (0.0031, 290 * MB),
    "text-models": (0.0004, 180 * MB),
    "score-models": (0.0003, 170 * MB),
    "engine": (0.0021, 350 * MB),
    "pubsub": (0.0011, 620 * MB),
    "bigquery": (0.0024, 540 * MB),
    "storage": (0.0001, 80 * MB),
    "sender": (0.0009, 120 * MB),
    "watcher": (0.0007, 140 * MB),
}


def latency(values_s: np.ndarray) -> Latency:
    """Percentiles of the values; zeros where there are none."""
    if not len(values_s):
        return Latency(**dict.fromkeys((f.name for f in dataclasses.fields(Latency)), 0))
    p50, p90, p95, p99, p999, most = np.percentile(values_s, (50, 90, 95, 99, 99.9, 100)).tolist()
    return Latency(
        items=len(values_s),
        mean_s=float(values_s.mean()),
        p50_s=p50,
        p90_s=p90,
        p95_s=p95,
        p99_s=p99,
        p999_s=p999,
        max_s=most,
    )


def histogram(values_s: Sequence[float]) -> str:
    """The values as HdrHistogram writes them, in microseconds up to an hour."""
    found = HdrHistogram(1, 3_600_000_000, 3)
    for value_s in values_s:
        found.record_value(int(value_s * 1e6))
    return found.encode().decode()


def result(
    *,
    name: str = "marketplace-30",
    rate: float = 60.0,
    duration_s: int = 120,
    tenants: Sequence[str] = (),
    problems: Sequence[str] = (),
    seed: int = 1,
) -> Result:
    """A run of one process: the nearer to its capacity, the later and the busier."""
    chance = np.random.default_rng(seed)
    names = tenants or [f"tenant-{number:04d}" for number in range(1, 31)]
    due = chance.poisson(rate * (1 + 0.3 * np.sin(np.arange(duration_s) / 15)), duration_s)
    seconds = np.repeat(np.arange(duration_s), due)
    load = np.minimum(due / CAPACITY, 0.97)
    floors_s = 0.55 + 0.12 / (1 - load[seconds])
    late_s = floors_s * (0.8 + chance.gamma(2.0, 0.16, len(seconds)))
    weights = 1 / np.arange(1, len(names) + 1)
    tenant = chance.choice(len(names), len(seconds), p=weights / weights.sum())
    broken = len(seconds) // 50
    return Result(
        name=name,
        started_at="2026-11-24T10:00:00Z",
        settings=Settings(
            profile="marketplace",
            seed=seed,
            duration_s=duration_s,
            rate=rate,
            customers=len(names),
            processes=1,
            cores=CORES,
            images="640x480 JPEG",
        ),
        sent=Sent(
            messages=len(seconds) + 7,
            refused=0,
            seconds=duration_s - 0.2,
            lag_p50_s=0.0006,
            lag_p99_s=0.011,
            lag_max_s=0.06,
            cpu_s=0.0009 * len(seconds),
            kept_up=not problems,
        ),
        items=len(seconds),
        outcomes={
            "predicted": len(seconds) - broken,
            "image_unreadable": broken - broken // 3,
            "too_large": broken // 3,
        },
        lost=0,
        unexpected=0,
        copies_removed=7,
        latency=latency(late_s),
        histogram=histogram(late_s.tolist()),
        stages={
            "wait": latency(late_s * 0.31),
            "image": latency(late_s * 0.22),
            "text": latency(late_s * 0.04),
            "score": latency(late_s * 0.05),
            "store": latency(late_s * 0.38),
        },
        tenants={one: latency(late_s[tenant == index]) for index, one in enumerate(names)},
        processes={
            role: ProcessUse(
                processes=1,
                cpu_s=cost_s * len(seconds),
                busiest_share=min(0.99, cost_s * rate * 1.4),
                peak_bytes=memory,
            )
            for role, (cost_s, memory) in ROLES.items()
        },
        seconds=[
            _second(number, int(due[number]), seconds, late_s) for number in range(duration_s)
        ],
        throughput=rate * 0.99,
        poll_every_s=0.25,
        saturated="worker-1 used 93 % of a core" if rate > 0.7 * CAPACITY else "",
        problems=list(problems),
    )


def _second(number: int, due: int, seconds: np.ndarray, late_s: np.ndarray) -> Second:
    its_own = late_s[seconds == number]
    seen = seconds + late_s
    outcomes = int(((seen >= number) & (seen < number + 1)).sum())
    return Second(
        second=number,
        due=due,
        outcomes=outcomes,
        waiting=int(((seconds <= number) & (seen >= number + 1)).sum()),
        p50_s=float(np.percentile(its_own, 50)) if due else None,
        p95_s=float(np.percentile(its_own, 95)) if due else None,
        cpu_shares={role: min(1.0, cost_s * outcomes) for role, (cost_s, _) in ROLES.items()},
    )


def knee(*, goal_p95_s: float = 2.0, seed: int = 1) -> Knee:
    """A search that went up, halved, and then up and down about 104 items a second."""
    chance = np.random.default_rng(seed)
    rates = [20, 30, 45, 67.5, 101, 152, 126, 114, 107, 101, 107, 102, 106, 103, 105]
    probes = []
    for number, rate in enumerate(rates, start=1):
        p95_s = (0.7 + 0.04 / max(1 - rate / 108, 0.02)) * chance.uniform(0.95, 1.05)
        p95_s += max(0.0, rate - 108) * 0.15
        late = number == 4
        probes.append(
            Judged(
                rate=rate,
                achieved=min(rate, 108.0),
                p95_s=p95_s,
                holds=None if late else p95_s <= goal_p95_s,
                saturated="worker-1 used 96 % of a core" if p95_s > goal_p95_s else "",
                problems=["the sender was late: p99 is 1.2 s"] if late else [],
                result=f"probe-{number:02d}",
            )
        )
    return Knee(
        goal_p95_s=goal_p95_s,
        probes=probes,
        knee=104.2,
        low=101.8,
        high=106.5,
        saturated="worker-1 used 96 % of a core",
        processes=1,
        images="640x480 JPEG",
    )


def _predicted(predicted: float, measured: float, within: float, **more: float) -> Figure:
    return figure(Interval(predicted * 0.92, predicted, predicted * 1.09), measured, within, **more)


def proof(what: str = "1 process, 320x240 PNG") -> Proof:
    """Two configurations predicted well, and a third whose p95 is not."""
    rows = (
        ("2 processes, 640x480 JPEG", (188.0, 196.4), (1.12, 1.21)),
        ("1 process, 1280x960 JPEG", (61.0, 57.8), (1.64, 1.42)),
        (what, (171.0, 163.2), (0.71, 1.09)),
    )
    return Proof(
        calibrated_on="1 process, 640x480 JPEG",
        rows=[
            Row(
                what=what,
                throughput=_predicted(*throughput, 0.15),
                p95_s=_predicted(*p95_s, 0.30, rate=0.7 * throughput[1]),
            )
            for what, throughput, p95_s in rows
        ],
    )


# The wild tenant makes the others wait, and quotas keep it from that.
WAITS = (
    ("without the wild tenant", 0.9, None),
    ("with it", 6.4, 7.1),
    ("with it, and quotas", 1.0, 41.0),
)


def write_fairness(folder: Path, *, wild: str = "tenant-0001") -> Path:
    """Three runs of the same traffic, with the items that each folder has; returns the folder."""
    chance = np.random.default_rng(3)
    for number, (name, others_s, wild_s) in enumerate(WAITS, start=1):
        taken_s = chance.gamma(6, others_s / 6, 2000)
        tenants = ["another"] * 2000
        if wild_s is not None:
            taken_s = np.concatenate([taken_s, chance.gamma(6, wild_s / 6, 5000)])
            tenants += [wild] * 5000
        run = result(name=name, tenants=sorted(set(tenants)), seed=20)
        settings = dataclasses.replace(
            run.settings, customers=2, wild=() if wild_s is None else (wild,)
        )
        started_at = f"2026-11-24T11:0{number}:00Z"
        dataclasses.replace(run, settings=settings, started_at=started_at).save(
            folder / f"run-{number}"
        )
        write_items(folder / f"run-{number}", taken_s, tenants)
    return folder


def write_items(folder: Path, taken_s: np.ndarray, tenants: Sequence[str]) -> None:
    """items.parquet, as far as a report reads it: an item a second, all of them predicted."""
    numbers = np.arange(len(taken_s))
    table = pa.table(
        {
            "index": numbers,
            "original": numbers.astype(np.int32),
            "tenant": list(tenants),
            "outcome": ["predicted"] * len(numbers),
            "due_s": numbers.astype(float),
            "seen_s": numbers + taken_s,
        }
    )
    pq.write_table(table, folder / ITEMS)


def _around(middle: float, low: float = 0.8, high: float = 1.3) -> list[float]:
    return [middle * low, middle, middle * high]


def _step(customers: int, slo_p95_s: float) -> dict[str, Any]:
    rate = customers * 0.12
    workers = max(1, math.ceil(rate / 70))
    usd = 96 * workers * 1.4 + 0.55 * rate * 2.6
    return {
        "customers": customers,
        "rate_mean": rate,
        "rate_peak": rate * 2.9,
        "machine_type": "n2-standard-4",
        "num_workers": workers,
        "min_num_workers": max(1, workers // 2),
        "max_num_workers": workers * 3,
        "utilization_hint": 0.8,
        "threads": 12,
        "processes": "cores",
        "min_ram_gb": 8,
        "disk_size_gb": 50,
        "p95_s": _around(0.4 * slo_p95_s),
        "worst_hour": {
            "hour": "day 12, 19:00",
            "p95_s": _around(0.7 * slo_p95_s),
            "backlog": _around(rate * 4),
        },
        "held_share": [0.991, 0.996, 0.999],
        "quotas": [
            {"name": "CPUS of the region", "needed": workers * 12, "default": ""},
            {
                "name": "bytes/s of streaming inserts",
                "needed": rate * 2.9 * 2600,
                "default": "1 GB/s",
            },
        ],
        "usd_month": _around(usd),
        "usd_million": _around(usd / (rate * 2.592)),
        "workers_mean": _around(workers * 1.2),
        "feasible": True,
    }


def plan_values(*, slo_p95_s: float = 10.0, feasible: bool = True) -> dict[str, Any]:
    """2,000 customers for 30 days, an hour a point."""
    steps = [_step(customers, slo_p95_s) for customers in (30, 100, 300, 1000, 2000)]
    steps[-1]["feasible"] = feasible
    chance = np.random.default_rng(5)
    hours = np.arange(720)
    daily = 1 + 0.75 * np.sin((hours % 24 - 9) / 24 * 2 * np.pi)
    offered = steps[-1]["rate_mean"] * daily * chance.uniform(0.9, 1.1, 720)
    offered[283] *= 1.7
    workers = np.clip(np.ceil(offered / 70), steps[-1]["min_num_workers"], 6)
    over = np.maximum(0, offered / (workers * 70) - 0.9)
    return {
        "profile": "marketplace",
        "slo_p95_s": slo_p95_s,
        "days": 30,
        "seed": 1,
        "region": "europe-west1",
        "prices_version": "2026-11-01",
        "calibration": {"made_at": "2026-11-24", "machine": "2 cores", "provisional": False},
        "assumptions": [
            "One vCPU does 0.7 to 1.2 of what a core of the calibration did.",
            "A worker takes 150 s to start.",
        ],
        "steps": steps,
        "chosen": steps[-1],
        "series": [
            {
                "hour": hour,
                "offered": one,
                "workers": of,
                "backlog": rest,
                "p95_s": (0.35 + rest / 900) * slo_p95_s,
            }
            for hour, one, of, rest in zip(
                range(720), offered.tolist(), workers.tolist(), (over * 900).tolist(), strict=True
            )
        ],
    }


def plan(*, slo_p95_s: float = 10.0) -> Plan:
    return as_plan(plan_values(slo_p95_s=slo_p95_s))


def as_plan(values: dict[str, Any]) -> Plan:
    """The plan of a file with these values."""
    return TypeAdapter(Plan).validate_python(values)


def write_everything(folder: Path) -> Path:
    """Some runs and one of each other file, in folders of their own; returns the folder."""
    chance = np.random.default_rng(7)
    for name, run in (
        ("run-60", result()),
        ("run-95", result(name="marketplace-30, faster", rate=95.0, seed=2)),
    ):
        run.save(folder / name)
        write_items(folder / name, chance.gamma(6, 0.2, 900), ["tenant-0001"] * 900)
    write_record(knee(), folder / "knee" / "knee.json")
    write_record(proof(), folder / "proof" / "proof.json")
    write_fairness(folder / "fairness")
    (folder / "plan").mkdir()
    (folder / "plan" / "plan.json").write_text(plan(slo_p95_s=2.0).to_json())
    return folder
