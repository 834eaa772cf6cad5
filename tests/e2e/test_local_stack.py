"""The laptop stack, on the real servers."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import psutil
import pytest
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, StandardOptions
from google.cloud import bigquery, pubsub_v1, storage
from waiting import DEADLINE_S, eventually, exit_code, nothing

from beam_pipeline.io.deliveries import close_pulls, held_messages
from beam_pipeline.io.pubsub_source import AckMessages, ReadFromSubscription
from testudo.errors import StackError
from testudo.local.detached import read_state, start_detached, stop_detached
from testudo.local.family import family_of, living
from testudo.local.processes import ServerProcess, wait_for_answers
from testudo.local.resources import (
    Table,
    create_buckets,
    create_tables,
    create_topic_and_subscription,
)
from testudo.local.servers import HOST, Server, control_plane, engine_server, stack_servers
from testudo.local.stack import LocalStack, is_up, state_file
from testudo.local.tools import DEFAULT_FOLDER, install_tools
from transforms.records import Message

REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / DEFAULT_FOLDER


@pytest.fixture
def options(engine_endpoint: str) -> PipelineOptions:
    return PipelineOptions(
        [
            "--runner=PortableRunner",
            f"--job_endpoint={engine_endpoint}",
            "--environment_type=LOOPBACK",
        ]
    )


@pytest.fixture
def streaming(options: PipelineOptions) -> PipelineOptions:
    options.view_as(StandardOptions).streaming = True
    options.view_as(DebugOptions).add_experiment("prism_disable_sdf_split")
    return options


def publish(topic: str, payloads: list[bytes]) -> None:
    publisher = pubsub_v1.PublisherClient()
    for sent in [publisher.publish(topic, each, kind="test") for each in payloads]:
        sent.result(timeout=DEADLINE_S)
    publisher.stop()


def pull(subscription: str, count: int) -> list[pubsub_v1.types.ReceivedMessage]:
    """Up to `count` messages that Pub/Sub would hand out now; none is acked."""
    with pubsub_v1.SubscriberClient() as client:
        answer = client.pull(subscription=subscription, max_messages=count, return_immediately=True)
        return list(answer.received_messages)


def lease_for_minutes(subscription: str) -> None:
    with pubsub_v1.SubscriberClient() as client:
        client.update_subscription(
            subscription={"name": subscription, "ack_deadline_seconds": 600},
            update_mask={"paths": ["ack_deadline_seconds"]},
        )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- what the servers do -------------------------------------------------------------------


def test_pubsub_hands_out_what_was_published(stack: LocalStack) -> None:
    """A published message is pulled with its bytes and attributes."""
    topic, subscription = create_topic_and_subscription(stack.project, "simple", "simple-sub")
    publish(topic, [b"hello"])
    (received,) = eventually(lambda: pull(subscription, 1), bool)
    assert received.message.data == b"hello"
    assert dict(received.message.attributes) == {"kind": "test"}


def test_bigquery_answers_queries_over_inserted_rows(stack: LocalStack) -> None:
    """Rows inserted into a created table are seen by a query, a view and a second set-up."""
    fields = [
        bigquery.SchemaField("at", "TIMESTAMP", mode="REQUIRED"),
        bigquery.SchemaField("tenant_id", "STRING"),
        bigquery.SchemaField("label", "STRING"),
    ]
    tables = {"rows": Table(fields, "at", ["tenant_id"])}
    views = {"counts": "SELECT tenant_id, COUNT(*) AS n FROM shop.rows GROUP BY tenant_id"}
    create_tables(stack.project, "shop", tables, views)
    client = bigquery.Client(project=stack.project)
    row = {"at": "2026-01-02T03:04:05Z", "tenant_id": "a", "label": "x"}
    assert client.insert_rows_json("shop.rows", [row, {**row, "label": "y"}]) == []
    create_tables(stack.project, "shop", tables, views)
    answer = [tuple(each) for each in client.query("SELECT * FROM shop.counts").result()]
    layout = client.get_table("shop.rows")
    assert answer == [("a", 2)]
    assert layout.time_partitioning.field == "at"
    assert layout.clustering_fields == ["tenant_id"]


def test_storage_returns_the_object_that_was_put(stack: LocalStack) -> None:
    """An uploaded object is downloaded unchanged, and making a bucket twice is no error."""
    create_buckets(stack.project, ["pictures"])
    create_buckets(stack.project, ["pictures"])
    bucket = storage.Client(project=stack.project).bucket("pictures")
    bucket.blob("a/b.bin").upload_from_string(b"\x00\x01")
    assert bucket.blob("a/b.bin").download_as_bytes() == b"\x00\x01"


FRAME = """
from google.cloud import bigquery
asked = bigquery.Client().query("SELECT DATE '2026-11-27' AS day")
print(asked.to_dataframe(create_bqstorage_client=False).day[0])
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["gcloud", "pubsub", "topics", "list", "--format=value(name)"], "/topics/seen"),
        (["gcloud", "storage", "ls"], "gs://seen/"),
        (["gcloud", "dataflow", "jobs", "list", "--region=europe-west1"], "Listed 0 items."),
        (["bq", "query", "--nouse_legacy_sql", "SELECT 6 * 7 AS answer"], "42"),
        ([sys.executable, "-c", FRAME], "2026-11-27"),
    ],
    ids=["gcloud pubsub", "gcloud storage", "gcloud dataflow", "bq", "pandas"],
)
def test_googles_tools_are_led_to_the_stack(
    stack: LocalStack, tmp_path: Path, command: list[str], said: str
) -> None:
    """By `testudo local env` alone: nobody has logged in."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    create_topic_and_subscription(stack.project, "seen", "seen")
    create_buckets(stack.project, ["seen"])
    environment = {**os.environ, **stack.environment, "CLOUDSDK_CONFIG": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said in done.stdout + done.stderr


def test_prism_runs_a_beam_job(options: PipelineOptions) -> None:
    """A batch job submitted to the stack's endpoint ends as DONE with the right count."""
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | beam.Create([1, 2, 3]) | beam.Map(count_one)
    result = pipeline.run()
    result.wait_until_finish()
    assert result.state == "DONE"
    ones = beam.metrics.MetricsFilter().with_name("ones")
    (counter,) = result.metrics().query(ones)["counters"]
    assert counter.committed == 3


def test_every_server_listens_on_this_machine_only(stack: LocalStack) -> None:
    """No server accepts a connection on an address other than the loopback one."""
    assert {each.server.name: each.open_addresses() for each in stack.servers} == {
        "pubsub": [],
        "bigquery": [],
        "storage": [],
        "control": [],
    }
    assert all(listens(port) for each in stack.servers for port in each.ports)


# --- the Pub/Sub source --------------------------------------------------------------------

received: dict[bytes, Message] = {}
may_pass = threading.Event()


def count_one(value: int) -> int:
    beam.metrics.Metrics.counter("test", "ones").inc()
    return value


def remember(message: Message) -> Message:
    received[message.data] = message
    return message


def wait_to_pass(message: Message) -> Message:
    received[message.data] = message
    may_pass.wait(10 * DEADLINE_S)
    return message


def id_of(message: Message) -> str:
    return message.message_id


def test_source_acks_every_message_that_is_settled(
    stack: LocalStack, streaming: PipelineOptions
) -> None:
    """500 messages arrive, all are acked, and the subscription has nothing left to hand out."""
    received.clear()
    topic, subscription = create_topic_and_subscription(stack.project, "many", "many-sub")
    sent = [b"message %d" % number for number in range(500)]
    publish(topic, sent)
    pipeline = beam.Pipeline(options=streaming)
    _ = (
        pipeline
        | ReadFromSubscription(subscription=subscription)
        | beam.Map(remember)
        | beam.Map(id_of)
        | AckMessages(subscription=subscription)
    )
    result = pipeline.run()
    try:
        eventually(lambda: len(received), lambda found: found == len(sent))
        eventually(held_messages, lambda held: held == {subscription: 0})
    finally:
        result.cancel()
    assert {message.attributes["kind"] for message in received.values()} == {"test"}
    close_pulls()
    assert pull(subscription, 1000) == []


@pytest.mark.parametrize("passing", [False, True], ids=["in a bundle", "in a bundle that is done"])
def test_source_gives_back_what_was_not_settled(
    stack: LocalStack, streaming: PipelineOptions, *, passing: bool
) -> None:
    """Messages of a job that ends before their outcome is stored are handed out again at once."""
    received.clear()
    may_pass.clear()
    name = f"held-{passing}"
    topic, subscription = create_topic_and_subscription(stack.project, name, f"{name}-sub")
    lease_for_minutes(subscription)  # so that nothing comes back because its lease has ended
    publish(topic, [b"a", b"b", b"c"])
    pipeline = beam.Pipeline(options=streaming)
    _ = pipeline | ReadFromSubscription(subscription=subscription) | beam.Map(wait_to_pass)
    result = pipeline.run()
    eventually(lambda: len(received), bool)
    if passing:
        may_pass.set()
        eventually(lambda: len(received), lambda found: found == 3)
    result.cancel()
    close_pulls()
    may_pass.set()
    assert held_messages() == {}
    back: set[bytes] = set()

    def look() -> set[bytes]:
        back.update(each.message.data for each in pull(subscription, 10))
        return back

    eventually(look, lambda seen: seen == {b"a", b"b", b"c"})


def test_source_holds_no_more_messages_than_allowed(
    stack: LocalStack, streaming: PipelineOptions
) -> None:
    """While bundles are stuck, the process takes in its limit of messages and no more."""
    received.clear()
    may_pass.clear()
    topic, subscription = create_topic_and_subscription(stack.project, "flood", "flood-sub")
    publish(topic, [b"%d" % number for number in range(300)])
    pipeline = beam.Pipeline(options=streaming)
    read = ReadFromSubscription(subscription=subscription, max_messages=40)
    ack = AckMessages(subscription=subscription)
    _ = pipeline | read | beam.Map(wait_to_pass) | beam.Map(id_of) | ack
    result = pipeline.run()
    held: list[int] = []

    def last() -> list[int]:
        held.extend(held_messages().values())
        return held[-20:]

    try:
        eventually(last, lambda seen: seen == [40] * 20)
        may_pass.set()
        eventually(lambda: len(received), lambda found: found == 300)
    finally:
        may_pass.set()
        result.cancel()
        close_pulls()
    assert max(held) == 40


def test_source_of_a_missing_subscription_fails_the_job(
    stack: LocalStack, streaming: PipelineOptions
) -> None:
    """A subscription that does not exist ends the job with an error that names it."""
    missing = f"projects/{stack.project}/subscriptions/not-there"
    pipeline = beam.Pipeline(options=streaming)
    _ = pipeline | ReadFromSubscription(subscription=missing) | beam.Map(remember)
    with pytest.raises(RuntimeError, match="not-there"):
        pipeline.run().wait_until_finish()
    close_pulls()


def test_source_stamps_messages_with_their_arrival(
    stack: LocalStack, streaming: PipelineOptions
) -> None:
    """Windows over arrival close by themselves when no further message comes."""
    received.clear()
    topic, subscription = create_topic_and_subscription(stack.project, "windows", "windows-sub")
    publish(topic, [b"one", b"two"])
    pipeline = beam.Pipeline(options=streaming)
    _ = (
        pipeline
        | ReadFromSubscription(subscription=subscription)
        | beam.WindowInto(beam.window.FixedWindows(1))
        | beam.WithKeys(key_of)
        | beam.GroupByKey()
        | beam.FlatMap(values_of)
        | beam.Map(remember)
    )
    result = pipeline.run()
    try:
        eventually(lambda: set(received), lambda found: found == {b"one", b"two"})
    finally:
        result.cancel()
        close_pulls()


def key_of(message: Message) -> str:
    return message.attributes["kind"]


def values_of(pair: tuple[str, Iterable[Message]]) -> list[Message]:
    return list(pair[1])


# --- how the stack ends --------------------------------------------------------------------

OWNER = """
import signal
import sys
import time
from pathlib import Path
from testudo.local.stack import LocalStack
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with LocalStack(Path(sys.argv[1]), print, tools=Path(sys.argv[2])):
    print("answers", flush=True)
    while True:
        time.sleep(0.1)
"""


@contextlib.contextmanager
def owner_of(home: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that holds a stack, from when every server answers."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home), str(TOOLS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
    ) as owner:
        said = list(itertools.takewhile(lambda line: line.strip() != "answers", owner.stdout or ()))
        assert owner.poll() is None, "".join(said)
        try:
            yield owner
        finally:
            owner.kill()


class Parts(NamedTuple):
    """What a running stack consists of."""

    processes: list[psutil.Process]  # each server with its guard, and what they started
    ports: list[int]


def parts_of(home: Path) -> Parts:
    servers = json.loads(state_file(home).read_text())["servers"]
    guards = [psutil.Process(server["pid"]).ppid() for server in servers]
    return Parts(
        [one for guard in guards for one in family_of(guard)],
        [port for server in servers for port in server["ports"]],
    )


def assert_nothing_is_left(home: Path, parts: Parts) -> None:
    assert len(parts.processes) >= 8
    eventually(lambda: living(parts.processes), nothing)
    eventually(lambda: [port for port in parts.ports if listens(port)], nothing)
    eventually(lambda: list((home / "data").glob("*/*")), nothing)
    assert not is_up(home)
    assert read_state(home) is None


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_their_owner(tmp_path: Path, number: signal.Signals) -> None:
    """Whatever signal ends the owner, kill -9 too: no process, port or data is left."""
    with owner_of(tmp_path) as owner:
        parts = parts_of(tmp_path)
        owner.send_signal(number)
        assert exit_code(owner) != 0
    assert_nothing_is_left(tmp_path, parts)


@pytest.mark.usefixtures("stack")
def test_servers_end_when_the_block_raises(tmp_path: Path) -> None:
    """An exception inside the block ends the servers on its way out."""
    parts: list[Parts] = []
    with pytest.raises(ZeroDivisionError), LocalStack(tmp_path, print, tools=TOOLS) as stack:
        parts.append(parts_of(stack.home))
        raise ZeroDivisionError
    assert_nothing_is_left(tmp_path, *parts)


@pytest.mark.usefixtures("stack")
def test_servers_whose_port_is_taken_get_another(tmp_path: Path) -> None:
    """Each program fails in its own way, and some live on: none is waited for in vain."""
    tools = install_tools(TOOLS, print)
    for each in (*stack_servers(tools, tmp_path), engine_server(tools), control_plane({})):
        with contextlib.closing(socket.socket()) as other:
            other.bind((HOST, 0))
            given = [other.getsockname()[1]]

            def command(ports: list[int], folder: Path, each: Server = each) -> list[str]:
                return each.command([given.pop() if given else ports[0], *ports[1:]], folder)  # noqa: B023

            late = each._replace(command=command)
            log = tmp_path / f"{each.name}.log"
            process = ServerProcess(late, tmp_path / each.name, log, keep_data=False)
            try:
                process.start()
                wait_for_answers([process], DEADLINE_S, time.monotonic, time.sleep)
            finally:
                process.stop()


def test_detached_stack_stays_until_it_is_taken_down(tmp_path: Path) -> None:
    """`up` leaves a running stack, a second one is refused, `down` leaves nothing."""
    started = start_detached(tmp_path, print, tools=TOOLS)
    parts = parts_of(tmp_path)
    assert [each.alive for each in started.servers] == [True] * 4
    assert read_state(tmp_path) is not None
    with pytest.raises(StackError, match="already"), LocalStack(tmp_path, print, tools=TOOLS):
        pass
    assert stop_detached(tmp_path) is True
    assert stop_detached(tmp_path) is False
    assert_nothing_is_left(tmp_path, parts)


@pytest.mark.usefixtures("stack")
def test_dead_server_is_seen_and_the_rest_can_be_taken_down(tmp_path: Path) -> None:
    """A server that was killed shows as dead, and `down` still ends the others."""
    started = start_detached(tmp_path, print, tools=TOOLS)
    parts = parts_of(tmp_path)
    victim = psutil.Process(started.servers[0].pid)
    victim.kill()
    eventually(lambda: living([victim]), nothing)
    seen = read_state(tmp_path)
    assert seen is not None
    assert [each.alive for each in seen.servers] == [False, True, True, True]
    assert stop_detached(tmp_path) is True
    assert_nothing_is_left(tmp_path, parts)


@pytest.mark.usefixtures("stack")
def test_state_left_by_a_crash_does_not_count(tmp_path: Path) -> None:
    """After kill -9 of the owner its state file is stale: a new stack starts at once."""
    with owner_of(tmp_path) as owner:
        owner.kill()
    assert state_file(tmp_path).exists()
    assert read_state(tmp_path) is None
    with LocalStack(tmp_path, print, tools=TOOLS):
        assert is_up(tmp_path)
    assert not state_file(tmp_path).exists()
