"""The pages over HTTP: on the loopback address alone, for whoever has the address with its token.

It only reads. A request is answered if it names this server as its host, so that no page of
another site can reach it under a name of its own (DNS rebinding), and if it carries the token
that the command printed: other accounts of this machine, which could connect, do not have it.
"""

import hmac
import logging
import secrets
import socket
from datetime import UTC, datetime
from typing import Any

import duckdb
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from testudo.errors import shown
from testudo.view.pages import policy
from testudo.view.site import Show, Site

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TOKEN_BYTES = 16
PICTURES = "/pictures/"
MAX_URL_CHARS = 16_384
# For every answer. Pages of other sites can neither frame one, nor load a thumbnail.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class View:
    """The application: a request in, a page out."""

    def __init__(self, site: Site) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.port = 0  # as soon as there is a server
        self._site = site

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def __call__(self, environ: Any, start: Any) -> Any:
        response = self.answer(Request(environ))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Content-Security-Policy"] = policy()
        return response(environ, start)

    def answer(self, request: Request) -> Response:
        if refused := self._refusal(request):
            return refused
        if self._is(request.args.get("token", "")):
            return self._welcome(request)
        if not self._is(request.cookies.get(self._cookie, "")):
            return _text(403, "Open the address that `testudo view` printed: it has a token.")
        if request.path.startswith(PICTURES):
            return self._picture(request.path.removeprefix(PICTURES))
        page = self._site.pages.get(request.path)
        if page is None:
            return _html(404, self._site.problem("There is no such page."))
        return self._page(page, request)

    def _refusal(self, request: Request) -> Response | None:
        """Of what no page is asked with."""
        if request.headers.get("Host") not in {f"{name}:{self.port}" for name in NAMES}:
            return _text(403, "This server is asked under its own address only.")
        if request.method not in {"GET", "HEAD"}:
            return _text(405, "This server only reads.", Allow="GET, HEAD")
        if len(request.url) > MAX_URL_CHARS:
            return _text(414, "The address is too long.")
        return Response(status=204) if request.path == "/favicon.ico" else None

    def _page(self, page: Show, request: Request) -> Response:
        filters = self._site.filters(request.args)
        try:
            html = page(filters, datetime.now(UTC))
        except (GoogleAPIError, GoogleAuthError, duckdb.Error) as error:
            said = " ".join(str(error).split("\n\n")[0].split())
            return _html(502, self._site.problem(f"The question was refused: {said}"))
        return _html(200, html)

    @property
    def _cookie(self) -> str:
        return f"testudo-view-{self.port}"  # cookies know hosts, not ports

    def _is(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _welcome(self, request: Request) -> Response:
        """The token becomes a cookie, and leaves the address that people copy."""
        response = redirect(request.path if request.path in self._site.pages else "/", 303)
        response.autocorrect_location_header = False
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
        return response

    def _picture(self, name: str) -> Response:
        jpeg = self._site.picture(name)
        if jpeg is None:
            return _text(404, "There is no such picture any more.")
        headers = {"Cache-Control": "private, max-age=3600"}  # a name never has another picture
        return Response(jpeg, mimetype="image/jpeg", headers=headers)


class _Quiet(WSGIRequestHandler):
    """No line a request: addresses hold what senders wrote."""

    server_version = "testudo"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""

    def version_string(self) -> str:
        return self.server_version


class _Escaping(logging.Filter):
    """A bug's lines may quote a row."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = "\n".join(map(shown, record.getMessage().split("\n"))), ()
        return True


def serve(view: View, port: int) -> BaseWSGIServer:
    """Listen on the loopback address; 0 takes a free port. Raises OSError."""
    with socket.create_server((HOST, port)) as ours:  # the library would exit, not raise
        server = make_server(
            HOST, port, view, threaded=True, request_handler=_Quiet, fd=ours.fileno()
        )
    view.port = server.port
    logging.getLogger("werkzeug").addFilter(_Escaping())
    return server


def _html(status: int, html: str) -> Response:
    return Response(html, status, mimetype="text/html")


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status, headers, mimetype="text/plain")
