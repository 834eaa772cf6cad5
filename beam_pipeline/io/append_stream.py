"""One connection to BigQuery's Storage Write API: requests go out, answers come in their order.

A table's default stream takes rows at least once, and shows them at once. Google's own
`AppendRowsStream` is not used: it opens with a request of its own, and gives up for good
where a connection ends.
"""

import os
import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcTransport,
)
from google.protobuf.descriptor_pb2 import DescriptorProto

from beam_pipeline.io.threads import Background

EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"  # host:port, of a stand-in if there is one
APPEND_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"
RECONNECT = [("grpc.max_reconnect_backoff_ms", 5_000)]  # gRPC's own is two minutes
# Google's classes for requests wrap each row anew; what they wrap does not.
AppendRequest = types.AppendRowsRequest.pb()
AppendAnswer = types.AppendRowsResponse.pb()
Call = Callable[..., Any]


def append_call() -> Call:
    """AppendRows of BigQuery, or of a stand-in if the environment names one."""
    if host := os.environ.get(EMULATOR):
        channel = grpc.insecure_channel(host, [*RECONNECT, ("grpc.enable_http_proxy", 0)])
    else:
        channel = BigQueryWriteGrpcTransport.create_channel(options=RECONNECT)
    return channel.stream_stream(
        APPEND_ROWS,
        request_serializer=AppendRequest.SerializeToString,
        response_deserializer=AppendAnswer.FromString,
    )


def default_stream(table: str) -> str:
    """The name of a table's default stream; `table` is PROJECT:DATASET.TABLE."""
    project, dataset, name = table.replace(":", ".", 1).split(".", 2)
    return f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"


def told(error: Exception) -> str:
    """An error in a line; gRPC's own text is a page."""
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


class AppendStream:
    """Requests for one table over one connection.

    `answered` is called with each answer, in the order of the requests, and `ended` once,
    with the error that ended the connection: both from a thread of the stream's own.
    """

    def __init__(
        self,
        call: Call,
        stream: str,
        descriptor: DescriptorProto,
        *,
        answered: Callable[["AppendStream", Any], None],
        ended: Callable[["AppendStream", Exception], None],
    ) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # What requests say until one was taken, and need not say again on the same connection.
        self._introduction = AppendRequest(write_stream=stream)
        self._introduction.proto_rows.writer_schema.proto_descriptor.CopyFrom(descriptor)
        self._known = False
        where = (("x-goog-request-params", f"write_stream={stream}"),)
        self._call = call(iter(self._requests.get, None), metadata=where)
        try:
            Background(partial(self._read, answered, ended), f"appends to {stream}").start()
        except RuntimeError:  # the system has no thread to give
            self.close()
            raise

    def send(self, rows: Sequence[bytes]) -> None:
        """Send one request; does not wait."""
        request = AppendRequest()
        if not self._known:
            request.CopyFrom(self._introduction)
        request.proto_rows.rows.serialized_rows.extend(rows)
        self._requests.put(request)

    def close(self) -> None:
        """End the connection, whatever is under way."""
        self._requests.put(None)
        self._call.cancel()

    def _read(
        self,
        answered: Callable[["AppendStream", Any], None],
        ended: Callable[["AppendStream", Exception], None],
    ) -> None:
        try:
            for answer in self._call:
                self._known = self._known or not answer.HasField("error")
                answered(self, answer)
        except grpc.RpcError as error:
            ended(self, error)
        else:
            ended(self, ConnectionResetError("the service ended the connection"))
        finally:
            self._requests.put(None)  # or gRPC's thread that waits for requests would stay
