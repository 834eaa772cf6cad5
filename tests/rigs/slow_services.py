"""Services that take as long as real ones, and count what they are asked for.

Cloud Storage and BigQuery behind proxies: a write takes as long as one does in the cloud before
it is answered. Objects go on to the stand-in. Rows end here, as appends and as the streaming
inserts of an idiomatic pipeline: a request costs the stand-in up to a tenth of a second of CPU,
which the job would miss. Nothing here fails.
"""

import contextlib
import gzip
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import grpc
from append_server import TinyTable

from beam_pipeline.io.append_stream import AppendAnswer
from rigs.faults import VARIABLES, Fault, FaultPlan, FaultyProxy, Rows, _Answer, _Request
from rigs.faulty_appends import FaultyAppends

OBJECT_S, APPEND_S = 0.06, 0.1
STORAGE, BIGQUERY = "storage", "bigquery"
INSERTS = "BIGQUERY_EMULATOR_HOST"  # the variable that leads to all of BigQuery but appends
INSERT_PATH = "/insertAll"
# Requests that write, by service and method: what is slow, and what is counted.
WRITES = frozenset({(STORAGE, "POST"), (STORAGE, "PUT"), (BIGQUERY, "AppendRows")})


class Sightings(Protocol):
    """Which messages have their outcome, and when that was."""

    def seen_s(self) -> Mapping[str, float]:
        """The moment, by time.monotonic, of each message's first outcome."""


class SlowWrites(FaultPlan):
    """Every write of a service is delayed, nothing else; rows are remembered by message."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self.writes = 0
        self._seen_s: dict[str, float] = {}

    def draw(self, service: str, method: str, rows: Rows | None) -> Fault | None:
        super().draw(service, method, None)
        if (service, method) not in WRITES:
            return None
        self.note((rows or {}).values())
        return Fault.DELAY

    def note(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A request that writes, and these rows."""
        answered_s = time.monotonic() + self.delay_s
        with self._lock:
            self.writes += 1
            for row in rows:
                self._seen_s.setdefault(row["message_id"], answered_s)

    def seen_s(self) -> Mapping[str, float]:
        with self._lock:
            return dict(self._seen_s)


class _TakesAppends(TinyTable):
    """What stands behind the proxy of appends: it takes every row, and looks at none."""

    def append(self, requests: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:
        for _request in requests:
            answer = AppendAnswer()
            answer.append_result.SetInParent()
            yield answer


class _TakesInserts(FaultyProxy):
    """BigQuery but for its appends: streaming inserts end here, all else goes on."""

    def answer(self, request: _Request) -> _Answer | None:
        if not request.path.partition("?")[0].endswith(INSERT_PATH):
            return super().answer(request)
        compressed = ("content-encoding", "gzip") in request.headers
        content = json.loads(gzip.decompress(request.body) if compressed else request.body)
        if isinstance(self.plan, SlowWrites):
            self.plan.note(row["json"] for row in content["rows"])
        self._closing.wait(self.plan.delay_s)
        body = json.dumps({"kind": "bigquery#tableDataInsertAllResponse"}).encode()
        return _Answer(HTTPStatus.OK, [("Content-Type", "application/json")], body)


class SlowServices:
    """The two services' plans: what a run counts, and how slow they are."""

    def __init__(self, object_s: float = OBJECT_S, append_s: float = APPEND_S) -> None:
        self.objects = SlowWrites(object_s)
        self.appends = SlowWrites(append_s)

    @contextlib.contextmanager
    def before(self, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """A stack's environment, led through the proxies."""
        objects, rows = VARIABLES[STORAGE], VARIABLES[BIGQUERY]
        with (
            FaultyProxy(STORAGE, environment[objects], self.objects) as storage,
            _TakesAppends() as taking,
            FaultyAppends(taking.address, self.appends) as appends,
            _TakesInserts(BIGQUERY, environment[INSERTS], self.appends) as inserts,
        ):
            yield {
                **environment,
                objects: storage.address,
                rows: appends.address,
                INSERTS: inserts.address,
            }
