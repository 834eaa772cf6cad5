"""A proxy that fails on purpose, between Google's clients and the stand-ins of the laptop.

Requests enter; most are forwarded and answered unchanged, the others fail in
the way that a seeded plan chooses. Cloud Storage is spoken to in HTTP, BigQuery in
gRPC, of which only AppendRows fails (rigs.faulty_appends). Nothing that a service
has taken is later called invalid: like BigQuery, the proxy refuses a row for good
only before the table has it. It listens on the loopback address alone.
"""

import contextlib
import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from beam_pipeline.io.append_stream import EMULATOR
from testudo.local.servers import HOST

# The variables that lead Google's clients to a service, by the service's name in the stack.
VARIABLES = {"bigquery": EMULATOR, "storage": "STORAGE_EMULATOR_HOST"}
FORWARD_TIMEOUT_S = 120.0
POLL_S = 0.05  # how soon the end of the block is noticed
# Of one connection, not of the message; what is forwarded has a length instead.
ONE_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


class Fault(StrEnum):
    """What a request may meet. The last two are for appended rows only, and for good."""

    ANSWER_429 = "answer_429"
    ANSWER_500 = "answer_500"
    ANSWER_503 = "answer_503"
    CLOSE_BEFORE = "close_before"  # the service never hears of the request
    CLOSE_AFTER = "close_after"  # the service has done it, and its answer is lost
    DELAY = "delay"
    NO_ANSWER = "no_answer"  # until the client gives up
    REJECT_ONE = "reject_one"
    REJECT_ALL = "reject_all"


OF_ROWS = frozenset({Fault.REJECT_ONE, Fault.REJECT_ALL})
ANSWERS = {
    Fault.ANSWER_429: (HTTPStatus.TOO_MANY_REQUESTS, "rateLimitExceeded"),
    Fault.ANSWER_500: (HTTPStatus.INTERNAL_SERVER_ERROR, "internalError"),
    Fault.ANSWER_503: (HTTPStatus.SERVICE_UNAVAILABLE, "backendError"),
}


class FaultPlan:
    """Which request meets which fault; may be changed while requests come.

    `shares` gives the share of requests (0-1) that meet each fault. The same
    seed gives the same faults to the same sequence of requests. `counts` has
    what happened, by service and fault; `requests` all requests, by service and
    method; `rejected` each row that was refused with an answer of its own. Safe
    to use from several threads.
    """

    def __init__(
        self,
        shares: Mapping[Fault, float] | None = None,
        *,
        seed: int = 0,
        delay_s: float = 1.0,
        silence_s: float = 300.0,
    ) -> None:
        self.delay_s = delay_s
        self.silence_s = silence_s
        self.counts: Counter[tuple[str, Fault]] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.rejected: list[Mapping[str, Any]] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._next: list[tuple[str, Fault]] = []
        self._taken: set[bytes] = set()  # rows that the service has seen
        self.change(shares or {})

    def change(self, shares: Mapping[Fault, float]) -> None:
        """Raises ValueError for shares that are not some of one whole."""
        if min(shares.values(), default=0) < 0 or sum(shares.values()) > 1 + 1e-9:
            raise ValueError(f"the shares of {sorted(shares)} are not parts of 1")
        with self._lock:
            self._shares = dict(shares)

    def once(self, service: str, fault: Fault, times: int = 1) -> None:
        """Let the next requests to a service that can meet this fault meet it, before any chance.

        `service` is a key of VARIABLES.
        """
        with self._lock:
            self._next += [(service, fault)] * times

    def draw(self, service: str, method: str, rows: "Rows | None") -> Fault | None:
        """The fault of one request; None to forward it. `rows` are what it appends."""
        with self._lock:
            self.requests[service, method] += 1
            may_refuse = rows is not None and rows and not self._taken & rows.keys()
            for number, (of, fault) in enumerate(self._next):
                if of == service and (may_refuse or fault not in OF_ROWS):
                    del self._next[number]
                    return self._note(service, fault, rows)
            point = self._random.random()
            for fault, share in self._shares.items():
                point -= share
                if point < 0:
                    if fault in OF_ROWS and not may_refuse:
                        break
                    return self._note(service, fault, rows)
            return self._note(service, None, rows)

    def choose_row(self, rows: "Rows") -> bytes:
        """The row to reject of a request that meets REJECT_ONE."""
        with self._lock:
            return self._random.choice(sorted(rows))

    def reject(self, rows: "Rows") -> None:
        with self._lock:
            self.rejected += rows.values()

    def _note(self, service: str, fault: Fault | None, rows: "Rows | None") -> Fault | None:
        if fault:
            self.counts[service, fault] += 1
        if rows and fault in (None, Fault.DELAY, Fault.CLOSE_AFTER):
            self._taken |= rows.keys()
        return fault


Rows = dict[bytes, Mapping[str, Any]]  # what a row is, by what is sent of it


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Request(NamedTuple):
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class FaultyProxy:
    """One service behind a proxy on a free port of its own; `address` is its URL."""

    def __init__(self, service: str, target: str, plan: FaultPlan) -> None:
        self.service = service
        self.plan = plan
        self._target = urlsplit(target).netloc
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a silent request would hold the end up
        self.address = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(POLL_S,),
            name=f"faulty-{self.service}",
            daemon=True,
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: _Request) -> _Answer | None:
        """What the client gets; None for a connection that is closed without an answer."""
        fault = self.plan.draw(self.service, request.method, None)
        if fault in ANSWERS:
            return _error(*ANSWERS[fault])
        if fault == Fault.NO_ANSWER:
            self._closing.wait(self.plan.silence_s)
            return None
        if fault == Fault.CLOSE_BEFORE:
            return None
        if fault == Fault.DELAY:
            self._closing.wait(self.plan.delay_s)
        answer = self._forward(request)
        return None if fault == Fault.CLOSE_AFTER else answer

    def _forward(self, request: _Request) -> _Answer:
        """A connection a request: one that was kept open could be closed under it."""
        connection = http.client.HTTPConnection(self._target, timeout=FORWARD_TIMEOUT_S)
        try:
            connection.putrequest(request.method, request.path, True, True)
            for name, value in request.headers:
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
            headers = [
                (name, self._led_back(value) if name.lower() == "location" else value)
                for name, value in response.getheaders()
                if name.lower() not in ONE_HOP
            ]
            if request.method == "HEAD":
                headers.append(("Content-Length", response.getheader("Content-Length", "0")))
            return _Answer(response.status, headers, body)
        finally:
            connection.close()

    def _led_back(self, location: str) -> str:
        return location.replace(f"http://{self._target}", self.address, 1)


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections open
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            headers = [
                (name.lower(), value)
                for name, value in self.headers.items()
                if name.lower() not in ONE_HOP
            ]
            answer = proxy.answer(_Request(self.command, self.path, headers, self._body()))
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

        def handle(self) -> None:
            # The client may give up at any point; the service may be down, and then so are we.
            with contextlib.suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
            """Say nothing: the plan counts."""

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return b"".join(parts)

    return Handler


def _error(status: HTTPStatus, reason: str) -> _Answer:
    """An error as Google's services write it."""
    message = f"{status.phrase}: the faulty proxy's"
    errors = [{"message": message, "domain": "global", "reason": reason}]
    content = {"error": {"code": status, "message": message, "errors": errors}}
    return _Answer(status, [("Content-Type", "application/json")], json.dumps(content).encode())
