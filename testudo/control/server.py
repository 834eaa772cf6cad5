"""The stand-in for Google's control planes: one HTTP server, a service a module.

Speaks the REST that Google's generated clients speak. A service is a table of
routes; what it is asked it keeps in memory, and what it does not know it
answers with 501, so that nothing passes by accident.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

Body = dict[str, Any]


class ApiError(Exception):
    """An answer as Google's services give it when they refuse."""

    def __init__(self, code: HTTPStatus, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"error": {"code": int(code), "status": status, "message": message}}


class Request(NamedTuple):
    """`path` holds the named groups of the route, `query` the parameters, `body` the JSON.

    Of a parameter that is repeated `query` has the last value, `repeated` all.
    """

    path: dict[str, str]
    query: dict[str, str]
    body: Body
    repeated: dict[str, list[str]]


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]  # of the whole path
    answer: Callable[[Request], Body]


def route(method: str, pattern: str, answer: Callable[[Request], Body]) -> Route:
    """A route by a path in which {name} stands for anything but a slash or a colon."""
    return Route(method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", pattern)), answer)


def _as_ever(_path: str) -> None:
    """What a request meets before it is answered: nothing."""


class ControlServer(ThreadingHTTPServer):
    """Answers by the routes; one request at a time, as their state is shared.

    `before` is given each request's path first, several at a time; it may wait, or raise ApiError.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Sequence[Route] = ()) -> None:
        super().__init__(address, _Handler)
        self.routes = routes
        self.before: Callable[[str], None] = _as_ever
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """For `api_endpoint`; by this name Beam, too, speaks plain HTTP to it."""
        return f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ControlServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and a body in two packets would wait 40 ms

    def _answer(self) -> None:
        url = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if not url.path.startswith("/testudo/"):  # a test's own, which ends what it has begun
                self.server.before(url.path)
            code, answer = HTTPStatus.OK, self._routed(url.path, parse_qs(url.query), text)
        except ApiError as error:
            code, answer = error.code, error.body
        payload = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    def _routed(self, path: str, repeated: dict[str, list[str]], text: bytes) -> Body:
        query = {name: values[-1] for name, values in repeated.items()}
        for route in self.server.routes:
            found = route.pattern.fullmatch(path)
            if found and route.method == self.command:
                body = json.loads(text or b"{}")
                request = Request(found.groupdict(), query, body, repeated)
                with self.server.lock:
                    return route.answer(request)
        what = f"the stand-in does not know {self.command} {path}"
        raise ApiError(HTTPStatus.NOT_IMPLEMENTED, "UNIMPLEMENTED", what)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - http.server's name
        print(format % arguments, file=sys.stderr, flush=True)
