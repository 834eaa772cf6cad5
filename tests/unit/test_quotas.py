"""Who is admitted while messages wait, and what a message tells about its way."""

import random
from collections import Counter

import pytest
from builders import message

from models.failures import Failure, Reason, Stage
from transforms.parsing import Arrival, reject
from transforms.quotas import (
    FIRST_PUBLISHED,
    LEAST_MESSAGES,
    MAX_ATTRIBUTES,
    MAX_REQUEST_BYTES,
    MAX_TENANTS,
    OVERFLOWED_FROM,
    WINDOW_S,
    Admission,
    as_first_published,
    overflow_attributes,
)
from transforms.records import Message
from transforms.settings import Quota

NOW_S = 1_770_000_000.0
OLD_S, YOUNG_S = 60.0, 1.0
QUOTA = Quota(share=0.25, after_s=5.0)
DAY_US = 24 * 3600 * 1_000_000


def admitted(tenants: list[str], *, waited_s: float, seconds: float = 5.0) -> Counter[str]:
    """How many of each tenant's messages are scored here, spread over some seconds."""
    admission, found = Admission(QUOTA), Counter[str]()
    for number, tenant in enumerate(tenants):
        now_s = NOW_S + seconds * number / len(tenants)
        found[tenant] += admission.admits(tenant, waited_s=waited_s, now_s=now_s)
    return found


def mixed(**counts: int) -> list[str]:
    tenants = [name for name, count in counts.items() for _ in range(count)]
    random.Random(1).shuffle(tenants)
    return tenants


def test_a_wild_tenant_gets_its_share_while_messages_wait() -> None:
    """The others' messages are all admitted, and as a quarter of all a third as many of its own."""
    found = admitted(mixed(wild=1800, **dict.fromkeys("abcdefgh", 30)), waited_s=OLD_S)
    assert [found[name] for name in "abcdefgh"] == [30] * 8
    assert found["wild"] == pytest.approx(80, abs=5)


def test_without_a_backlog_everybody_is_admitted() -> None:
    """A busy tenant is no trouble while nobody waits."""
    assert admitted(mixed(wild=900, acme=100), waited_s=YOUNG_S)["wild"] == 900


def test_what_was_admitted_before_counts_when_a_backlog_comes() -> None:
    """The tenant whose messages made the backlog is turned away from its beginning."""
    admission = Admission(QUOTA)
    for _ in range(900):
        assert admission.admits("wild", waited_s=YOUNG_S, now_s=NOW_S)
    assert not admission.admits("wild", waited_s=OLD_S, now_s=NOW_S)
    assert admission.admits("acme", waited_s=OLD_S, now_s=NOW_S)


def test_few_messages_are_no_excess() -> None:
    """Of a tenant that is alone with its backlog, some tens are admitted in ten seconds."""
    found = admitted(["acme"] * (LEAST_MESSAGES + 20), waited_s=OLD_S)
    assert found["acme"] == LEAST_MESSAGES


def test_the_window_forgets() -> None:
    """Ten seconds later the same tenant is admitted again."""
    admission = Admission(QUOTA)
    for _ in range(200):
        admission.admits("wild", waited_s=YOUNG_S, now_s=NOW_S)
    assert not admission.admits("wild", waited_s=OLD_S, now_s=NOW_S + WINDOW_S - 1)
    assert admission.admits("wild", waited_s=OLD_S, now_s=NOW_S + WINDOW_S)


def test_a_clock_that_goes_back_forgets_nothing() -> None:
    """What comes then counts in the last second."""
    admission = Admission(QUOTA)
    for _ in range(200):
        admission.admits("wild", waited_s=YOUNG_S, now_s=NOW_S)
    assert not admission.admits("wild", waited_s=OLD_S, now_s=NOW_S - 3600)


def test_made_up_tenants_take_bounded_memory() -> None:
    """A thousand names a second are counted; who comes after them is admitted uncounted."""
    admission = Admission(QUOTA)
    for number in range(2 * MAX_TENANTS):
        assert admission.admits(f"tenant-{number}", waited_s=OLD_S, now_s=NOW_S)
    assert sum(len(slot.of_tenants) for slot in admission._slots) == MAX_TENANTS
    last = f"tenant-{2 * MAX_TENANTS - 1}"
    assert all(admission.admits(last, waited_s=OLD_S, now_s=NOW_S) for _ in range(1_000))


def test_a_message_comes_back_as_it_was() -> None:
    """Its attributes, and the time at which it was first published; the id is Pub/Sub's new one."""
    first = message(b"{}", tenant_id="acme", source="a test")
    published = first.publish_time_us + 60_000_000
    again = Message(first.data, overflow_attributes(first), "message-2", published)
    assert again.attributes[OVERFLOWED_FROM] == first.message_id
    assert as_first_published(again) == first._replace(message_id="message-2")


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "+5", "1.5", "1e3", " 1", "٣", "9" * 400, "0", str(-(2**63)),
     str(1_770_000_000_000_000 + 1), str(1_770_000_000_000_000 - 31 * DAY_US - 1)],
)  # fmt: skip
def test_a_time_that_cannot_be_is_not_taken(text: str) -> None:
    """After the publishing, over 31 days before it, or no time: a sender may write anything."""
    sent = message(b"{}", tenant_id="acme", **{FIRST_PUBLISHED: text})
    assert as_first_published(sent) == message(b"{}", tenant_id="acme")


def test_the_overflows_attributes_are_in_no_row() -> None:
    """So a replay, which takes its attributes from the row, is published at its own time."""
    sent = Message(b"[", overflow_attributes(message(b"[", source="a")), "2", 1_770_000_000_000_000)
    failure = Failure(Stage.PARSE, Reason.NOT_JSON, "")
    letter = reject(as_first_published(sent), Arrival("d", 1), failure)
    assert letter.envelope.attributes_json == '{"source": "a"}'


def test_attributes_that_pubsub_reserves_are_not_sent_back_to_it() -> None:
    """It would refuse the message each time."""
    sent = message(b"{}", tenant_id="acme", googclient_deliveryattempt="2")
    assert overflow_attributes(sent).keys() == {"tenant_id", OVERFLOWED_FROM, FIRST_PUBLISHED}


@pytest.mark.parametrize(
    "full",
    [
        message(b"{}", **{f"name-{number}": "" for number in range(MAX_ATTRIBUTES - 1)}),
        message(b"x" * (MAX_REQUEST_BYTES - 20), tenant_id="acme"),
    ],
)
def test_a_message_without_room_is_sent_as_it_is(full: Message) -> None:
    """Else Pub/Sub would never take it, and the job would try for ever."""
    assert overflow_attributes(full) == full.attributes
