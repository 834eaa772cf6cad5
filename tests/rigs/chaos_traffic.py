"""What chaos publishes: good items, copies of them, hostile ones, and ones that break models.

Seeded: the same seed gives the same messages in the same order.
"""

import heapq
import json
import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from loadtest.traffic.poison import SCORED
from models.failures import Reason
from rigs.hostile.table import HOSTILE
from rigs.traps import ABORT_WORD, HANG_WORD
from testudo.commands.sending import Outgoing
from testudo.messages import message_attributes, sample_messages

TRAPPED_TENANT = "trapped"  # which has the release with traps
HOSTILE_SHARE, COPIED_SHARE = 0.10, 0.25
# Few, since each costs two starts of TensorFlow, and its stage waits meanwhile.
FIRST_TRAP, TRAP_EVERY = 150, 1200
MAX_COPIES = 4
COPIES_WITHIN = 200  # messages after the first
TRAPS = {ABORT_WORD: Reason.CRASHED, HANG_WORD: Reason.TIMED_OUT}


class Planned(NamedTuple):
    """One message to publish, and what should become of it."""

    kind: str
    expected: str  # a reason, or SCORED
    outgoing: Outgoing
    uploads: Mapping[str, bytes]  # by name in the image bucket; to be there first


def traffic(count: int, *, seed: int, bucket: str) -> Iterator[Planned]:
    """Draw `count` messages, each of them new or a copy of an earlier one."""
    chance = random.Random(seed)
    kinds = [kind for kind in HOSTILE.values() if kind.publishable and kind.trouble is None]
    copies: list[tuple[float, int, Planned]] = []  # when it is due, a heap
    samples = sample_messages(count, seed=seed, bucket=bucket, broken_share=0)
    for number in range(count):
        if number % TRAP_EVERY == FIRST_TRAP:
            word = sorted(TRAPS)[number // TRAP_EVERY % len(TRAPS)]
            yield _trapped(number, word)
            continue
        if copies and copies[0][0] <= number:
            yield heapq.heappop(copies)[2]
            continue
        if chance.random() < HOSTILE_SHARE:
            kind = chance.choice(kinds)
            item_id = f"{kind.name}-{number}".replace("_", "-")
            message = kind.message(item_id=item_id, bucket=bucket)
            outgoing = Outgoing(message.data, dict(message.attributes))
            planned = Planned(kind.name, kind.outcome, outgoing, message.uploads)
        else:
            sample = next(samples)
            outgoing = Outgoing(sample.data, dict(sample.attributes))
            planned = Planned("good", SCORED, outgoing, sample.uploads)
        yield planned
        if chance.random() < COPIED_SHARE:
            for _ in range(chance.randint(1, MAX_COPIES)):
                due = number + chance.uniform(1, COPIES_WITHIN)
                heapq.heappush(copies, (due, len(copies), planned))


def _trapped(number: int, word: str) -> Planned:
    item_id = f"{word}-{number}"
    fields = {"item_id": item_id, "tenant_id": TRAPPED_TENANT, "text": f"a {word} mug"}
    data = json.dumps(fields).encode()
    attributes = message_attributes(TRAPPED_TENANT, item_id, data)
    return Planned(word, TRAPS[word], Outgoing(data, attributes), {})
