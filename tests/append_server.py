"""A table behind BigQuery's Storage Write API, for tests: takes rows, refuses those named bad."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from beam_pipeline.io.append_stream import APPEND_ROWS, AppendAnswer, AppendRequest

FIELDS_ERROR = types.RowError.RowErrorCode.FIELDS_ERROR
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]


def row_class(descriptor: descriptor_pb2.DescriptorProto) -> type[Any]:
    """The message that a writer describes, as a server sees it."""
    file = descriptor_pb2.FileDescriptorProto(name="seen.proto", package="seen", syntax="proto2")
    file.message_type.add().CopyFrom(descriptor)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    name = f"seen.{descriptor.name}"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def refusal(why: Mapping[int, str]) -> Any:
    """The answer to a request of which some rows are wrong; none of it is stored."""
    answer = AppendAnswer()
    answer.error.code, answer.error.message = INVALID_ARGUMENT, "some rows are wrong"
    for index, message in why.items():
        answer.row_errors.add(index=index, code=FIELDS_ERROR, message=message)
    return answer


class TinyTable:
    """Its rows in the order in which they were stored, and the rows of each request."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.requests: list[int] = []
        self.connections = 0
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(
            self.append, AppendRequest.FromString, AppendAnswer.SerializeToString
        )
        service, method = APPEND_ROWS.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {method: handler})]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def append(self, requests: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:
        """One connection; its first request alone says what the rows are."""
        self.connections += 1
        message = None
        for request in requests:
            message = message or row_class(request.proto_rows.writer_schema.proto_descriptor)
            yield self.answer(
                [
                    json_format.MessageToDict(
                        message.FromString(row), preserving_proto_field_name=True
                    )
                    for row in request.proto_rows.rows.serialized_rows
                ]
            )

    def answer(self, rows: list[Mapping[str, Any]]) -> Any:
        self.requests.append(len(rows))
        if wrong := {at: "is bad" for at, row in enumerate(rows) if row["name"] == "bad"}:
            return refusal(wrong)
        self.rows += rows
        answer = AppendAnswer()
        answer.append_result.SetInParent()
        return answer
