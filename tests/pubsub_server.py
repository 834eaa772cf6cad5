"""A server of Pub/Sub's Publish alone, for tests that need no emulator."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.pubsub_v1.types import PublishRequest, PublishResponse

Published = list[tuple[bytes, dict[str, str]]]


def published(request: PublishRequest) -> Published:
    return [(one.data, dict(one.attributes)) for one in request.messages]


class Server:
    """Keeps what comes, or refuses everything; at `address`, a host and a port."""

    def __init__(self, *, refusing: bool) -> None:
        self.address = ""
        self.messages: Published = []
        self._refusing = refusing

    def publish(self, request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:
        if self._refusing:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")
        self.messages += published(request)
        return PublishResponse(message_ids=["1"] * len(request.messages))


@contextmanager
def serving(*, refusing: bool = False) -> Iterator[Server]:
    made = Server(refusing=refusing)
    handler = grpc.unary_unary_rpc_method_handler(
        made.publish,
        request_deserializer=PublishRequest.deserialize,
        response_serializer=PublishResponse.serialize,
    )
    handlers = grpc.method_handlers_generic_handler(
        "google.pubsub.v1.Publisher", {"Publish": handler}
    )
    with ThreadPoolExecutor(4) as pool:
        running = grpc.server(pool)
        running.add_generic_rpc_handlers((handlers,))
        made.address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
        running.start()
        yield made
        running.stop(None).wait()
