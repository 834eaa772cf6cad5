"""AppendRows of BigQuery that fails on purpose, between the pipeline and a stand-in.

Answers come in the order of the requests, as BigQuery's do, and a delay is that of one
answer: several requests on one connection wait at the same time.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from append_server import refusal, row_class
from google.protobuf import json_format

from beam_pipeline.io.append_stream import APPEND_ROWS, AppendAnswer, AppendRequest
from rigs.faults import VARIABLES, Fault, FaultPlan, FaultyProxy, Rows
from testudo.local.servers import HOST

SERVICE = "bigquery"
CONNECTIONS = 64
# Said of one request, the connection stays; others end it.
ANSWERS = {
    Fault.ANSWER_429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Fault.ANSWER_500: grpc.StatusCode.INTERNAL,
}
ENDS = {
    Fault.ANSWER_503: grpc.StatusCode.UNAVAILABLE,
    Fault.CLOSE_BEFORE: grpc.StatusCode.ABORTED,
    Fault.CLOSE_AFTER: grpc.StatusCode.ABORTED,
    Fault.NO_ANSWER: grpc.StatusCode.CANCELLED,
}
FORWARDED = (None, Fault.DELAY, Fault.CLOSE_AFTER)


class FaultyAppends:
    """BigQuery's Storage Write API behind a proxy on a free port; `address` is host:port."""

    def __init__(self, target: str, plan: FaultPlan) -> None:
        self.plan = plan
        self._closing = threading.Event()
        self._channel = grpc.insecure_channel(target, [("grpc.enable_http_proxy", 0)])
        self._forward = self._channel.stream_stream(
            APPEND_ROWS, AppendRequest.SerializeToString, AppendAnswer.FromString
        )
        self._server = grpc.server(ThreadPoolExecutor(CONNECTIONS))
        handler = grpc.stream_stream_rpc_method_handler(
            self._append, AppendRequest.FromString, AppendAnswer.SerializeToString
        )
        service, method = APPEND_ROWS.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        self.address = f"{HOST}:{self._server.add_insecure_port(f'{HOST}:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.stop(None).wait()
        self._channel.close()

    def _append(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """One connection."""
        arrived: queue.SimpleQueue[tuple[Any, float] | None] = queue.SimpleQueue()
        onward: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ended = threading.Event()

        def read() -> None:
            with contextlib.suppress(grpc.RpcError):
                for request in requests:
                    arrived.put((request, time.monotonic()))
            arrived.put(None)

        context.add_callback(ended.set)
        context.add_callback(lambda: arrived.put(None))
        threading.Thread(target=read, daemon=True).start()
        answers = self._forward(iter(onward.get, None))
        message: type[Any] | None = None
        try:
            for request, since_s in iter(arrived.get, None):
                descriptor = request.proto_rows.writer_schema.proto_descriptor
                message = message or row_class(descriptor)
                sent = list(request.proto_rows.rows.serialized_rows)
                rows = {row: _row(message, row) for row in sent}
                fault = self.plan.draw(SERVICE, "AppendRows", rows)
                answer = self._answer(fault, sent, rows)
                if fault in FORWARDED:
                    onward.put(request)
                    answer = next(answers)
                if fault == Fault.DELAY:  # several requests wait for theirs at the same time
                    ended.wait(max(0.0, since_s + self.plan.delay_s - time.monotonic()))
                if fault == Fault.NO_ANSWER:
                    self._be_silent(ended)
                if fault in ENDS:
                    context.abort(ENDS[fault], "the faulty proxy's")
                yield answer
        except grpc.RpcError as error:  # the service's own end
            context.abort(error.code(), error.details() or "")
        finally:
            onward.put(None)
            answers.cancel()

    def _answer(self, fault: Fault | None, sent: list[bytes], rows: Rows) -> Any:
        """What the proxy itself says to a request; None where it says nothing."""
        if fault == Fault.REJECT_ALL:
            self.plan.reject(rows)
            return refusal(dict.fromkeys(range(len(sent)), "the faulty proxy's"))
        if fault == Fault.REJECT_ONE:
            chosen = self.plan.choose_row(rows)
            self.plan.reject({chosen: rows[chosen]})
            return refusal({sent.index(chosen): "the faulty proxy's"})
        if fault not in ANSWERS:
            return None
        answer = AppendAnswer()
        answer.error.code, answer.error.message = ANSWERS[fault].value[0], "the faulty proxy's"
        return answer

    def _be_silent(self, ended: threading.Event) -> None:
        until_s = time.monotonic() + self.plan.silence_s
        while time.monotonic() < until_s and not self._closing.is_set():
            if ended.wait(0.1):
                return


def _row(message: type[Any], data: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json_format.MessageToDict(
        message.FromString(data), preserving_proto_field_name=True
    )
    return found


@contextlib.contextmanager
def faulty_environment(environment: Mapping[str, str], plan: FaultPlan) -> Iterator[dict[str, str]]:
    """A stack's environment, with a proxy in front of BigQuery's appends and of Cloud Storage."""
    rows, objects = VARIABLES[SERVICE], VARIABLES["storage"]
    with (
        FaultyAppends(environment[rows], plan) as appends,
        FaultyProxy("storage", environment[objects], plan) as storage,
    ):
        yield {**environment, rows: appends.address, objects: storage.address}
