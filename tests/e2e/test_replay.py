"""Dead letters that come back: found, replayed from their payloads, and never doubled."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from builders import jpeg
from function_releases import with_functions
from google.cloud import pubsub_v1, storage
from streaming import REPOSITORY, Pipeline, wait_for_tables
from waiting import eventually, exit_code

from beam_pipeline.io.writers import rejected_row
from models.failures import Stage
from models.release import copy_release, read_manifest, read_pointer, write_pointer
from testudo.cli import main
from testudo.commands.engines import BigQueryEngine
from testudo.commands.rejected_rows import REJECTED_ROWS
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, Environment
from testudo.local.stack import LocalStack
from transforms.outcomes import json_line
from transforms.payload_objects import read_payload

Replay = Callable[..., str]


@pytest.fixture
def replay(
    stack: LocalStack,
    pipeline: Pipeline,
    engine: BigQueryEngine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Replay:
    """`testudo replay` on the stack, as typed: what it prints, once it has ended well."""
    wait_for_tables(engine)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*flags: str) -> str:
        capsys.readouterr()
        assert main(["replay", f"--home={stack.home}", *flags]) == 0
        return capsys.readouterr().out

    return run


def item(tenant_id: str, number: int, **fields: str) -> Outgoing:
    item_id = f"{tenant_id}-{number}"
    data = json.dumps({"item_id": item_id, "tenant_id": tenant_id, **fields}).encode()
    return Outgoing(data, {"item_id": item_id, "tenant_id": tenant_id, "source": "a test"})


def awaiting_images(place: Environment, tenant_id: str, count: int) -> list[Outgoing]:
    """Items whose image nobody has uploaded yet."""
    uri = f"gs://{place.image_bucket}/{tenant_id}"
    return [item(tenant_id, number, image_uri=f"{uri}/{number}.jpg") for number in range(count)]


def upload_images(place: Environment, tenant_id: str, count: int) -> None:
    bucket = storage.Client(project=place.project).bucket(place.image_bucket)
    for number in range(count):
        bucket.blob(f"{tenant_id}/{number}.jpg").upload_from_string(jpeg(64, 64))


def states(engine: BigQueryEngine, tenant_id: str) -> list[tuple[Any, ...]]:
    """State, replays and attempt of the tenant's dead letters, by item and attempt."""
    sql = f"""SELECT item_id, state, replays, attempt FROM `{{dataset}}.dead_letter_states`
    WHERE tenant_id = '{tenant_id}' ORDER BY item_id, attempt"""
    return [tuple(row) for row in engine.ask(sql).rows]


def latest(engine: BigQueryEngine, tenant_id: str) -> dict[str, int]:
    """The attempt of each item's latest prediction; one row an item, or this fails."""
    sql = f"""SELECT item_id, attempt FROM `{{dataset}}.latest_predictions`
    WHERE tenant_id = '{tenant_id}'"""
    rows = engine.ask(sql).rows
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def dead(
    engine: BigQueryEngine, place: Environment, tenant_id: str, outgoing: list[Outgoing]
) -> None:
    """Publish messages that the pipeline turns down, and wait until it has."""
    publish(place.topic_path, outgoing)
    eventually(lambda: states(engine, tenant_id), lambda found: len(found) >= len(outgoing))


def test_items_are_predicted_once_their_images_are_there(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """Dead letters are listed, replayed, say so, and are not replayed a second time."""
    outgoing = awaiting_images(place, "late", 5)
    dead(engine, place, "late", outgoing)
    listing = replay("--dry_run", "--tenant=late", "--reason=image_not_found")
    assert all(f" late-{number} " in listing for number in range(5))
    assert "5 to replay, 0 replayed." in listing
    assert [row[1:] for row in states(engine, "late")] == [("open", 0, 1)] * 5

    upload_images(place, "late", 5)
    assert "1 to replay, 1 replayed." in replay("--tenant=late", "--item=late-3")
    assert "4 to replay, 4 replayed." in replay("--tenant=late", "--rate=0")
    eventually(lambda: latest(engine, "late"), lambda found: len(found) == 5)
    assert set(latest(engine, "late").values()) == {2}
    assert [row[1:] for row in states(engine, "late")] == [("predicted", 1, 1)] * 5
    assert "0 to replay, 0 replayed." in replay("--tenant=late")
    assert "0 to replay, 0 replayed." in replay("--tenant=late", "--again")


def test_the_message_comes_back_as_it_was(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """Pub/Sub hands out the original data and attributes, one attempt on, under a new key."""
    (original,) = awaiting_images(place, "same", 1)
    original.attributes["idempotency_key"] = "the first"
    original.attributes["timeout"] = "named like an argument of the client"
    topic = pubsub_v1.PublisherClient()
    with pubsub_v1.SubscriberClient() as subscriber:
        tap = subscriber.subscription_path(place.project, "tap")
        message = {"data": original.data, "attributes": original.attributes}
        request = {"topic": place.topic_path, "messages": [message]}
        topic.api.publish(request=request)
        eventually(lambda: states(engine, "same"), bool)
        subscriber.create_subscription(name=tap, topic=place.topic_path)
        replay("--tenant=same")
        pulled = eventually(
            lambda: subscriber.pull(subscription=tap, max_messages=10).received_messages, bool
        )
        subscriber.delete_subscription(subscription=tap)
    topic.stop()
    (replayed,) = [one.message for one in pulled]
    assert replayed.data == original.data
    ((event_time,),) = engine.ask(
        "SELECT DISTINCT event_time FROM `{dataset}.dead_letters` WHERE tenant_id = 'same'"
    ).rows
    changed = {"testudo_attempt": "2"}
    changed["testudo_event_time"] = event_time.isoformat(timespec="microseconds")
    key = replayed.attributes["idempotency_key"]
    assert key != "the first"
    assert dict(replayed.attributes) == original.attributes | changed | {"idempotency_key": key}
    rows = engine.ask(
        "SELECT replay_message_id, attempt FROM `{dataset}.replays` WHERE tenant_id = 'same'"
    ).rows
    assert [tuple(row) for row in rows] == [(replayed.message_id, 2)]


def test_a_replay_that_fails_again_can_be_replayed_again(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """Only its last dead letter counts: one replay at a time, however many came before."""
    dead(engine, place, "twice", awaiting_images(place, "twice", 1))
    replay("--tenant=twice")
    eventually(lambda: states(engine, "twice"), lambda found: len(found) == 2)
    assert states(engine, "twice") == [
        ("twice-0", "superseded", 1, 1),
        ("twice-0", "open", 0, 2),
    ]
    upload_images(place, "twice", 1)
    assert "1 to replay, 1 replayed." in replay("--tenant=twice")
    assert eventually(lambda: latest(engine, "twice"), bool) == {"twice-0": 3}
    assert [row[1] for row in states(engine, "twice")] == ["predicted"] * 2


def test_what_was_corrected_since_is_left_alone(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """An older message never takes the place of a newer one of the same item."""
    dead(engine, place, "mended", awaiting_images(place, "mended", 1))
    publish(place.topic_path, [item("mended", 0, text="a red mug, and no picture")])
    assert eventually(lambda: latest(engine, "mended"), bool) == {"mended-0": 1}
    assert states(engine, "mended") == [("mended-0", "predicted", 0, 1)]
    assert "0 to replay, 0 replayed." in replay("--tenant=mended")


def test_a_replay_does_not_take_the_place_of_a_newer_message(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """Of two broken versions the older is replayed, and published last: the newer stays open."""
    dead(engine, place, "place", awaiting_images(place, "place", 1))
    publish(place.topic_path, [item("place", 0, image="no base64")])
    eventually(lambda: states(engine, "place"), lambda found: len(found) == 2)
    assert {row[1] for row in states(engine, "place")} == {"superseded", "open"}
    upload_images(place, "place", 1)
    flags = ("--tenant=place", "--reason=image_not_found")
    assert "0 to replay, 0 replayed." in replay(*flags)
    assert "1 to replay, 1 replayed." in replay(*flags, "--again")
    assert eventually(lambda: latest(engine, "place"), bool) == {"place-0": 2}
    sql = """SELECT reason, state FROM `{dataset}.dead_letter_states` WHERE tenant_id = 'place'"""
    assert dict(engine.ask(sql).rows) == {
        "image_not_found": "predicted",
        "image_not_base64": "open",
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_replay_that_is_ended_in_the_middle_can_be_run_again(
    stack: LocalStack,
    place: Environment,
    engine: BigQueryEngine,
    replay: Replay,
    number: signal.Signals,
) -> None:
    """Nothing is lost and no item doubled; after Ctrl-C nothing is published twice either."""
    tenant_id, count = number.name.lower(), 30  # five minutes of replay, ended early
    dead(engine, place, tenant_id, awaiting_images(place, tenant_id, count))
    upload_images(place, tenant_id, count)
    command = [sys.executable, "-m", "testudo.cli", "replay", f"--home={stack.home}"]
    command += [f"--tenant={tenant_id}", "--rate=0.1"]

    def replays() -> int:
        sql = f"SELECT COUNT(*) FROM `{{dataset}}.replays` WHERE tenant_id = '{tenant_id}'"
        return int(engine.ask(sql).rows[0][0])

    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as running:
        try:
            eventually(replays, bool)
            running.send_signal(number)
            assert exit_code(running) == (130 if number == signal.SIGINT else -number)
        finally:
            running.kill()
    before = replays()
    assert before < count
    replay(f"--tenant={tenant_id}", "--rate=0")
    eventually(lambda: latest(engine, tenant_id), lambda found: len(found) == count)
    assert set(latest(engine, tenant_id).values()) == {2}
    found = states(engine, tenant_id)
    assert [row[1] for row in found] == ["predicted"] * count
    if number == signal.SIGINT:  # a kill may leave some replays without their record
        assert [row[2] for row in found] == [1] * count
        sql = f"SELECT COUNT(*) FROM `{{dataset}}.predictions` WHERE tenant_id = '{tenant_id}'"
        assert engine.ask(sql).rows[0][0] == count


def test_rows_that_bigquery_refused_are_replayed_too(
    place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """A refused prediction and a refused dead letter lead back to their messages."""
    dead(engine, place, "refused", awaiting_images(place, "refused", 2))
    upload_images(place, "refused", 2)
    rows = engine.client.query_and_wait(
        f"SELECT * FROM `{place.dataset}.dead_letters` WHERE tenant_id = 'refused'"
    )
    lines = []
    for number, row in enumerate(rows):
        # Under a message id of its own, so that the table knows nothing of it.
        refused = json.loads(json.dumps(dict(row), default=datetime.isoformat))
        refused["message_id"] = f"refused-{number}"
        lines.append(json_line(rejected_row(("predictions", refused, [{"reason": "invalid"}]))))
    name = f"{REJECTED_ROWS}/dt=2999-01-01/rows.jsonl"
    blob = storage.Client(project=place.project).bucket(LOCAL.bucket).blob(name)
    blob.upload_from_string("\n".join(lines) + "\n")
    flags = ("--reason=row_rejected", "--stage=sink", "--tenant=refused")
    try:
        assert "2 to replay, 0 replayed." in replay(*flags, "--dry_run")
        assert "2 to replay, 2 replayed." in replay(*flags)
        assert "0 to replay, 0 replayed." in replay(*flags)
        eventually(lambda: latest(engine, "refused"), lambda found: len(found) == 2)
        assert "0 to replay, 0 replayed." in replay(*flags, "--again")
    finally:
        blob.delete()
    assert set(latest(engine, "refused").values()) == {2}


def test_a_dead_letter_of_every_stage_is_replayed(
    trained: Path, tmp_path: Path, place: Environment, engine: BigQueryEngine, replay: Replay
) -> None:
    """Its payload is what was published; what is still broken fails again, one attempt on."""
    of_bad_release = publish_for_a_bad_release(trained, tmp_path, place, engine)
    broken = [
        Outgoing(b"\xff\x00{", {"item_id": "stages-0", "tenant_id": "stages"}),
        item("stages", 1),
        item("stages", 2, image="no base64"),
        awaiting_images(place, "stages", 4)[3],
    ]
    dead(engine, place, "stages", broken)
    sent = {one.attributes["item_id"]: one.data for one in [*broken, *of_bad_release]}
    rows = engine.ask(
        "SELECT item_id, payload_uri, stage FROM `{dataset}.dead_letters` "
        "WHERE tenant_id IN ('stages', 'bad')"
    ).rows
    assert {stage for _, _, stage in rows} == {Stage.PARSE, Stage.IMAGE, Stage.TEXT}
    assert all(read_payload(uri) == sent[item_id] for item_id, uri, _ in rows)
    assert "4 to replay, 4 replayed." in replay("--tenant=stages")
    found = eventually(lambda: states(engine, "stages"), lambda rows: len(rows) == 8)
    assert [row[3] for row in found] == [1, 2] * 4

    # The pipeline reads the restored pointer in a moment; until then it fails again.
    assert eventually(lambda: replayed_once_more(engine, replay, "bad"), bool)


def publish_for_a_bad_release(
    trained: Path, scratch: Path, place: Environment, engine: BigQueryEngine
) -> list[Outgoing]:
    """Messages of tenant `bad`, some dead-lettered by its release's function; it is back now."""
    releases = LOCAL.releases
    pointer = read_pointer(releases)
    manifest = read_manifest(str(trained), pointer.default)
    root = shutil.copytree(trained, scratch / "releases")
    bad = with_functions(
        str(root), manifest, "def prepare_text(text):\n    return 1 / 0\n", scratch
    )
    copy_release(str(root), releases, bad.release)
    changed = dataclasses.replace(pointer, tenants={"bad": bad.release})
    write_pointer(releases, changed, replacing=pointer)
    sent: list[Outgoing] = []

    def look() -> list[tuple[Any, ...]]:
        sent.append(item("bad", len(sent), text="a text that its release cannot prepare"))
        publish(place.topic_path, sent[-1:])
        return states(engine, "bad")

    # Until the pipeline has taken up the release, the one before gives predictions.
    eventually(look, bool)
    write_pointer(releases, pointer, replacing=changed)
    return sent


def replayed_once_more(engine: BigQueryEngine, replay: Replay, tenant_id: str) -> bool:
    """Replay what is open; returns whether every dead letter has its prediction."""
    replay(f"--tenant={tenant_id}")
    return {row[1] for row in states(engine, tenant_id)} == {"predicted"}
