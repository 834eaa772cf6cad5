"""One puller a process and subscription, and the messages that it holds.

Enters: what Pub/Sub hands out. Leaves: messages one at a time, without waiting.
Guaranteed: a message is acked only in a batch that was committed; every other
one goes back to Pub/Sub when the last reader closes. Leases are renewed in
between, and how many messages and bytes are held, read or not, is bounded.

Plain pull requests, not Google's streaming pull: the emulator does not notice
when a stream ends, and hands out messages to nobody from then on.
"""

import atexit
import collections
import itertools
import logging
import os
import threading
import uuid

import grpc
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import ReceivedMessage

LOG = logging.getLogger(__name__)
_PULL_COUNT = 100  # messages a request
# The emulator holds an empty request until a second before this. `close` must
# wait for that: what is given back meanwhile would go to the waiting request,
# which nobody reads, and stay there until its lease ends.
_PULL_TIMEOUT_S = 5.0
_CLOSE_ALLOWED_S = 10.0
_WAIT_FOR_ROOM_S = 0.02
_WAIT_AFTER_ERROR_S = 1.0
_LEASE_S = 60
_RENEW_EVERY_S = 20.0
_IDS_A_REQUEST = 1000  # Pub/Sub takes 512 KB
_TRANSIENT = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.Aborted)


class Pull:
    """A running puller, shared by every reader of one subscription.

    Safe to use from several threads.
    """

    def __init__(self, subscription: str, max_messages: int, max_bytes: int) -> None:
        self.subscription = subscription
        self.key = f"{subscription}#{uuid.uuid4().hex}"
        self.readers = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._held: dict[str, int] = {}  # bytes by ack id: neither acked nor given back
        self._arrived: collections.deque[ReceivedMessage] = collections.deque()
        self._batches: dict[int, list[str]] = {}  # ack ids
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._error: exceptions.GoogleAPICallError | None = None
        self._client = _client()
        self._threads = [
            threading.Thread(target=work, daemon=True, name=f"pubsub-{work.__name__}")
            for work in (self._pull, self._renew)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_drained(self) -> bool:
        """Whether a drain has begun and every message that was read is acked."""
        return _draining.is_set() and not self._batches

    @property
    def held(self) -> int:
        """How many messages are here and neither acked nor given back."""
        return len(self._held)

    def next(self) -> ReceivedMessage | None:
        """The next message, None when there is none now or a drain has begun.

        Raises what ended the pulling, for instance NotFound for a subscription
        that is not there.
        """
        if _draining.is_set():
            return None
        try:
            return self._arrived.popleft()
        except IndexError:
            if self._error is not None:
                raise self._error from None
            return None

    def cut(self, ack_ids: list[str]) -> int:
        """Hold messages as one batch until `ack`; returns its number, new each time."""
        with self._lock:
            number = next(self._numbers)
            if ack_ids and not self._closing.is_set():
                self._batches[number] = ack_ids
        return number

    def ack(self, number: int) -> None:
        """Ack one batch; does nothing for one that was acked or given back."""
        with self._lock:
            batch = self._batches.get(number, [])
        for ids in _parts(batch):
            self._client.acknowledge(subscription=self.subscription, ack_ids=ids)
        with self._lock:
            self._batches.pop(number, None)
            for each in batch:
                self._held.pop(each, None)

    def give_back(self, ack_ids: list[str]) -> None:
        """Let Pub/Sub hand out messages again at once, here or elsewhere."""
        with self._lock:
            held = [each for each in ack_ids if self._held.pop(each, None) is not None]
        self._set_lease(held, 0)

    def close(self) -> None:
        """End, and give back what was not acked."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_CLOSE_ALLOWED_S)
        with self._lock:
            self._batches.clear()
            self._arrived.clear()
        self.give_back(list(self._held))
        self._client.close()

    def _pull(self) -> None:
        while not self._closing.is_set():
            room = self._max_messages - len(self._held)
            if room < 1 or sum(self._held.values()) >= self._max_bytes or _draining.is_set():
                self._closing.wait(_WAIT_FOR_ROOM_S)
                continue
            try:
                answer = self._client.pull(
                    subscription=self.subscription,
                    max_messages=min(room, _PULL_COUNT),
                    timeout=_PULL_TIMEOUT_S,
                    retry=None,
                )
            except _TRANSIENT as error:
                LOG.warning("%s answers %s; asking again", self.subscription, error.code)
                self._closing.wait(_WAIT_AFTER_ERROR_S)
                continue
            except exceptions.GoogleAPICallError as error:
                self._error = type(error)(f"{self.subscription}: {error.message}")
                return
            with self._lock:
                for each in answer.received_messages:
                    self._held[each.ack_id] = len(each.message.data)
                    self._arrived.append(each)

    def _renew(self) -> None:
        while not self._closing.wait(_RENEW_EVERY_S):
            with self._lock:
                held = list(self._held)
            try:
                self._set_lease(held, _LEASE_S)
            except exceptions.GoogleAPICallError as error:
                LOG.warning("%s does not renew leases: %s", self.subscription, error)

    def _set_lease(self, ack_ids: list[str], seconds: int) -> None:
        for ids in _parts(ack_ids):
            self._client.modify_ack_deadline(
                subscription=self.subscription, ack_ids=ids, ack_deadline_seconds=seconds
            )


_draining = threading.Event()
_pulls: dict[str, Pull] = {}
_pulls_lock = threading.Lock()


def open_pull(subscription: str, max_messages: int, max_bytes: int) -> Pull:
    """The process's puller of one subscription, started by its first reader.

    Each call needs one `close_pull`. The limits are those of the first call.
    """
    with _pulls_lock:
        pull = _pulls.get(subscription)
        if pull is None:
            pull = _pulls[subscription] = Pull(subscription, max_messages, max_bytes)
        pull.readers += 1
        return pull


def close_pull(pull: Pull, read: list[str]) -> None:
    """Take back one `open_pull`; the last one ends the puller.

    `read` holds the ack ids of what its reader took and did not cut: they are
    given back.
    """
    with _pulls_lock:
        pull.readers -= 1
        if _pulls.get(pull.subscription) is not pull:
            return  # ended by close_pulls
        if pull.readers:
            pull.give_back(read)
            return
        try:
            pull.close()  # under the lock: a new pull starts after this one has given back
        finally:
            del _pulls[pull.subscription]


@atexit.register
def close_pulls() -> None:
    """End every puller of this process and give back what was not acked.

    For whoever cancels a job: Beam closes the readers of a job by itself, but
    for one whose bundle was still at work, which it forgets. Runs at the end
    of the process too. Without it (kill -9) Pub/Sub waits for the ack deadline.
    """
    with _pulls_lock:
        while _pulls:
            _, pull = _pulls.popitem()
            pull.close()


def begin_drain() -> None:
    """Read no further message in this process, and let its jobs finish what they have.

    What is here and was not read goes back to Pub/Sub when the readers close.
    """
    _draining.set()


def ack_batch(key: str, number: int) -> None:
    """Ack a batch by its pull's key; does nothing when that pull has ended."""
    with _pulls_lock:
        pull = next((each for each in _pulls.values() if each.key == key), None)
    if pull is not None:
        pull.ack(number)


def held_messages() -> dict[str, int]:
    """Messages held by each puller of this process, by subscription."""
    with _pulls_lock:
        return {subscription: pull.held for subscription, pull in _pulls.items()}


def _parts(ack_ids: list[str]) -> list[list[str]]:
    return [
        ack_ids[start : start + _IDS_A_REQUEST] for start in range(0, len(ack_ids), _IDS_A_REQUEST)
    ]


def _client() -> pubsub_v1.SubscriberClient:
    """Google's client; on the emulator with a channel that takes messages of any size."""
    host = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not host:
        return pubsub_v1.SubscriberClient()
    channel = grpc.insecure_channel(host, [("grpc.max_receive_message_length", -1)])
    return pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
