"""Quotas in a running pipeline: each message is scored here or sent on, and none is both."""

import time
from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.io.gcp.pubsub import PubsubMessage
from builders import created, run

from beam_pipeline.endpoints import Collect
from beam_pipeline.io.pubsub import ReadWithinQuotas, overflow_message
from transforms import quotas
from transforms.quotas import AdmitTenants, _AdmitDoFn
from transforms.records import Message
from transforms.settings import Quota


def messages(*, waited_s: float, **counts: int) -> list[Message]:
    """Some of each tenant, in turn, all published so long ago."""
    published_us = round((time.time() - waited_s) * 1e6)
    numbered = [(number, tenant) for tenant, count in counts.items() for number in range(count)]
    return [
        Message(b"{}", {"tenant_id": tenant}, f"{tenant}-{number}", published_us)
        for number, tenant in sorted(numbered)
    ]


class Read(beam.PTransform):
    """Messages of a list, as one end reads them."""

    def __init__(self, records: list[Message]) -> None:
        super().__init__()
        self.records = records

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Message]:
        return created(pipeline, self.records, Message)


class Keep(beam.PTransform):
    """What is sent on, kept for the test."""

    def expand(self, records: beam.PCollection[Message]) -> None:
        records | Collect(name="overflow")


def admit(records: list[Message], quota: Quota) -> tuple[list[Message], list[Message], int]:
    """What is scored, what is sent on, and how many the metric counts."""

    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        end = ReadWithinQuotas(read=Read(records), admit=AdmitTenants(quota=quota), overflow=Keep())
        return {"messages": pipeline | "Read" >> end}

    ran = run(connect)
    overflow = ran.records.get("overflow", [])
    return ran.records["messages"], overflow, ran.counters.get("overflowed_messages", 0)


class Clock:
    """The clock on the wall, which is put right now and then, and the one that only goes on."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = 1_770_000_000.0, 50.0

    def time(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.steady_s

    def pass_by(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_quotas_survive_a_jump_of_a_day(monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    """Put right by a day, the clock neither forgets what was admitted nor keeps it for a day."""
    clock = Clock()
    monkeypatch.setattr(quotas, "time", clock)
    stage = _AdmitDoFn(Quota(share=0.2))
    stage.setup()

    def admitted(count: int) -> int:
        published_us = round((clock.wall_s - 60) * 1e6)
        sent = Message(b"{}", {"tenant_id": "wild"}, "1", published_us)
        outs = [out for _ in range(count) for out in stage.process(sent)]
        return sum(isinstance(out, Message) for out in outs)

    assert admitted(100) < 100
    clock.wall_s += jump_s
    assert admitted(10) == 0
    clock.pass_by(quotas.WINDOW_S + 1)
    assert admitted(10) == 10


def test_each_message_is_scored_or_sent_on() -> None:
    """Of the wild tenant's backlog most is sent on; nothing of the others'; nothing is lost."""
    sent = messages(waited_s=60, wild=400, acme=20, bolt=10)
    scored, overflow, counted = admit(sent, Quota(share=0.2))
    assert sorted(one.message_id for one in scored + overflow) == sorted(
        one.message_id for one in sent
    )
    tenants = Counter(one.attributes["tenant_id"] for one in scored)
    assert (tenants["acme"], tenants["bolt"]) == (20, 10)
    assert 30 <= tenants["wild"] <= 100
    assert counted == len(overflow)


def test_messages_that_did_not_wait_are_scored() -> None:
    """Whoever sent them."""
    sent = messages(waited_s=0, wild=200)
    assert admit(sent, Quota(share=0.1, after_s=3600)) == (sent, [], 0)


def test_a_message_without_a_tenant_has_a_quota_too() -> None:
    """Those that name none are one tenant."""
    sent = [one._replace(attributes={}) for one in messages(waited_s=60, nobody=200)]
    _, overflow, _ = admit(sent, Quota(share=0.1))
    assert len(overflow) == 170


def test_what_dataflow_publishes_is_the_message_and_where_it_came_from() -> None:
    """Data and attributes are the sender's; the first id and time stand beside them."""
    sent = Message(b"{}", {"tenant_id": "acme", "idempotency_key": "k"}, "7", 1_770_000_000_000_000)
    assert overflow_message(sent) == PubsubMessage(
        b"{}",
        {
            "tenant_id": "acme",
            "idempotency_key": "k",
            "testudo_overflowed_from": "7",
            "testudo_first_published_us": "1770000000000000",
        },
    )
