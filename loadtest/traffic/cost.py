"""What Pub/Sub bills for a schedule, at list prices."""

import numpy as np

from loadtest.traffic.payloads import Payloads
from loadtest.traffic.schedule import Schedule
from testudo.cloud.million import LEAST_BYTES, TIB
from testudo.cloud.prices import Prices

_ATTRIBUTES_BYTES = 150  # ids and the idempotency key, with their names


def published_bytes(schedule: Schedule, payloads: Payloads) -> float:
    """Of all messages, each as billed: with its attributes, and 1,000 at least."""
    sizes = [payloads.mean_bytes(kind) + _ATTRIBUTES_BYTES for kind in range(len(schedule.kinds))]
    billed = np.maximum(sizes, LEAST_BYTES)
    return float(billed[schedule.kind].sum())


def cloud_cost(schedule: Schedule, payloads: Payloads, prices: Prices) -> float:
    """US dollars for every message published, and delivered to one subscription."""
    return 2 * published_bytes(schedule, payloads) / TIB * prices.usd["pubsub_tib"]
