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
    """`path` holds the named groups of the route, `query` the parameters, `body` the JSON."""

    path: dict[str, str]
    query: dict[str, str]
    body: Body


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]  # of the whole path
    answer: Callable[[Request], Body]


def route(method: str, pattern: str, answer: Callable[[Request], Body]) -> Route:
    """A route by a path in which {name} stands for anything but a slash or a colon."""
    return Route(method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", pattern)), answer)


class ControlServer(ThreadingHTTPServer):
    """Answers by the routes; one request at a time, as their state is shared."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Sequence[Route] = ()) -> None:
        super().__init__(address, _Handler)
        self.routes = routes
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
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            code, answer = HTTPStatus.OK, self._routed(url.path, query, text)
        except ApiError as error:
            code, answer = error.code, error.body
        payload = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    def _routed(self, path: str, query: dict[str, str], text: bytes) -> Body:
        for route in self.server.routes:
            found = route.pattern.fullmatch(path)
            if found and route.method == self.command:
                request = Request(found.groupdict(), query, json.loads(text or b"{}"))
                with self.server.lock:
                    return route.answer(request)
        what = f"the stand-in does not know {self.command} {path}"
        raise ApiError(HTTPStatus.NOT_IMPLEMENTED, "UNIMPLEMENTED", what)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - http.server's name
        print(format % arguments, file=sys.stderr, flush=True)
