"""The load generator's real processes against the real emulator."""

import contextlib
import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from google.cloud import pubsub_v1, storage
from waiting import eventually

from loadtest.traffic.payloads import Payloads
from loadtest.traffic.profile import read_profile
from loadtest.traffic.schedule import Schedule, make_schedule
from loadtest.traffic.sender import send
from loadtest.traffic.senders import MODULE, SendError
from loadtest.traffic.trace import save_trace
from testudo.environment import LOCAL
from testudo.local.family import living
from testudo.local.resources import create_buckets, create_topic_and_subscription
from testudo.local.stack import LocalStack

PULLED_AT_ONCE = 20  # a gRPC channel takes 4 MB
DURATION_S = 3.0
LONG_S = 600.0  # is stopped long before its end, however late the stop comes


class Ends(NamedTuple):
    topic: str
    subscription: str


@pytest.fixture
def ends(stack: LocalStack, request: pytest.FixtureRequest) -> Ends:
    """A topic and a subscription of the test's own."""
    name = f"load-{request.node.originalname.replace('_', '-')}"
    create_topic_and_subscription(stack.project, name, f"{name}-pull")
    create_buckets(stack.project, [LOCAL.image_bucket])
    root = f"projects/{stack.project}"
    return Ends(f"{root}/topics/{name}", f"{root}/subscriptions/{name}-pull")


def made(
    tmp_path: Path, *, rate: float, name: str = "marketplace", duration_s: float = DURATION_S
) -> tuple[Schedule, Path]:
    # Compressed: copies come within the few seconds that there are.
    profile = read_profile(name).compressed(20)
    schedule = make_schedule(profile, duration_s=duration_s, seed=4, rate=rate)
    path = tmp_path / "trace.parquet"
    save_trace(schedule, path)
    return schedule, path


def pulled(subscription: str, count: int) -> list[tuple[bytes, dict[str, str]]]:
    """So many messages as they arrived."""
    found: list[tuple[bytes, dict[str, str]]] = []
    with pubsub_v1.SubscriberClient() as client:

        def look() -> int:
            while response := client.pull(
                subscription=subscription, max_messages=PULLED_AT_ONCE
            ).received_messages:
                ids = [one.ack_id for one in response]
                client.acknowledge(subscription=subscription, ack_ids=ids)
                found.extend((one.message.data, dict(one.message.attributes)) for one in response)
                if len(found) >= count:
                    break
            return len(found)

        eventually(look, lambda seen: seen >= count)
    return found


def senders() -> list[int]:
    """The generator's processes that this one has."""
    found = []
    for one in living(psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # another one that ends just now
            found += [one.pid] if MODULE in one.cmdline() else []
    return found


def test_a_trace_arrives_as_it_was_planned(ends: Ends, stack: LocalStack, tmp_path: Path) -> None:
    """Two processes: every id, tenant and byte once, copies as often as they stand in the trace."""
    schedule, path = made(tmp_path, rate=100.0)
    told: list[str] = []
    result = send(
        ends.topic,
        path,
        prefix="e2e-",
        image_bucket=LOCAL.image_bucket,
        processes=2,
        report=told.append,
    )
    count = len(schedule.due_s)
    assert result.sent.messages == count
    assert (result.sent.refused, result.failure) == (0, "")
    assert told[-1] == f"{count:,} of {count:,} messages sent"
    assert senders() == []

    payloads = Payloads.draw(schedule.kinds, image_bucket=LOCAL.image_bucket)
    expected = Counter[tuple[bytes, str]]()
    for number, original in enumerate(schedule.original.tolist()):
        ids = {
            "item_id": f"e2e-{original}",
            "tenant_id": schedule.tenants[schedule.tenant[number]],
        }
        data, attributes = payloads.message(int(schedule.kind[number]), original, **ids)
        expected[data, json.dumps(attributes, sort_keys=True)] += 1
    arrived = Counter(
        (data, json.dumps(attributes, sort_keys=True))
        for data, attributes in pulled(ends.subscription, count)
    )
    assert arrived == expected
    assert max(expected.values()) > 1

    with storage.Client(project=stack.project) as client:
        names = {one.name for one in client.list_blobs(LOCAL.image_bucket)}
    assert set(payloads.uploads) <= names

    table = pq.read_table(result.path)
    assert table["index"].to_pylist() == list(range(count))
    due_s, sent_s, acked_s = (table[one].to_numpy() for one in ("due_s", "sent_s", "acked_s"))
    assert np.allclose(due_s - result.start_at, schedule.due_s, atol=1e-5)
    assert (due_s <= sent_s).all()
    assert (sent_s <= acked_s).all()


def test_a_run_that_is_stopped_tells_what_it_has_sent(ends: Ends, tmp_path: Path) -> None:
    """No process is left, and what arrived is what the file says."""
    schedule, path = made(tmp_path, rate=20.0, name="steady", duration_s=LONG_S)
    stop = threading.Event()
    result = send(ends.topic, path, prefix="cut-", report=lambda _: stop.set(), stop=stop)
    sent = pq.read_table(result.path)["index"].to_pylist()
    assert 0 < len(sent) == result.sent.messages < len(schedule.due_s)
    assert not result.sent.kept_up
    assert senders() == []
    ids = {attributes["item_id"] for _, attributes in pulled(ends.subscription, len(sent))}
    assert ids == {f"cut-{number}" for number in sent}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A few messages."""
    return made(tmp_path, rate=20.0, name="steady")[1]


def test_a_topic_that_is_not_there_is_told(ends: Ends, trace: Path) -> None:
    """Every message counts as refused, with what Pub/Sub says."""
    result = send(f"{ends.topic}-gone", trace, prefix="gone-", report=print)
    assert result.sent.refused == result.sent.messages > 0
    assert "Topic not found" in result.failure


def test_a_beginning_in_the_past_is_refused(ends: Ends, trace: Path) -> None:
    """Latencies from moments before the generator was ready would mean nothing."""
    with pytest.raises(SendError, match="s after it should begin"):
        send(ends.topic, trace, prefix="late-", report=print, start_at=time.time())
    assert senders() == []
