"""One streaming pull a process and subscription, and the messages that it holds.

Enters: what Pub/Sub sends. Leaves: messages one at a time, without waiting.
Guaranteed: a message is acked only in a batch that was committed; every other
one goes back to Pub/Sub when the last reader closes. Google's client extends
the leases in between, and its flow control bounds how many messages and bytes
are held, read or not.
"""

import atexit
import collections
import itertools
import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message as Delivery
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.cloud.pubsub_v1.types import FlowControl
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

_CLOSE_ALLOWED_S = 10.0
_LEASE_S = 3600
_STREAM_END_S = 0.25  # how long Pub/Sub may take to notice that a stream has ended
_GIVE_BACK_COUNT = 1000  # ids a request; Pub/Sub takes 512 KB


class Pull:
    """A running streaming pull, shared by every reader of one subscription.

    Safe to use from several threads.
    """

    def __init__(self, subscription: str, max_messages: int, max_bytes: int) -> None:
        self.subscription = subscription
        self.key = f"{subscription}#{uuid.uuid4().hex}"
        self.readers = 0
        self._held: dict[str, Delivery] = {}  # by ack id: neither acked nor given back
        self._arrived: collections.deque[Delivery] = collections.deque()
        self._batches: dict[int, list[Delivery]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closed = False
        self._client = _client()
        self._future = self._client.subscribe(
            subscription,
            callback=self._take,
            flow_control=FlowControl(
                max_messages=max_messages,
                max_bytes=max_bytes,
                max_lease_duration=_LEASE_S,
            ),
            scheduler=ThreadScheduler(ThreadPoolExecutor(max_workers=1)),
        )

    @property
    def held(self) -> int:
        """How many messages are here and neither acked nor given back."""
        return len(self._held)

    def next(self) -> Delivery | None:
        """The next message, None when there is none now.

        Raises what ended the streaming pull, for instance NotFound for a
        subscription that is not there.
        """
        try:
            return self._arrived.popleft()
        except IndexError:
            if self._future.done() and not self._closed:
                self._future.result()
            return None

    def cut(self, deliveries: list[Delivery]) -> int:
        """Hold messages as one batch until `ack`; returns its number, new each time."""
        with self._lock:
            number = next(self._numbers)
            if deliveries and not self._closed:
                self._batches[number] = deliveries
        return number

    def ack(self, number: int) -> None:
        """Ack one batch; does nothing for one that was acked or given back."""
        with self._lock:
            batch = self._batches.pop(number, [])
            for each in batch:
                self._held.pop(each.ack_id, None)
        for each in batch:
            each.ack()

    def give_back(self, deliveries: list[Delivery]) -> None:
        """Let Pub/Sub hand out messages again at once, here or elsewhere."""
        with self._lock:
            held = [self._held.pop(each.ack_id, None) for each in deliveries]
        for each in held:
            if each is not None:
                each.nack()

    def close(self) -> None:
        """End, and give back what was not acked, so that it is sent again at once.

        The stream ends first: Pub/Sub would send what is given back down the
        same stream, where nobody reads any more, and wait for its lease.
        """
        with self._lock:
            self._closed = True
        self._future.cancel()
        try:
            self._future.result(timeout=_CLOSE_ALLOWED_S)
        except (GoogleAPICallError, TimeoutError):
            pass  # what ended the stream has been raised by `next`, or the job is over anyway
        with self._lock:
            ack_ids = list(self._held)
            self._held.clear()
            self._batches.clear()
            self._arrived.clear()
        if ack_ids:
            time.sleep(_STREAM_END_S)
        for start in range(0, len(ack_ids), _GIVE_BACK_COUNT):
            self._client.modify_ack_deadline(
                subscription=self.subscription,
                ack_ids=ack_ids[start : start + _GIVE_BACK_COUNT],
                ack_deadline_seconds=0,
            )
        self._client.close()

    def _take(self, delivery: Delivery) -> None:
        with self._lock:
            self._held[delivery.ack_id] = delivery
            self._arrived.append(delivery)


_pulls: dict[str, Pull] = {}
_pulls_lock = threading.Lock()


def open_pull(subscription: str, max_messages: int, max_bytes: int) -> Pull:
    """The process's pull of one subscription, started by its first reader.

    Each call needs one `close_pull`. The limits are those of the first call.
    """
    with _pulls_lock:
        pull = _pulls.get(subscription)
        if pull is None:
            pull = _pulls[subscription] = Pull(subscription, max_messages, max_bytes)
        pull.readers += 1
        return pull


def close_pull(pull: Pull, read: list[Delivery]) -> None:
    """Take back one `open_pull`; the last one ends the streaming pull.

    `read` is what its reader took and did not cut: it is given back.
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
    """End every streaming pull of this process and give back what was not acked.

    For whoever cancels a job: Beam closes the readers of a job by itself, but
    for one whose bundle was still at work, which it forgets. Runs at the end
    of the process too. Without it (kill -9) Pub/Sub waits for the ack deadline.
    """
    with _pulls_lock:
        while _pulls:
            _, pull = _pulls.popitem()
            pull.close()


def ack_batch(key: str, number: int) -> None:
    """Ack a batch by its pull's key; does nothing when that pull has ended."""
    with _pulls_lock:
        pull = next((each for each in _pulls.values() if each.key == key), None)
    if pull is not None:
        pull.ack(number)


def held_messages() -> dict[str, int]:
    """Messages held by each streaming pull of this process, by subscription."""
    with _pulls_lock:
        return {subscription: pull.held for subscription, pull in _pulls.items()}


def _client() -> pubsub_v1.SubscriberClient:
    """Google's client; on the emulator with a channel that takes messages of any size."""
    host = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not host:
        return pubsub_v1.SubscriberClient()
    channel = grpc.insecure_channel(host, [("grpc.max_receive_message_length", -1)])
    return pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
