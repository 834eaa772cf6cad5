"""Publishing to a Pub/Sub topic, with attributes of any name, and what Pub/Sub does not take.

Google's usual client takes attributes as keywords, so that one named `timeout` or `topic`
would be an argument of its own. The generated client below it takes whole messages.
"""

import os
from collections.abc import Mapping, Sequence

import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.pubsub_v1 import PublisherClient, PubsubMessage
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

RETRY_FOR_S = 60.0
# Pub/Sub's limits: of a request with one message, less what names the topic; and of attributes.
MAX_MESSAGE_BYTES = 10_000_000 - 1_000
MAX_ATTRIBUTES, MAX_KEY_BYTES, MAX_VALUE_BYTES = 100, 256, 1024
RESERVED = "goog"  # attributes that Pub/Sub sets itself
NAME_CHARS = 40


def publisher_client() -> PublisherClient:
    """A client without batches of its own: of the emulator if the environment names one."""
    if host := os.environ.get("PUBSUB_EMULATOR_HOST"):
        channel = grpc.insecure_channel(host, [("grpc.enable_http_proxy", 0)])
        return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    return PublisherClient()


def retry_for(seconds: float) -> Retry:
    """Tries again whatever may pass, for so long."""
    return Retry(
        predicate=if_exception_type(
            exceptions.Aborted,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
            exceptions.ResourceExhausted,
            exceptions.ServiceUnavailable,
            exceptions.Unknown,
        ),
        initial=0.1,
        timeout=seconds,
    )


class Publisher:
    """Publishes to one topic (projects/P/topics/T); threads may share it."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._client = publisher_client()
        self._retry = retry_for(RETRY_FOR_S)

    def publish(self, messages: Sequence[PubsubMessage]) -> list[str]:
        """Send one request; returns the ids that Pub/Sub gave, in order.

        Raises GoogleAPIError when it was not taken, after RETRY_FOR_S at the latest.
        """
        answer = self._client.publish(
            topic=self._topic, messages=messages, retry=self._retry, timeout=RETRY_FOR_S
        )
        return list(answer.message_ids)

    def close(self) -> None:
        self._client.transport.close()


def size_of(message: PubsubMessage) -> int:
    """Bytes of a request that the message takes."""
    return int(PubsubMessage.pb(message).ByteSize())


def refusals(data: bytes, attributes: Mapping[str, str]) -> list[str]:
    """Why Pub/Sub would not take such a message, a line each; none if it takes it."""
    problems = []
    if len(attributes) > MAX_ATTRIBUTES:
        problems.append(f"{len(attributes)} attributes, Pub/Sub takes {MAX_ATTRIBUTES}")
    for key, value in attributes.items():
        problems += [f"attribute {_short(key)}: {one}" for one in _attribute_refusals(key, value)]
    size_bytes = size_of(PubsubMessage(data=data, attributes=attributes))
    if size_bytes > MAX_MESSAGE_BYTES:
        problems.append(
            f"{size_bytes:,} bytes as a message, Pub/Sub takes {MAX_MESSAGE_BYTES:,}: put the "
            "picture into a bucket, and name it in image_uri"
        )
    return problems


def _attribute_refusals(key: str, value: str) -> list[str]:
    problems = []
    for what, text, allowed in (("name", key, MAX_KEY_BYTES), ("value", value, MAX_VALUE_BYTES)):
        size_bytes = len(text.encode())
        if size_bytes > allowed:
            problems.append(f"its {what} has {size_bytes:,} bytes, Pub/Sub takes {allowed:,}")
    if not key:
        problems.append("its name is empty")
    if key.startswith(RESERVED):
        problems.append(f"names that begin with {RESERVED} are Pub/Sub's own")
    return problems


def _short(name: str) -> str:
    return repr(name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}...")
