"""The deliveries that a process has taken from Pub/Sub and neither acked nor given back."""

import collections
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from google.pubsub_v1.types import ReceivedMessage


class _Delivery(NamedTuple):
    message_id: str
    size_bytes: int
    since_s: float


class Held:
    """What is held, of which some is unread yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._deliveries: dict[str, _Delivery] = {}  # by ack id
        self._ack_ids: dict[str, set[str]] = {}  # by message id: two, where a lease ended early
        self._size_bytes = 0
        self._unread: collections.deque[ReceivedMessage] = collections.deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def add(self, messages: Iterable[ReceivedMessage]) -> None:
        now_s = time.monotonic()
        with self._lock:
            for each in messages:
                message_id, size_bytes = each.message.message_id, len(each.message.data)
                self._deliveries[each.ack_id] = _Delivery(message_id, size_bytes, now_s)
                self._ack_ids.setdefault(message_id, set()).add(each.ack_id)
                self._size_bytes += size_bytes
                self._unread.append(each)

    def read(self) -> ReceivedMessage | None:
        """The next message that is held and was not read yet; None when there is none."""
        with self._lock:
            while self._unread:
                message = self._unread.popleft()
                if message.ack_id in self._deliveries:
                    return message
        return None

    def ack_ids(self, message_ids: Iterable[str] | None = None) -> list[str]:
        """Of all that is held, or of these messages."""
        with self._lock:
            if message_ids is None:
                return list(self._deliveries)
            return [each for one in message_ids for each in self._ack_ids.get(one, ())]

    def remove(self, ack_ids: Iterable[str]) -> list[str]:
        """Returns those of them that were held."""
        with self._lock:
            return [each for each in ack_ids if self._remove(each)]

    def remove_unread(self) -> list[str]:
        """Returns the ack ids of what was held and not read."""
        with self._lock:
            removed = [each.ack_id for each in self._unread if self._remove(each.ack_id)]
            self._unread.clear()
        return removed

    def remove_older(self, than_s: float) -> int:
        """Remove what has been held longer, read or not; returns how many that were."""
        with self._lock:
            since_s = time.monotonic() - than_s
            old = {one for one, each in self._deliveries.items() if each.since_s < since_s}
            for ack_id in old:
                self._remove(ack_id)
            unread = (each for each in self._unread if each.ack_id not in old)
            self._unread = collections.deque(unread)
        return len(old)

    def _remove(self, ack_id: str) -> bool:
        delivery = self._deliveries.pop(ack_id, None)
        if delivery is None:
            return False
        self._size_bytes -= delivery.size_bytes
        ids = self._ack_ids[delivery.message_id]
        ids.discard(ack_id)
        if not ids:
            del self._ack_ids[delivery.message_id]
        return True
