"""Services that take as long as real ones, and count what they are asked for.

Cloud Storage and BigQuery behind a proxy each: a write waits as long as one does in the cloud
before it is done. Rows are taken by the proxy itself, since a request costs the stand-in a tenth
of a second of CPU; all else goes on to the stand-ins. Nothing here fails.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Protocol

from rigs.faults import VARIABLES, Fault, FaultPlan, FaultyProxy, Rows, _Answer, _Request

OBJECT_S, APPEND_S = 0.06, 0.1  # of Cloud Storage and BigQuery, as measured from workers
STORAGE, BIGQUERY = "storage", "bigquery"
# Requests that write, by service and method: what is slow, and what is counted.
WRITES = frozenset({(STORAGE, "POST"), (STORAGE, "PUT"), (BIGQUERY, "POST")})


class Sightings(Protocol):
    """Which messages have their outcome, and when that was."""

    def seen_s(self) -> Mapping[str, float]:
        """The moment, by time.monotonic, of each message's first outcome."""


class SlowWrites(FaultPlan):
    """Every write of a service is delayed, nothing else; rows are remembered by message."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self._seen_s: dict[str, float] = {}

    def draw(self, service: str, method: str, rows: Rows | None) -> Fault | None:
        super().draw(service, method, None)
        now_s = time.monotonic() + self.delay_s
        for row in (rows or {}).values():
            self._seen_s.setdefault(row["message_id"], now_s)
        return Fault.DELAY if (service, method) in WRITES else None

    @property
    def writes(self) -> int:
        """How many requests have written until now."""
        return sum(count for key, count in self.requests.items() if key in WRITES)

    def seen_s(self) -> Mapping[str, float]:
        return dict(self._seen_s)


class _TakesRows(FaultyProxy):
    """BigQuery, of which the proxy itself takes the rows."""

    def _forward(self, request: _Request) -> _Answer:
        if request.rows is None:
            return super()._forward(request)
        body = json.dumps({"kind": "bigquery#tableDataInsertAllResponse"}).encode()
        return _Answer(HTTPStatus.OK, [("Content-Type", "application/json")], body)


class SlowServices:
    """The two services' plans: what a run counts, and how slow they are."""

    def __init__(self, object_s: float = OBJECT_S, append_s: float = APPEND_S) -> None:
        self.objects = SlowWrites(object_s)
        self.appends = SlowWrites(append_s)

    @contextlib.contextmanager
    def before(self, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """A stack's environment, led through the two proxies."""
        objects, rows = VARIABLES[STORAGE], VARIABLES[BIGQUERY]
        with (
            FaultyProxy(STORAGE, environment[objects], self.objects) as storage,
            _TakesRows(BIGQUERY, environment[rows], self.appends) as bigquery,
        ):
            yield {**environment, objects: storage.address, rows: bigquery.address}
