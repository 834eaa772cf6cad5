"""Payload objects: the messages of a process, gathered into objects and written side by side.

A message is found under `<object>#<start>-<end>`: bytes, the end not included.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from models.group_commit import GroupCommit, Ticket
from models.objects import OBJECTS, join
from transforms.records import Message

# What an object is called below its output; before 0.6 its day stood in its name.
OBJECT_NAME = r"payloads/(?:dt=\d{4}-\d\d-\d\d/)?[0-9a-f]{32}\.bin"
MAX_OBJECT_BYTES = 16_000_000
MAX_MESSAGES = 512  # an object
# Requests are paid one by one: messages in bundles of one or two wait for others of their object.
ENOUGH_MESSAGES, EVERY_S = 32, 0.5
WRITES_AT_ONCE = 16
MAX_UNWRITTEN_BYTES = 64_000_000  # of objects that wait for their turn, over all bundles


def read_payload(payload_uri: str) -> bytes:
    """The `data` of the message that was kept under this URI."""
    path, _, span = payload_uri.rpartition("#")
    start, end = (int(part) for part in span.split("-"))
    return OBJECTS.read_span(path, start, end)


class Kept(NamedTuple):
    """One message's place; it is there when `written` has an answer, which others wait for too."""

    uri: str
    written: Ticket[None]


class _Object(NamedTuple):
    path: str
    data: bytes


def _write(objects: Sequence[_Object]) -> list[None]:
    for path, data in objects:
        OBJECTS.write(path, data)
    return [None] * len(objects)


class PayloadObjects:
    """Gathers a process's messages into objects below `root`, and writes them."""

    def __init__(self, root: str) -> None:
        self._root = root
        # No executor: the end of the process would wait for its threads, and they for the store.
        self._writing: GroupCommit[_Object, None] = GroupCommit(
            _write,
            name=f"writes to {root}",
            most_items=1,
            at_once=WRITES_AT_ONCE,
            weigh=lambda one: len(one.data),
            most_waiting=MAX_UNWRITTEN_BYTES,
        )
        self._gathering: GroupCommit[Message, Kept] = GroupCommit(
            self._name,
            name=f"payloads to {root}",
            most_items=MAX_MESSAGES,
            enough_items=ENOUGH_MESSAGES,
            every_s=EVERY_S,
            weigh=lambda message: len(message.data),
            most_weight=MAX_OBJECT_BYTES,
        )

    def keep(self, messages: Sequence[Message]) -> list[Kept]:
        """Wait until each message's object has its name; it is being written then."""
        return self._gathering.answers(messages)

    def _name(self, messages: Sequence[Message]) -> list[Kept]:
        # Digits that nobody can foresee come first: Cloud Storage spreads its load by names. Who
        # comes again with the same messages writes the same object, and nobody writes another
        # under its name. (Data alone would not do: one object takes a write a second.)
        data = b"".join(message.data for message in messages)
        ids = [(message.message_id, len(message.data)) for message in messages]
        digest = hashlib.sha256(repr(ids).encode("utf-8", "backslashreplace") + data)
        path = join(self._root, f"{digest.hexdigest()[:32]}.bin")
        written = self._writing.submit([_Object(path, data)])
        kept = []
        start = 0
        for message in messages:
            end = start + len(message.data)
            kept.append(Kept(f"{path}#{start}-{end}", written))
            start = end
        return kept


@functools.cache
def payload_objects(root: str) -> PayloadObjects:
    """This process's one writer below a root."""
    return PayloadObjects(root)
