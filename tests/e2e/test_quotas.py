"""Quotas on the local stack: a wild tenant's backlog, its overflow, and a job for that."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Releases
from google.cloud import bigquery, pubsub_v1
from rigs.job import Job
from waiting import eventually

from beam_pipeline.checks import check
from beam_pipeline.config import ConfigError
from beam_pipeline.options import config_from
from loadtest.stack import own_stack
from testudo.commands.engines import BigQueryEngine
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, LOCAL_OVERFLOW
from testudo.local.jobs import local_flags
from testudo.local.resources import create_topic_and_subscription
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER, install_tools
from testudo.messages import message_attributes
from transforms.quotas import LEAST_MESSAGES

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
WILD, QUIET = 260, 10
TENANTS = {"wild": WILD, "acme": QUIET, "bolt": QUIET, "cedar": QUIET}

# Google's clients leave connections of answers that they stream to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack that no other job reads from, with the tools that all tests share."""
    install_tools(TOOLS, print)
    folder = tmp_path_factory.mktemp("own")
    (folder / "tools").symlink_to(TOOLS)
    with own_stack(folder, print) as running:
        yield running


@pytest.fixture
def flags(own: LocalStack, releases: Releases) -> list[str]:
    return [f"--home={own.home}", f"--local_releases={releases.root}"]


@pytest.mark.parametrize(
    ("topic", "told"),
    [("items", "would get back what is sent there"), ("nowhere", "there is no topic")],
)
def test_a_topic_that_cannot_be_the_overflows_is_told(
    own: LocalStack, topic: str, told: str
) -> None:
    """Before the job starts: the job's own topic, and one that is not there."""
    flags = [
        *local_flags(LOCAL, ""),
        f"--overflow_topic=projects/{own.project}/topics/{topic}",
    ]
    config, _ = config_from(flags)
    with pytest.raises(ConfigError) as caught:
        check(config)
    (problem,) = (one for one in caught.value.problems if one.startswith("--overflow_topic: "))
    assert told in problem


def item(tenant_id: str, number: int) -> Outgoing:
    item_id = f"{tenant_id}-{number}"
    fields = {"item_id": item_id, "tenant_id": tenant_id, "text": f"a red mug, number {number}"}
    data = json.dumps(fields).encode()
    return Outgoing(data, message_attributes(tenant_id, item_id, data))


def drained(subscription: str) -> list[str]:
    """The ids of all items that wait in a subscription, which does not have them afterwards."""
    found: list[str] = []
    with pubsub_v1.SubscriberClient() as subscriber:
        while True:
            answer = subscriber.pull(
                subscription=subscription, max_messages=1000, return_immediately=True
            )
            if not answer.received_messages:
                return found
            found += [one.message.attributes["item_id"] for one in answer.received_messages]
            subscriber.acknowledge(
                subscription=subscription, ack_ids=[one.ack_id for one in answer.received_messages]
            )


def test_a_wild_tenants_excess_is_scored_by_another_job(own: LocalStack, flags: list[str]) -> None:
    """The others' items pass by its backlog; what is sent on gets its outcomes from the lane.

    Each item has one outcome, with the time at which it was first published.
    """
    place = LOCAL
    engine = BigQueryEngine(bigquery.Client(project=place.project), place.dataset)
    topic, copies = create_topic_and_subscription(own.project, LOCAL_OVERFLOW.topic, "copies")
    items = [item(name, one) for name, count in TENANTS.items() for one in range(count)]
    publish(place.topic_path, items)
    published = datetime.now(UTC)
    overflowed: list[str] = []

    def outcomes() -> dict[str, datetime]:
        rows = engine.ask("SELECT item_id, publish_time FROM `{dataset}.predictions`").rows
        found = dict(rows)
        assert len(found) == len(rows), "an item has two outcomes"
        return found

    def scored_or_sent_on() -> set[str]:
        overflowed.extend(drained(copies))
        return {*outcomes(), *overflowed}

    logs = own.home / "logs"
    quotas = [f"--overflow_topic={topic}", "--tenant_share=0.2"]
    with Job([*flags, *quotas], logs / "main.log", print, seed=1) as main:
        eventually(scored_or_sent_on, lambda found: len(found) == len(items))
        scored = outcomes()
        assert not {*scored} & {*overflowed}
        assert {one.partition("-")[0] for one in overflowed} == {"wild"}
        assert len(overflowed) > 0
        assert sum(one.startswith("wild-") for one in scored) >= LEAST_MESSAGES
        with Job([*flags, "--lane=overflow"], logs / "overflow.log", print, seed=1) as lane:
            found = eventually(outcomes, lambda found: len(found) == len(items))
            assert lane.stop() == main.stop() == 0
    assert max(found.values()) < published
