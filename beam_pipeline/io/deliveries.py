"""One puller a process and subscription, and the messages that it holds.

Enters: what Pub/Sub hands out. Leaves: messages one at a time, without waiting.
Guaranteed: a message is acked when it is settled, which is when its outcome is
stored, and not before. What was not read goes back to Pub/Sub when the last
reader closes, all else when the process ends; after kill -9, when its lease ends.
Leases are renewed in between. How many messages and bytes are held, from here to
their outcomes, is bounded: a slow model or sink slows the reading, and memory
does not grow.

An outage of Pub/Sub is waited out, however long. Whatever else goes wrong in a thread
here is raised by `next`, and ends the job.

Plain pull requests, not Google's streaming pull: the emulator does not notice
when a stream ends, and hands out messages to nobody from then on.
"""

import atexit
import logging
import os
import threading
from collections.abc import Iterable

import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import ReceivedMessage

from beam_pipeline.io.held import Held
from beam_pipeline.io.threads import Background

LOG = logging.getLogger(__name__)
_PULL_COUNT = 100  # messages a request
# The emulator holds an empty request until a second before this. `close` must
# wait for that: what is given back meanwhile would go to the waiting request,
# which nobody reads, and stay there until its lease ends.
_PULL_TIMEOUT_S = 5.0
_CLOSE_ALLOWED_S = 10.0
_REQUEST_TIMEOUT_S = 10.0
_RETRY_FOR_S = 60.0
_WAIT_FOR_ROOM_S = 0.02
_WAIT_AFTER_ERROR_S = 1.0
# After kill -9 messages come back when this is over: short, so that recovery is fast.
_LEASE_S = 30
_RENEW_EVERY_S = 5.0  # half of Pub/Sub's shortest first lease
# An engine that loses what it has read would have its leases renewed for ever.
_MAX_HELD_S = 1800.0
_IDS_A_REQUEST = 1000  # Pub/Sub takes 512 KB
_TRANSIENT = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.Aborted)
# All that a request may end with. RetryError, the end of trying again, is no
# GoogleAPICallError, only a GoogleAPIError.
_REFUSALS = (exceptions.GoogleAPIError, GoogleAuthError)


class PullError(Exception):
    """Pub/Sub does not hand out messages, and would not if it were asked again."""


class Pull:
    """A running puller, shared by every reader of one subscription.

    Acks that Pub/Sub does not take now are tried again for `retry_for_s`. A message
    without an outcome is given up after `max_held_s`. Safe to use from several threads.
    """

    def __init__(
        self,
        subscription: str,
        max_messages: int,
        max_bytes: int,
        *,
        retry_for_s: float = _RETRY_FOR_S,
        renew_every_s: float = _RENEW_EVERY_S,
        max_held_s: float = _MAX_HELD_S,
    ) -> None:
        self.subscription = subscription
        self.readers = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._retry = Retry(predicate=if_exception_type(*_TRANSIENT), timeout=retry_for_s)
        self._renew_every_s = renew_every_s
        self._max_held_s = max_held_s
        self._held = Held()
        self._closing = threading.Event()
        self._refusal = ""
        self._client = _client()
        self._threads = [
            Background(work, f"pubsub-{work.__name__}") for work in (self._pull, self._renew)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def held(self) -> int:
        """How many messages are here and neither acked nor given back."""
        return len(self._held)

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error, which `next` raises."""
        return bool(self._refusal) or any(thread.error for thread in self._threads)

    def next(self) -> ReceivedMessage | None:
        """The next message, None when there is none now or a drain has begun.

        Raises PullError, for instance for a subscription that is not there, and
        BackgroundError for a bug in a thread of this puller.
        """
        if not _draining.is_set():
            if (message := self._held.read()) is not None:
                return message
            if self._refusal:
                raise PullError(self._refusal)
        for thread in self._threads:
            thread.check()
        return None

    def settle(self, message_ids: Iterable[str]) -> None:
        """Ack messages whose outcomes are stored; does nothing for one not held here.

        Should Pub/Sub not take an ack, the message comes back when its lease ends.
        """
        held = self._held.ack_ids(message_ids)
        try:
            for ids in _parts(held):
                self._acknowledge(ids)
        finally:
            self._held.remove(held)

    def give_back(self, ack_ids: list[str]) -> None:
        """Let Pub/Sub hand out messages again at once, here or elsewhere.

        Those that it does not take back it hands out when their leases end.
        """
        self._set_lease(self._held.remove(ack_ids), 0)

    def close(self) -> None:
        """End, and give back what was not acked; for the end of the process."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_CLOSE_ALLOWED_S)
        self.give_back(self._held.ack_ids())
        self._client.close()

    def _pull(self) -> None:
        while not self._closing.is_set():
            if self.readers < 1 or _draining.is_set():
                # Here, where no request of ours waits that would get them again.
                self._set_lease(self._held.remove_unread(), 0)
            room = self._max_messages - len(self._held)
            full = room < 1 or self._held.size_bytes >= self._max_bytes
            if full or self.readers < 1 or _draining.is_set():
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
            except _REFUSALS as error:
                self._refusal = f"{self.subscription}: {error}"
                return
            self._held.add(answer.received_messages)

    def _renew(self) -> None:
        while not self._closing.wait(self._renew_every_s):
            if lost := self._held.remove_older(self._max_held_s):
                LOG.error("%d messages have no outcome and are given up", lost)
            self._set_lease(self._held.ack_ids(), _LEASE_S)

    def _acknowledge(self, ack_ids: list[str]) -> None:
        try:
            self._client.acknowledge(
                subscription=self.subscription,
                ack_ids=ack_ids,
                retry=self._retry,
                timeout=_REQUEST_TIMEOUT_S,
            )
        except _REFUSALS as error:
            LOG.warning("%s does not take acks: %s", self.subscription, error)

    def _set_lease(self, ack_ids: list[str], seconds: int) -> None:
        """Not tried again here: renewals come round, and what ends without one comes again."""
        for ids in _parts(ack_ids):
            try:
                self._client.modify_ack_deadline(
                    subscription=self.subscription,
                    ack_ids=ids,
                    ack_deadline_seconds=seconds,
                    retry=None,
                    timeout=_REQUEST_TIMEOUT_S,
                )
            except _REFUSALS as error:
                LOG.warning("%s does not set leases: %s", self.subscription, error)


_draining = threading.Event()
_pulls: dict[str, Pull] = {}
_pulls_lock = threading.Lock()


def open_pull(subscription: str, max_messages: int, max_bytes: int) -> Pull:
    """The process's puller of one subscription, started by its first reader.

    Each call needs one `close_pull`. The limits are those of the first call.
    """
    with _pulls_lock:
        pull = _pulls.get(subscription)
        if pull is not None and pull.failed:
            del _pulls[subscription]
            pull.close()
            pull = None
        if pull is None:
            pull = _pulls[subscription] = Pull(subscription, max_messages, max_bytes)
        pull.readers += 1
        return pull


def close_pull(pull: Pull, read: list[str]) -> None:
    """Take back one `open_pull`; without a reader nothing more is asked for.

    `read` holds the ack ids of what its reader took and handed to no bundle: they
    are given back.
    """
    with _pulls_lock:
        pull.readers -= 1
    pull.give_back(read)


@atexit.register
def close_pulls() -> None:
    """End every puller of this process and give back what was not acked.

    Runs at the end of the process; for whoever cancels a job and goes on.
    Without it (kill -9) Pub/Sub waits until the leases end.
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


def is_draining() -> bool:
    return _draining.is_set()


def settle(subscription: str, message_ids: Iterable[str]) -> None:
    """Ack messages whose outcomes are stored; does nothing when their pull has ended."""
    with _pulls_lock:
        pull = _pulls.get(subscription)
    if pull is not None:
        pull.settle(message_ids)


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
