"""Servers that say that they are up, and are not."""

import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from testudo.errors import CommandError
from testudo.local.detached import ServerState, StackState
from testudo.local.health import check_and_watch, troubles


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


def state(name: str, port: int, *, alive: bool = True, stopped: bool = False) -> ServerState:
    return ServerState(name, [port], os.getpid(), alive, stopped, 0, Path(f"{name}.log"))


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server that answers every request."""
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_servers_that_answer_have_no_trouble(answering: int) -> None:
    """Each is asked in its own way."""
    servers = [state("pubsub", answering), state("storage", answering)]
    assert troubles(servers) == {}


def test_each_trouble_is_told(answering: int, silent: int) -> None:
    """Dead, stopped, and silent ones in the time allowed; those that answer are not named."""
    servers = [
        state("pubsub", 1, alive=False),
        state("storage", answering),
        state("control", 1, stopped=True),
        state("bigquery", silent),
    ]
    assert troubles(servers, allowed_s=0.5) == {
        "pubsub": "has ended",
        "control": "is stopped",
        "bigquery": "does not answer within 0.5 s (silent)",
    }


def test_all_that_is_wrong_is_one_line_with_the_logs() -> None:
    """It names each server that is needed and in trouble, and what to do; no other."""
    servers = [
        state("pubsub", 1, alive=False),
        state("bigquery", 1, stopped=True),
        state("control", 1, alive=False),
    ]
    with pytest.raises(CommandError) as caught:
        check_and_watch(StackState(1, Path(), {}, servers), ["pubsub", "bigquery", "storage"])
    pid = os.getpid()
    assert str(caught.value) == (
        f"of the local stack, pubsub (process {pid}) has ended, its log is pubsub.log; "
        f"bigquery (process {pid}) is stopped, its log is bigquery.log. "
        "`testudo local down`, then `testudo local up`, start the stack anew."
    )
