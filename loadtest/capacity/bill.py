"""What a fleet costs: workers by the time they are there, all else by the item."""

from typing import NamedTuple

from loadtest.capacity.autoscaling import Floats
from loadtest.capacity.machines import MachineType
from loadtest.capacity.worker import Mix
from testudo.cloud.costs import HOUR_S
from testudo.cloud.million import MILLION, ItemUse, Machine, million_cost
from testudo.cloud.prices import Prices
from testudo.local.jobs import DATAFLOW, LAPTOP

MONTH_S = 30 * 24 * HOUR_S
# Measured: the table of docs/cost.md.
JOIN_BYTES, ROW_BYTES = 943, 985
MESSAGES_PER_OBJECT = {DATAFLOW: 22.0, LAPTOP: 100.0}  # by how bundles are made
OF_WORKERS = ("vCPU", "memory", "disk")


class Bill(NamedTuple):
    """US dollars, a value a draw."""

    workers: Floats
    items: Floats

    @property
    def total(self) -> Floats:
        return self.workers + self.items


def worker_hour_usd(machine: MachineType, disk_gb: float, prices: Prices) -> float:
    """A worker costs the same whether it is busy or not."""
    usd = prices.usd
    return (
        machine.vcpus * usd["vcpu_hour"]
        + machine.memory_gb * usd["memory_gb_hour"]
        + disk_gb * usd["disk_gb_hour"]
    )


def million_items_usd(mix: Mix, prices: Prices, bundles: str) -> float:
    """Of a million items, all that is no worker: services and storage for a month."""
    item = ItemUse(
        cpu_s=mix.item_s,
        message_bytes=mix.message_bytes,
        join_bytes=JOIN_BYTES,
        row_bytes=ROW_BYTES,
        messages_per_object=MESSAGES_PER_OBJECT[bundles],
        image_reads=mix.by_uri_share,
    )
    costs = million_cost(item, Machine(1, 1, 0, 1), prices)
    return sum(usd for name, usd in costs.items() if name not in OF_WORKERS)


def month_bill(
    *,
    worker_s: Floats,
    items: Floats,
    duration_s: float,
    machine: MachineType,
    disk_gb: float,
    mix: Mix,
    prices: Prices,
    bundles: str,
) -> Bill:
    """Thirty days at what `duration_s` took."""
    months = MONTH_S / duration_s
    return Bill(
        workers=worker_s / HOUR_S * worker_hour_usd(machine, disk_gb, prices) * months,
        items=items / MILLION * million_items_usd(mix, prices, bundles) * months,
    )
