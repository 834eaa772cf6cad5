"""`testudo replay` before it meets a server: flags, filters, the choice, the message."""

import argparse
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import dead_letter, failure, fields, letter, scored

from beam_pipeline.io.writers import rejected_row
from models.failures import Reason, Stage
from models.release import Pointer
from testudo.commands.dead_letters import Filters, StoredDeadLetter, choose
from testudo.commands.rejected_rows import dead_letter_from_rejected
from testudo.commands.replay import summary
from testudo.commands.replay_flags import RATE, Plan, add_arguments, read_plan
from testudo.commands.resend import Sent, original_attributes, payload_of, replay_message
from testudo.errors import CommandError
from transforms.outcomes import dead_letter_row, json_line, prediction_row
from transforms.parsing import make_envelope, parse_item, time_us
from transforms.records import Item, Message

from builders import ARRIVAL, message  # isort: skip

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EARLY, LATE = NOW - timedelta(hours=2), NOW - timedelta(hours=1)


def plan(*flags: str) -> Plan:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    return read_plan(parser.parse_args(flags), now=NOW)


# --- flags -----------------------------------------------------------------------------------


def test_without_flags_every_dead_letter_is_meant() -> None:
    """At the default rate, of all times, without a limit."""
    assert plan() == Plan(Filters(), RATE, None, "")


def test_flags_become_filters() -> None:
    """Those that may be repeated add up."""
    flags = ["--reason=image_not_found", "--reason=bug", "--stage=image", "--tenant=acme"]
    flags += ["--item=a", "--item=b", "--release=r-1", "--since=2026-11-20", "--until=2h"]
    assert plan(*flags, "--limit=5", "--rate=0", "--output=gs://b/out") == Plan(
        Filters(
            reasons=("image_not_found", "bug"),
            stages=("image",),
            tenants=("acme",),
            items=("a", "b"),
            releases=("r-1",),
            since=datetime(2026, 11, 20, tzinfo=UTC),
            until=NOW - timedelta(hours=2),
        ),
        0.0,
        5,
        "gs://b/out",
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", NOW - timedelta(minutes=30)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:00:00", datetime(2026, 11, 24, 10, tzinfo=UTC)),
        ("2026-11-24T10:00:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24t10:00:00z", datetime(2026, 11, 24, 10, tzinfo=UTC)),
    ],
)
def test_times_are_moments_or_ages(text: str, moment: datetime) -> None:
    """UTC where no zone is named."""
    assert plan(f"--since={text}").filters.since == moment


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--reason=image_lost", "--reason: 'image_lost' is not one of .*image_not_found"),
        ("--stage=images", "--stage: 'images' is not one of parse, image, text, "),
        ("--tenant=", "--tenant: is empty"),
        ("--item=", "--item: is empty"),
        ("--release=", "--release: is empty"),
        ("--since=yesterday", "--since: 'yesterday' is not a time such as"),
        ("--since=999999d", "--since: '999999d' is not a time"),
        ("--until=2026-13-01", "--until: '2026-13-01' is not a time"),
        ("--limit=0", "--limit: '0' is not a whole number from 1 up"),
        ("--limit=1e3", "--limit: '1e3' is not a whole number"),
        ("--rate=-1", "--rate: '-1' is not a number from 0 up"),
        ("--rate=nan", "--rate: 'nan' is not a number"),
        ("--rate=inf", "--rate: 'inf' is not a number"),
        ("--output=out", "--output: 'out' is not gs://"),
        ("--dataset=a`b", "--dataset: 'a`b' is not DATASET or PROJECT.DATASET"),
    ],
)
def test_a_wrong_flag_is_refused(flag: str, said: str) -> None:
    """By its name, with what is allowed."""
    with pytest.raises(CommandError, match=said):
        plan(flag)


def test_wrong_flags_are_refused_together() -> None:
    """Whoever mends one knows of the others."""
    with pytest.raises(CommandError) as caught:
        plan("--reason=x", "--reason=y", "--stage=z", "--limit=-1", "--since=1h", "--until=2h")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "--reason", "--reason", "--stage", "--since", "--limit",
    ]  # fmt: skip


# --- filters, as for rows that stand in no table -------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "takes"),
    [
        (Filters(), True),
        (Filters(reasons=(Reason.BUG, Reason.IMAGE_NOT_FOUND)), True),
        (Filters(reasons=(Reason.BUG,)), False),
        (Filters(stages=(Stage.TEXT,)), False),
        (Filters(tenants=("acme",), items=("item-1",)), True),
        (Filters(tenants=("acme",), items=("item-2",)), False),
        (Filters(releases=("listings-other",)), False),
        (Filters(since=letter().failed_at), True),
        (Filters(until=letter().failed_at), False),
    ],
)
def test_a_letter_passes_all_filters_or_none(filters: Filters, takes: bool) -> None:
    """Each list admits any of its values; the time is from `since` up to, not with, `until`."""
    assert filters.take(letter()) is takes


def test_a_letter_is_found_by_any_of_its_failures() -> None:
    """Not only by the first, which its own columns name."""
    both = letter(failures=((Stage.IMAGE, Reason.IMAGE_NOT_FOUND), (Stage.TEXT, Reason.BUG)))
    assert Filters(reasons=(Reason.BUG,), stages=(Stage.TEXT,)).take(both)


# --- rows that BigQuery refused ------------------------------------------------------------------


def rejected(row: dict[str, object]) -> StoredDeadLetter:
    return dead_letter_from_rejected(json_line(rejected_row(("t", row, "invalid"))))


def test_a_refused_prediction_is_a_dead_letter() -> None:
    """Its message is found by the payload; of attributes only the ids are known."""
    row = prediction_row(scored())
    found = rejected(row)
    assert (found.stage, found.reason) == (Stage.SINK, Reason.ROW_REJECTED)
    assert (found.payload_uri, found.attempt) == (row["payload_uri"], 1)
    assert found.publish_time == datetime.fromisoformat(str(row["publish_time"]))
    assert found.event_time == datetime.fromisoformat(str(row["event_time"]))
    assert original_attributes(found) == {"item_id": "item-1", "tenant_id": "acme"}


def test_a_refused_dead_letter_keeps_attributes_attempt_and_failures() -> None:
    """It is found by its own reason and by that of the refusal."""
    row = dead_letter_row(dead_letter(failure(Stage.IMAGE, Reason.BUG)))
    found = rejected(row | {"attempt": 4, "attributes": '{"source": "app"}'})
    assert (found.attempt, original_attributes(found)) == (4, {"source": "app"})
    assert found.failures == ((Stage.SINK, Reason.ROW_REJECTED), (Stage.IMAGE, Reason.BUG))


# --- which are replayed --------------------------------------------------------------------------


def chosen(*letters: StoredDeadLetter, again: bool = False, limit: int | None = None) -> list[str]:
    return [one.message_id for one in choose(letters, again=again, limit=limit).dead_letters]


def test_open_ones_are_replayed_in_the_order_of_their_messages() -> None:
    """Whatever the order in which they were found; a copy counts once."""
    assert chosen(letter(3), letter(1), letter(2), letter(1)) == [
        "message-1", "message-2", "message-3",
    ]  # fmt: skip


def test_what_was_answered_stays() -> None:
    """A prediction since, a replay before, a later dead letter: each is counted by its reason."""
    found = [letter(1, state="predicted"), letter(2, state="replayed")]
    found += [letter(3, state="superseded", reason=Reason.BUG), letter(4)]
    choice = choose(found, again=False)
    assert [one.message_id for one in choice.dead_letters] == ["message-4"]
    assert choice.left_out == Counter(
        {
            (Reason.IMAGE_NOT_FOUND, "predicted"): 1,
            (Reason.IMAGE_NOT_FOUND, "replayed"): 1,
            (Reason.BUG, "superseded"): 1,
        }
    )


def test_again_brings_all_but_what_has_a_prediction() -> None:
    """A prediction is never replaced by what came before it."""
    states = ("open", "replayed", "superseded", "predicted")
    found = [letter(number, state=state) for number, state in enumerate(states, 1)]
    assert chosen(*found, again=True) == ["message-1", "message-2", "message-3"]


@pytest.mark.parametrize("again", [False, True])
def test_of_several_messages_of_one_item_the_latest_counts(again: bool) -> None:
    """Also when the latest was replayed before: an older one would take its place."""
    older, latest = letter(1, item_id="same"), letter(2, item_id="same", state="replayed")
    assert chosen(older, latest, again=again) == (["message-2"] if again else [])


@pytest.mark.parametrize(
    "older",
    [
        {"event_time": EARLY, "publish_time": NOW, "message_id": "20"},
        {"event_time": LATE, "publish_time": EARLY, "message_id": "20"},
        {"event_time": LATE, "publish_time": LATE, "message_id": "9"},
        {"event_time": LATE, "publish_time": LATE, "message_id": "09"},
    ],
)
def test_the_latest_is_that_of_the_views(older: dict[str, Any]) -> None:
    """Event time, publish time, the longer id, the larger; not which of them failed last."""
    place = {"event_time": LATE, "publish_time": LATE, "message_id": "10"}
    latest = letter(1, item_id="same", failed_at=EARLY, **place)
    found = letter(2, item_id="same", failed_at=NOW, **older)
    for letters in ((found, latest), (latest, found)):
        assert chosen(*letters) == ["10"]


def test_messages_without_ids_are_no_copies_of_each_other() -> None:
    """A message that is not JSON has no item, unless its attributes name one."""
    found = [letter(number, item_id="", tenant_id="") for number in (1, 2)]
    assert chosen(*found) == ["message-1", "message-2"]


def test_the_limit_takes_the_oldest() -> None:
    """The rest is counted, so that nobody takes the part for the whole."""
    choice = choose([letter(1), letter(2), letter(3)], again=False, limit=2)
    assert [one.message_id for one in choice.dead_letters] == ["message-1", "message-2"]
    assert choice.left_out[Reason.IMAGE_NOT_FOUND, "over_limit"] == 1


def test_the_summary_accounts_for_every_dead_letter() -> None:
    """A row a reason: found, to replay, replayed, failed, and why others stayed, if any did."""
    choice = choose(
        [letter(1), letter(2), letter(3, state="predicted"), letter(4, reason=Reason.BUG)],
        again=False,
        limit=2,
    )
    one, other = choice.dead_letters
    sent = [Sent(one, "new", NOW), Sent(other, "", NOW, "FileNotFoundError: it is gone")]
    answer = summary(choice, sent)
    assert answer.columns == (
        "reason", "found", "to replay", "replayed", "failed", "predicted since", "over limit",
    )  # fmt: skip
    assert answer.rows == [
        (Reason.BUG, 1, 0, 0, 0, 0, 1),
        (Reason.IMAGE_NOT_FOUND, 3, 2, 1, 1, 1, 0),
    ]


# --- the message ---------------------------------------------------------------------------------


def parsed(arrived: Message) -> Item:
    return parse_item(arrived, ARRIVAL, Pointer(default="listings-a"), max_bytes=1_000_000)


def stored(**attributes: str) -> str:
    """The attributes column of a message that had these."""
    return make_envelope(
        message(b"", **attributes), ARRIVAL, item_id="", tenant_id="", release=""
    ).attributes_json


def test_the_message_is_the_original_one_attempt_on() -> None:
    """Data and attributes as they were, but for the attempt and a new idempotency key."""
    attributes = {"item_id": "item-1", "idempotency_key": "old", "source": "app", "topic": "x"}
    replay = replay_message(letter(attributes=stored(**attributes)), b"\x00not json")
    assert replay.data == b"\x00not json"
    assert replay.attributes == attributes | {
        "testudo_attempt": "2",
        "testudo_event_time": "2026-11-24T10:01:00.000000+00:00",
        "idempotency_key": "message-1/replay-1",
    }


def test_a_replay_is_newer_than_its_original_and_older_than_a_newer_message() -> None:
    """It is published last of all three, and has the event time of the first."""
    first, newer = letter(1), letter(2, item_id="item-1")
    outgoing = replay_message(first, json.dumps(fields(item_id="item-1")).encode())
    published_us = time_us("2026-11-24T12:00:00Z")
    arrived = Message(outgoing.data, outgoing.attributes, "message-3", published_us)
    row = prediction_row(scored(envelope=parsed(arrived).envelope))
    replayed = rejected(row)
    assert first.order < replayed.order < newer.order
    assert replayed.publish_time == NOW
    again = replay_message(replayed, b"").attributes
    assert again["testudo_event_time"] == outgoing.attributes["testudo_event_time"]


def test_a_replay_of_a_replay_counts_on() -> None:
    """Attempts add up; each replay that is on record has had a key of its own."""
    second = letter(attempt=2, attributes=stored(testudo_attempt="2"))
    assert replay_message(second, b"").attributes["testudo_attempt"] == "3"
    again = replay_message(letter(replays=1), b"").attributes
    assert (again["testudo_attempt"], again["idempotency_key"]) == ("3", "message-1/replay-2")


def test_attributes_that_were_cut_off_are_made_anew() -> None:
    """From the ids in the row, as far as it has them."""
    cut = letter(attributes=stored(item_id="item-1", note="n" * 300))
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.attributes)
    assert original_attributes(cut) == {"item_id": "item-1", "tenant_id": "acme"}
    assert original_attributes(cut._replace(item_id="", tenant_id="")) == {}


def test_what_pubsub_reserves_is_not_sent_back_to_it() -> None:
    """It sets such attributes on delivery, and refuses a message that brings them."""
    attributes = stored(googclient_schemaencoding="JSON", source="app")
    assert original_attributes(letter(attributes=attributes)) == {"source": "app"}


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/etc/passwd#0-100",
        "gs://bucket/other/object#0-100",
        f"gs://bucket/payloads/dt=2026-11-24/../{'0' * 32}.bin#0-100",
        f"payloads/dt=2026-11-24/{'0' * 32}.bin#0-100",
        f"gs://bucket/payloads/dt=2026-11-24/{'0' * 32}.bin",
    ],
)
def test_a_row_cannot_make_the_replay_publish_something_else(uri: str) -> None:
    """Only what the pipeline itself kept: no file of the operator's machine, no other object."""
    with pytest.raises(ValueError, match="payload_uri"):
        payload_of(letter(payload_uri=uri))
