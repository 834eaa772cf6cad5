"""What an item costs on a measured machine, and what follows for another load or another machine.

A calibration is costs, not speeds: CPU seconds an item and a second, by the role of the process
that spends them. Speeds are derived (`capacity`), and so are latencies (`predict`).
docs/capacity.md has the formulas in words.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Self

from loadtest.capacity.images import Picture, PictureCost, cost_of
from loadtest.capacity.regression import Interval
from loadtest.records import read_record, write_record
from testudo.errors import CommandError
from testudo.local.jobs import LAPTOP

CHAIN = ("worker", "image-models", "text-models", "score-models")
OF_A_PROCESS = (*CHAIN, "engine")  # `testudo run --processes 2` has each of these twice
# One core at most: Python holds its lock, and the models' processes run one thread.
SERIAL = (*CHAIN, "bigquery", "storage", "sender", "watcher")
PERCENTS = ("p50", "p95", "p99")
MB = 1e6


class BadCalibration(CommandError):
    """What is wrong with runs that are to become a calibration."""


@dataclasses.dataclass(frozen=True)
class RoleCost:
    """CPU of the processes of one role: idle_share * seconds + items * (item_s + factor * work).

    `work` is what grows with a picture: for image-models its decode time, for the others the
    megabytes of its message.
    """

    idle_share: float  # of one core, whatever the load
    item_s: float
    work_factor: float
    spread: float  # relative, 95 %, of a further run

    def of_item(self, role: str, picture: PictureCost) -> float:
        return self.item_s + self.work_factor * work_of(role, picture)


@dataclasses.dataclass(frozen=True)
class LatencyLaw:
    """floor_s + slope_s / (1 - utilisation): bundles wait for bundles, and grow with the load."""

    floor_s: float
    slope_s: float
    spread: float  # relative, 95 %, of a further run

    def at(self, utilisation: float) -> float:
        """Infinite where more is offered than can be done."""
        if utilisation >= 1:
            return math.inf
        return self.floor_s + self.slope_s / (1 - utilisation)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much CPU was really had at the highest throughput."""

    machine_share: Interval  # of all cores together
    overload_item_s: float  # beyond item_s, of all roles, where items wait: bundles are largest
    serial_share: float  # of one core, by one process
    chain_cores: float  # by one worker with its models; 0 where something else held it back


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """Costs on the machine that was measured. Times in seconds, memory in bytes."""

    made_at: str  # RFC 3339
    machine: str
    cores: int
    release: str
    provisional: bool  # not measured as a whole
    runs: int
    rates: tuple[float, float]  # least and most that were offered, items/s
    reference: str  # the picture of most runs
    pictures: Mapping[str, PictureCost]
    roles: Mapping[str, RoleCost]
    cost_spread: float  # relative, 95 %, of all roles together
    limits: Limits
    latency: Mapping[str, LatencyLaw]  # by PERCENTS
    worker_bytes: int  # largest, of one worker
    models_bytes: int  # largest, of its models' processes together
    start_s: float  # from start to the first outcome; 0 where it was not measured
    notes: tuple[str, ...] = ()
    bundles: str = LAPTOP  # of the job that was measured, as `testudo run --bundles`
    form: Literal[1] = 1  # of the file

    def item_s(self, role: str, picture: Picture) -> float:
        """CPU seconds of one item in a role. Raises ValueError for an unknown format."""
        return self.roles[role].of_item(role, cost_of(picture, self.pictures))

    def chain_item_s(self, picture: Picture) -> float:
        """CPU seconds of one item in a worker and its models: what Dataflow's workers do."""
        return sum(self.item_s(role, picture) for role in CHAIN if role in self.roles)

    @property
    def chain_idle_share(self) -> float:
        return sum(self.roles[role].idle_share for role in CHAIN if role in self.roles)

    @property
    def process_bytes(self) -> int:
        return self.worker_bytes + self.models_bytes

    def save(self, path: Path) -> None:
        write_record(self, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises BadRecord, naming the file, where it is none."""
        return read_record(cls, path)


class Prediction(NamedTuple):
    """What a configuration should do. Throughput in items/s; latencies in seconds."""

    throughput: float
    low: float
    high: float
    bottleneck: str
    utilisation: float  # 0 where no rate was asked about
    latency: Mapping[str, Interval]  # p50, p95, p99; empty where no rate was asked about


def work_of(role: str, picture: PictureCost) -> float:
    return picture.decode_s if role == "image-models" else picture.bytes / MB


def capacity(
    made: Calibration,
    *,
    processes: int,
    cores: int,
    picture: Picture,
    dearer: float = 1.0,
    machine_share: float | None = None,
) -> tuple[float, str]:
    """The highest rate, items/s, and what holds it there.

    The least of: each single-threaded process at its share of a core; a worker
    and its models, which wait for each other; all roles together at the machine's share.
    `dearer` multiplies every cost. Raises ValueError for an unknown format.
    """
    limits = made.limits
    share = limits.machine_share.mid if machine_share is None else machine_share
    counts = {role: processes if role in OF_A_PROCESS else 1 for role in made.roles}
    items = {role: made.item_s(role, picture) * dearer for role in made.roles}
    idle = {role: cost.idle_share * dearer for role, cost in made.roles.items()}
    bounds = {
        f"{role}, one core": counts[role] * (limits.serial_share - idle[role]) / items[role]
        for role in SERIAL
        if items.get(role)
    }
    if limits.chain_cores:
        spare = limits.chain_cores - sum(idle.get(role, 0.0) for role in CHAIN)
        bounds["worker and models in turn"] = (
            processes * spare / made.chain_item_s(picture) / dearer
        )
    whole_s = sum(items.values()) + limits.overload_item_s * dearer
    bounds["all cores"] = share * cores / whole_s
    name = min(bounds, key=bounds.__getitem__)
    return max(bounds[name], 0.0), name


def predict(
    made: Calibration,
    *,
    processes: int,
    cores: int,
    picture: Picture,
    rate: float | None = None,
) -> Prediction:
    """Throughput, and latencies at a rate, with 95 % intervals.

    The ends of throughput have every cost dearer, or cheaper, by `cost_spread`, and the machine's
    share at its ends; those of a latency add the law's own spread. Raises ValueError for an
    image format that was not measured.
    """

    def at(dearer: float, share: float) -> tuple[float, str]:
        return capacity(
            made,
            processes=processes,
            cores=cores,
            picture=picture,
            dearer=dearer,
            machine_share=share,
        )

    shares = made.limits.machine_share
    (middle, bottleneck) = at(1.0, shares.mid)
    low, _ = at(1 + made.cost_spread, shares.low)
    high, _ = at(1 / (1 + made.cost_spread), shares.high)
    if rate is None:
        return Prediction(middle, low, high, bottleneck, 0.0, {})
    extra_s = made.chain_item_s(picture) - made.chain_item_s(Picture.named(made.reference))
    latency = {}
    for name, law in made.latency.items():
        ends = [law.at(rate / most) if most else math.inf for most in (high, middle, low)]
        spread = (1 / (1 + law.spread), 1.0, 1 + law.spread)
        latency[name] = Interval(
            *(max(end + extra_s, 0.0) * by for end, by in zip(ends, spread, strict=True))
        )
    utilisation = rate / middle if middle else math.inf
    return Prediction(middle, low, high, bottleneck, utilisation, latency)
