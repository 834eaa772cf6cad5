"""What a million items cost: measured use of one item times list prices. Pure functions.

docs/cost.md has the same in words, with what is measured and what is assumed.
"""

from typing import NamedTuple

from testudo.cloud.costs import HOUR_S
from testudo.cloud.prices import Prices

MILLION = 1_000_000
GB = 10**9
TIB = 2**40
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


def million_cost(
    item: ItemUse, machine: Machine, prices: Prices, *, kept_months: float
) -> dict[str, float]:
    """US dollars by component. Rows and objects are kept, and paid for, `kept_months`."""
    usd = prices.usd
    vcpu_hours = MILLION * item.cpu_s / machine.utilization / HOUR_S
    workers_hours = vcpu_hours / machine.vcpus
    streaming_gb = MILLION * (item.message_bytes + item.join_bytes) / GB
    published_tib = MILLION * max(item.message_bytes, LEAST_BYTES) / TIB
    rows_gb = MILLION * item.row_bytes / GB
    objects_gb = MILLION * item.message_bytes / GB
    return {
        "vCPU": vcpu_hours * usd["vcpu_hour"],
        "memory": workers_hours * machine.memory_gb * usd["memory_gb_hour"],
        "disk": workers_hours * machine.disk_gb * usd["disk_gb_hour"],
        "Streaming Engine": streaming_gb * usd["streaming_gb"],
        "Pub/Sub": 2 * published_tib * usd["pubsub_tib"],  # published, and delivered
        "rows": rows_gb * usd["append_gb"],
        "BigQuery storage": rows_gb * kept_months * usd["table_gb_month"],
        "Cloud Storage": objects_gb * kept_months * usd["object_gb_month"],
        "object writes": MILLION / item.messages_per_object / 1000 * usd["writes_1000"],
        "object reads": MILLION * item.image_reads / 1000 * usd["reads_1000"],
    }
