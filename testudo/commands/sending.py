"""Messages that a command sends: gathered into requests, a few of them on their way at a time."""

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from google.api_core.exceptions import GoogleAPIError
from google.pubsub_v1 import PubsubMessage

from beam_pipeline.io.publishing import Publisher, size_of
from testudo.errors import CommandError

MAX_MESSAGES, MAX_BYTES = 500, 1_000_000  # a request; Pub/Sub takes 1,000 and 10 MB
AT_ONCE = 16  # requests


class Outgoing(NamedTuple):
    """One message to publish; `source` says where it came from, as `a.jsonl, line 3`."""

    data: bytes
    attributes: dict[str, str]
    source: str = ""


def pubsub_message(message: Outgoing) -> PubsubMessage:
    return PubsubMessage(data=message.data, attributes=message.attributes)


def publish(topic: str, messages: Iterable[Outgoing], *, rate: float = 0.0) -> int:
    """Publish at `rate` messages a second (0: at once), on schedule; returns how many.

    Raises CommandError when a message is not taken; no other is sent then.
    """
    requests = _Requests(topic)
    started = time.monotonic()
    try:
        for number, message in enumerate(messages):
            if rate and (wait_s := started + number / rate - time.monotonic()) > 0:
                requests.send()
                time.sleep(wait_s)
            requests.add(pubsub_message(message))
        requests.send()
        return requests.all_taken()
    except GoogleAPIError as error:
        raise CommandError(
            f"{topic} did not take a message, after {requests.taken} that it took: {error}"
        ) from error
    finally:
        requests.close()


class _Requests:
    """Gathers messages and sends them from threads; waits where AT_ONCE have no answer yet."""

    def __init__(self, topic: str) -> None:
        self.taken = 0  # messages that Pub/Sub is known to have
        self._publisher = Publisher(topic)
        self._pool = ThreadPoolExecutor(AT_ONCE, "publish")
        self._gathered: list[PubsubMessage] = []
        self._gathered_bytes = 0
        self._sent: deque[Future[list[str]]] = deque()

    def add(self, message: PubsubMessage) -> None:
        """Raises GoogleAPIError when an earlier message was not taken; so do the next two."""
        size_bytes = size_of(message)
        if len(self._gathered) == MAX_MESSAGES or self._gathered_bytes + size_bytes > MAX_BYTES:
            self.send()
        self._gathered.append(message)
        self._gathered_bytes += size_bytes

    def send(self) -> None:
        """Send what is gathered, without waiting for its answer."""
        while self._sent and (len(self._sent) == AT_ONCE or self._sent[0].done()):
            self._await_oldest()
        if self._gathered:
            self._sent.append(self._pool.submit(self._publisher.publish, self._gathered))
            self._gathered, self._gathered_bytes = [], 0

    def all_taken(self) -> int:
        """Wait for the answers that are missing; returns how many messages were taken."""
        while self._sent:
            self._await_oldest()
        return self.taken

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._publisher.close()

    def _await_oldest(self) -> None:
        self.taken += len(self._sent.popleft().result())
