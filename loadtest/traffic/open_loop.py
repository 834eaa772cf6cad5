"""Publishing on schedule, whatever the system under test does: an open loop.

One thread keeps the schedule. All messages that are due go out as one request, which
a pool of threads brings to Pub/Sub, so that no answer is waited for. Nothing ever
makes the schedule's thread wait: where more bytes are on their way than allowed, a
message is refused, which the run's result counts.
"""

import bisect
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PublishRequest

from beam_pipeline.io.publishing import publisher_client, retry_for
from loadtest.traffic.day import Times
from loadtest.traffic.payloads import Payloads
from loadtest.traffic.schedule import Schedule

TICK_S = 0.008  # between requests at least: what is due meanwhile goes in one
BATCH_MESSAGES, BATCH_BYTES = 500, 1_000_000  # Pub/Sub takes 1,000 and 10 MB
OUTSTANDING_BYTES = 64_000_000
THREADS = 16
REPORT_EVERY_S = 1.0
GIVE_UP_S = 20.0
_RETRY = retry_for(GIVE_UP_S)
# The message classes under the client's: building those costs three times as much.
_RawRequest: Any = PublishRequest.pb()


class OpenLoop:
    """Every `of`-th message of a schedule, from message `share` on.

    After `run`, row by row: `indexes` in the schedule; `due_s`; `sent_s`, when the request
    set out; `acked_s`, when Pub/Sub had taken it. In Unix seconds; NaN where it never came to that.
    """

    def __init__(
        self,
        topic: str,
        schedule: Schedule,
        payloads: Payloads,
        *,
        prefix: str,
        share: int = 0,
        of: int = 1,
        outstanding_bytes: int = OUTSTANDING_BYTES,
    ) -> None:
        self.indexes = np.arange(share, len(schedule.due_s), of)
        self.due_s: Times = schedule.due_s[self.indexes]
        self.sent_s: Times = np.full(len(self.indexes), np.nan)
        self.acked_s: Times = np.full(len(self.indexes), np.nan)
        self.failure = ""  # the last that Pub/Sub reported
        self._topic, self._prefix, self._payloads = topic, prefix, payloads
        self._tenants = schedule.tenants
        columns = (schedule.kind, schedule.tenant, schedule.original)
        # Lists: Python reads them faster, one by one.
        self._kind, self._tenant, self._original = (
            column[self.indexes].tolist() for column in columns
        )
        self._most_bytes, self._outstanding_bytes = outstanding_bytes, 0
        self._lock = threading.Lock()

    def run(self, start_s: float, stop: threading.Event, report: Callable[[int], None]) -> int:
        """Send from `start_s` (Unix time) until all is sent or `stop` is set; returns how many.

        `report` gets how many were due about every second.
        """
        ahead_s = time.time() - time.monotonic()  # one clock for the whole run, which never jumps
        self.due_s += start_s
        due_s = (self.due_s - ahead_s).tolist()
        done, last_s, reported_s = 0, 0.0, 0.0
        # Leaving the inner block waits for all answers, which the client is needed for.
        with publisher_client() as client, ThreadPoolExecutor(THREADS) as pool:
            while done < len(due_s):
                wait_s = max(due_s[done], last_s + TICK_S) - time.monotonic()
                if stop.wait(max(wait_s, 0)):
                    break
                last_s = time.monotonic()
                now = bisect.bisect_right(due_s, last_s, done)
                while done < now:
                    done = self._send(pool, client, done, now)
                if last_s - reported_s >= REPORT_EVERY_S or done == len(due_s):
                    report(done)
                    reported_s = last_s
        self.sent_s += ahead_s
        self.acked_s += ahead_s
        return done

    def _send(self, pool: ThreadPoolExecutor, client: PublisherClient, first: int, end: int) -> int:
        """One request with messages from `first` on, before `end`; returns the next message."""
        request, size_bytes, number = _RawRequest(topic=self._topic), 0, first
        end = min(end, first + BATCH_MESSAGES)
        while number < end and size_bytes < BATCH_BYTES:
            original = self._original[number]
            data, attributes = self._payloads.message(
                self._kind[number],
                original,
                item_id=f"{self._prefix}{original}",
                tenant_id=self._tenants[self._tenant[number]],
            )
            request.messages.add(data=data, attributes=attributes)
            size_bytes += len(data)
            number += 1
        with self._lock:
            taken = self._outstanding_bytes + size_bytes <= self._most_bytes
            self._outstanding_bytes += size_bytes if taken else 0
        if taken:
            pool.submit(self._publish, client, request, slice(first, number), size_bytes)
        return number

    def _publish(self, client: PublisherClient, request: Any, rows: slice, size_bytes: int) -> None:
        self.sent_s[rows] = time.monotonic()
        try:
            client.publish(request=PublishRequest.wrap(request), retry=_RETRY, timeout=GIVE_UP_S)
            self.acked_s[rows] = time.monotonic()
        except exceptions.GoogleAPICallError as error:
            self.failure = str(error)
        except exceptions.RetryError as error:
            self.failure = str(error.cause)
        except BaseException as error:  # which nobody asks this thread for
            self.failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            with self._lock:
                self._outstanding_bytes -= size_bytes
