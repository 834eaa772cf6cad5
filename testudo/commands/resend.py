"""Publishing dead letters anew: the message as it was, one attempt on, and a record of it."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

from google.api_core.exceptions import GoogleAPIError
from google.cloud.bigquery import Client

from beam_pipeline.io.publishing import RESERVED, Publisher
from testudo.commands.dead_letters import StoredDeadLetter
from testudo.commands.sending import Outgoing, pubsub_message
from testudo.errors import CommandError
from transforms.parsing import ATTEMPT_ATTRIBUTE, EVENT_TIME_ATTRIBUTE
from transforms.payload_objects import OBJECT_NAME, read_payload

IDEMPOTENCY_KEY = "idempotency_key"
AT_ONCE = 16  # reads and publishes
MAX_BATCH = 32  # replays between two records of them
# A row must not make the replay publish any other object, or a file of this machine.
PAYLOAD_URI = re.compile(rf"gs://[^#]+/{OBJECT_NAME}#\d+-\d+")


class Sent(NamedTuple):
    """What came of one replay: the new message's id, or what went wrong."""

    dead_letter: StoredDeadLetter
    message_id: str
    at: datetime
    error: str = ""


def original_attributes(dead_letter: StoredDeadLetter) -> dict[str, str]:
    """The attributes that the message had; item_id and tenant_id alone where they were cut off."""
    try:
        attributes = json.loads(dead_letter.attributes)
    except ValueError:
        ids = {"item_id": dead_letter.item_id, "tenant_id": dead_letter.tenant_id}
        return {name: text for name, text in ids.items() if text}
    return {name: text for name, text in attributes.items() if not name.startswith(RESERVED)}


def payload_of(dead_letter: StoredDeadLetter) -> bytes:
    """The message as it was kept. Raises ValueError when the row names nothing of that kind."""
    if not PAYLOAD_URI.fullmatch(dead_letter.payload_uri):
        raise ValueError("its payload_uri is none that the pipeline makes")
    return read_payload(dead_letter.payload_uri)


def replay_message(dead_letter: StoredDeadLetter, data: bytes) -> Outgoing:
    """The message to publish: the original's data and attributes, one attempt on.

    Its idempotency key is new with each replay, since Dataflow drops a key that
    it has seen, and the same for a replay that was published and not recorded. Its
    event time, where the data names none, stays that of the original: published later
    than a newer message of the item, it does not take that one's place.
    """
    return Outgoing(
        data,
        original_attributes(dead_letter)
        | {
            ATTEMPT_ATTRIBUTE: str(dead_letter.next_attempt),
            EVENT_TIME_ATTRIBUTE: dead_letter.event_time.isoformat(timespec="microseconds"),
            IDEMPOTENCY_KEY: f"{dead_letter.dead_letter_id}/replay-{dead_letter.replays + 1}",
        },
    )


def replay_row(sent: Sent) -> dict[str, Any]:
    """The row of table replays."""
    dead_letter = sent.dead_letter
    return {
        "message_id": dead_letter.message_id,
        "item_id": dead_letter.item_id,
        "tenant_id": dead_letter.tenant_id,
        "payload_uri": dead_letter.payload_uri,
        "reason": dead_letter.reason,
        "attempt": dead_letter.next_attempt,
        "replayed_at": sent.at.isoformat(),
        "replay_message_id": sent.message_id,
    }


class Resender:
    """Publishes dead letters to `topic` and records in `table` those that Pub/Sub took.

    `done` holds all that were tried and, where that went well, recorded.
    """

    def __init__(self, topic: str, client: Client, table: str) -> None:
        self._client = client
        self._table = table
        self._publisher = Publisher(topic)
        self.done: list[Sent] = []

    def send(self, dead_letter: StoredDeadLetter) -> Sent:
        """Read the payload, publish it, and wait until Pub/Sub has it."""
        try:
            message = replay_message(dead_letter, payload_of(dead_letter))
            (message_id,) = self._publisher.publish([pubsub_message(message)])
        except (GoogleAPIError, OSError, ValueError) as error:
            return Sent(dead_letter, "", datetime.now(UTC), f"{type(error).__name__}: {error}")
        return Sent(dead_letter, message_id, datetime.now(UTC))

    def record(self, batch: Sequence[Sent]) -> None:
        """Raises CommandError when the table does not take it."""
        rows = [replay_row(sent) for sent in batch if sent.message_id]
        ids = [row["replay_message_id"] for row in rows]
        try:
            refused = rows and self._client.insert_rows_json(self._table, rows, row_ids=ids)
        except GoogleAPIError as error:
            refused = [error]
        if refused:
            raise CommandError(
                f"{len(rows)} messages were published, and {self._table} did not take the record "
                f"of it: {refused[0]}"
            )
        self.done += batch

    def close(self) -> None:
        self._publisher.close()


def replay_all(
    dead_letters: Sequence[StoredDeadLetter], resender: Resender, *, rate: float
) -> Iterator[Sent]:
    """Replay at `rate` messages a second (0: at once), on schedule, recorded about once a second.

    Yields each replay once it is recorded. An interrupt waits for what is being
    published, so that it is recorded; after a kill the last batch may be published
    once more, which doubles nothing.
    """
    size = min(MAX_BATCH, max(1, round(rate))) if rate else MAX_BATCH
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(dead_letters), size):
            sending = []
            try:
                for number, dead_letter in enumerate(dead_letters[start : start + size], start):
                    if rate:
                        time.sleep(max(0.0, started + number / rate - time.monotonic()))
                    sending.append(pool.submit(resender.send, dead_letter))
                batch = [future.result() for future in sending]
            except KeyboardInterrupt:
                resender.record([future.result() for future in sending])
                raise
            resender.record(batch)
            yield from batch
