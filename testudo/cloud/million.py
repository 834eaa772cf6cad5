"""What a million items cost: measured use of one item times list prices. Pure functions.

docs/cost.md has the same in words, with what is measured and what is assumed.
"""

from typing import NamedTuple

from testudo.cloud.costs import HOUR_S
from testudo.cloud.prices import Prices

MILLION = 1_000_000
GB = 10**9
TIB, GIB = 2**40, 2**30
MONTH_DAYS = 30
LEAST_BYTES = 1_000  # that Pub/Sub bills, a message


class ItemUse(NamedTuple):
    """What one item takes."""

    cpu_s: float
    message_bytes: float
    join_bytes: float  # both halves, encoded
    row_bytes: float  # features included
    messages_per_object: float  # payloads of a bundle share one
    image_reads: float = 0.0  # 1 where the image comes by URI


class Machine(NamedTuple):
    """A worker, and the share of its cores that the job keeps busy."""

    vcpus: int
    memory_gb: float
    disk_gb: float
    utilization: float


class Kept(NamedTuple):
    """How long what is stored is paid for: by default as `testudo provision` sets it up."""

    months: float = 1.0  # rows and objects
    seek_days: float = 1.0  # acknowledged messages, on the topic
    soft_delete_days: float = 7.0  # payloads, once they are deleted


def million_cost(
    item: ItemUse, machine: Machine, prices: Prices, kept: Kept = Kept()
) -> dict[str, float]:
    """US dollars by component."""
    usd = prices.usd
    vcpu_hours = MILLION * item.cpu_s / machine.utilization / HOUR_S
    workers_hours = vcpu_hours / machine.vcpus
    streaming_gb = MILLION * (item.message_bytes + item.join_bytes) / GB
    published_tib = MILLION * max(item.message_bytes, LEAST_BYTES) / TIB
    rows_gb = MILLION * item.row_bytes / GB
    objects_gb = MILLION * item.message_bytes / GB
    retained_gib_months = MILLION * item.message_bytes / GIB * kept.seek_days / MONTH_DAYS
    return {
        "vCPU": vcpu_hours * usd["vcpu_hour"],
        "memory": workers_hours * machine.memory_gb * usd["memory_gb_hour"],
        "disk": workers_hours * machine.disk_gb * usd["disk_gb_hour"],
        "Streaming Engine": streaming_gb * usd["streaming_gb"],
        "Pub/Sub": 2 * published_tib * usd["pubsub_tib"],  # published, and delivered
        "Pub/Sub retention": retained_gib_months * usd["retained_gib_month"],
        "rows": rows_gb * usd["append_gb"],
        "BigQuery storage": rows_gb * kept.months * usd["table_gb_month"],
        "Cloud Storage": objects_gb * kept.months * usd["object_gb_month"],
        "soft delete": objects_gb * kept.soft_delete_days / MONTH_DAYS * usd["object_gb_month"],
        "object writes": MILLION / item.messages_per_object / 1000 * usd["writes_1000"],
        "object reads": MILLION * item.image_reads / 1000 * usd["reads_1000"],
    }
