"""The Pub/Sub source's puller, against a gRPC server that may be away, or refuse for good."""

import collections
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types
from streaming import eventually

from beam_pipeline.io import deliveries
from beam_pipeline.io.deliveries import Pull, PullError, close_pulls, held_messages, open_pull
from beam_pipeline.io.pubsub_source import PubSubSource
from beam_pipeline.io.threads import BackgroundError

SUBSCRIPTION = "projects/testudo-tests/subscriptions/items"
SERVICE = "google.pubsub.v1.Subscriber"


class Subscription:
    """One subscription on a server of its own. Hands out each message once.

    While `refuses` is a status, every request is answered with it, and counted.
    """

    def __init__(self) -> None:
        self.refuses: grpc.StatusCode | None = None
        self.refused: collections.Counter[str] = collections.Counter()
        self.pulled = 0
        self.acked: list[str] = []
        self.leased: collections.Counter[str] = collections.Counter()  # renewals, by ack id
        self._waiting: collections.deque[types.ReceivedMessage] = collections.deque()
        self._published = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8))
        asked = [("Pull", self._pull, types.PullRequest, types.PullResponse.serialize)]
        asked += [
            (name, answer, kind, Empty.SerializeToString)
            for name, answer, kind in (
                ("Acknowledge", self._acknowledge, types.AcknowledgeRequest),
                ("ModifyAckDeadline", self._modify, types.ModifyAckDeadlineRequest),
            )
        ]
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._unless_away(name, answer), kind.deserialize, serialize
            )
            for name, answer, kind, serialize in asked
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers([generic])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def publish(self, *names: str) -> None:
        for name in names:
            message = types.PubsubMessage(data=b"data", message_id=name)
            self._waiting.append(types.ReceivedMessage(ack_id=f"ack-{name}", message=message))
        self._published.set()

    def stop(self) -> None:
        self._published.set()
        self._server.stop(0).wait()

    def _unless_away(self, name: str, answer: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            if self.refuses is not None:
                self.refused[name] += 1
                context.abort(self.refuses, f"{request.subscription} is not here")
            return answer(request)

        return handle

    def _pull(self, request: types.PullRequest) -> types.PullResponse:
        self._published.wait(0.5)
        self._published.clear()
        count = min(request.max_messages, len(self._waiting))
        self.pulled += count
        return types.PullResponse(received_messages=[self._waiting.popleft() for _ in range(count)])

    def _acknowledge(self, request: types.AcknowledgeRequest) -> Empty:
        self.acked += request.ack_ids
        return Empty()

    def _modify(self, request: types.ModifyAckDeadlineRequest) -> Empty:
        self.leased.update(request.ack_ids if request.ack_deadline_seconds else ())
        return Empty()


@pytest.fixture
def subscription(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscription]:
    running = Subscription()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.address)
    yield running
    close_pulls()
    running.stop()


def opened(subscription: str = SUBSCRIPTION, **how: Any) -> Pull:
    """A pull with a reader, which tries again for a moment only."""
    limits = {"max_messages": 10, "max_bytes": 2**20, "retry_for_s": 0.5, "renew_every_s": 0.1}
    pull = deliveries._pulls[SUBSCRIPTION] = Pull(subscription, **{**limits, **how})
    pull.readers = 1
    return pull


def read(pull: Pull, count: int) -> list[str]:
    """The ids of the next messages."""
    names: list[str] = []

    def one_more() -> list[str]:
        while (received := pull.next()) is not None:
            names.append(received.message.message_id)
        return names

    return eventually(one_more, lambda found: len(found) >= count)


@pytest.mark.slow
@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_an_outage_is_waited_out(subscription: Subscription, status: grpc.StatusCode) -> None:
    """One that outlasts all tries: then messages are read, settled, and leases renewed again."""
    pull = opened()
    subscription.publish("a", "b", "c", "d")
    assert read(pull, 4) == ["a", "b", "c", "d"]
    subscription.refuses = status
    pull.settle(["a", "b"])  # for as long as it is tried
    eventually(lambda: subscription.refused["ModifyAckDeadline"], lambda count: count >= 3)
    eventually(lambda: subscription.refused["Pull"], lambda count: count >= 2)
    assert pull.held == 2  # what could not be acked comes again, and has no slot here
    subscription.refuses = None
    subscription.leased.clear()
    subscription.publish("e")
    assert read(pull, 1) == ["e"]
    eventually(
        lambda: subscription.leased, lambda leased: {"ack-c", "ack-d", "ack-e"} == set(leased)
    )
    pull.settle(["c", "d", "e"])
    assert subscription.acked == ["ack-c", "ack-d", "ack-e"]
    assert pull.held == 0


@pytest.mark.slow
def test_outages_take_no_room(subscription: Subscription) -> None:
    """Ten times as many messages as there is room for pass, while no ack is ever taken."""
    pull = opened(max_messages=3, retry_for_s=0.01)
    for number in range(10):
        subscription.refuses = None
        sent = [f"{number}-{place}" for place in range(3)]
        subscription.publish(*sent)
        assert read(pull, 3) == sent
        subscription.refuses = grpc.StatusCode.UNAVAILABLE
        pull.settle(sent)
    assert subscription.acked == []


def test_what_has_no_outcome_makes_room(subscription: Subscription) -> None:
    """Messages that an engine lost are given up after a while, read or not, and others come."""
    pull = opened(max_messages=3, max_held_s=0.2)
    subscription.publish("a", "b", "c")
    eventually(lambda: subscription.pulled, lambda pulled: pulled == 3)
    pull.next()
    subscription.publish("d")
    eventually(lambda: subscription.pulled, lambda pulled: pulled == 4)
    eventually(lambda: pull.held, lambda held: held == 0)
    assert pull.next() is None


def test_a_refusal_for_good_is_raised(subscription: Subscription) -> None:
    """The reader says which subscription; opened again, when it is there, it reads."""
    subscription.refuses = grpc.StatusCode.NOT_FOUND
    first = PubSubSource(SUBSCRIPTION).create_reader(None, None)
    with pytest.raises(PullError, match=f"404 .*{SUBSCRIPTION}"):
        eventually(first.advance, bool)
    subscription.refuses = None
    subscription.publish("a")
    second = PubSubSource(SUBSCRIPTION).create_reader(None, None)
    eventually(second.advance, bool)
    first.close()
    second.close()
    eventually(held_messages, lambda held: held == {SUBSCRIPTION: 0})
    close_pulls()
    assert not [one for one in threading.enumerate() if one.name.startswith("pubsub-")]


def test_a_clock_that_is_set_back_makes_no_message_late(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine drops what is before the watermark that an earlier reader has told."""
    first = PubSubSource(SUBSCRIPTION).create_reader(None, None)
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    second = PubSubSource(SUBSCRIPTION).create_reader(None, None)
    assert second.get_current_timestamp() >= first.get_watermark()
    first.close()
    second.close()
    close_pulls()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("how", "thread"),
    [
        pytest.param({"subscription": 7}, "_pull", id="pulling"),
        pytest.param({"renew_every_s": "often"}, "_renew", id="renewing"),
    ],
)
@pytest.mark.usefixtures("subscription")
def test_a_bug_in_a_thread_ends_the_job(how: dict[str, Any], thread: str) -> None:
    """The reader raises it: otherwise leases would run out, and nothing would be read for ever."""
    pull = opened(**how)
    with pytest.raises(BackgroundError, match=f"pubsub-{thread} ended with TypeError"):
        eventually(pull.next, lambda one: one is not None)
    assert pull.failed


def test_an_outage_at_the_end_is_no_error(subscription: Subscription) -> None:
    """What cannot be given back comes again when its lease ends; the end waits for nothing."""
    pull = open_pull(SUBSCRIPTION, 10, 2**20)
    subscription.publish("a", "b")
    assert len(read(pull, 2)) == 2
    subscription.refuses = grpc.StatusCode.UNAVAILABLE
    deliveries.close_pull(pull, ["ack-a"])
    close_pulls()
    assert held_messages() == {}
    assert subscription.refused["ModifyAckDeadline"] >= 2
