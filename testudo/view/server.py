"""The pages over HTTP: on the loopback address alone, for whoever has the address with its token.

It only reads. A request is answered if it names this server as its host, so that no page of
another site can reach it under a name of its own (DNS rebinding), and if it carries the token
that the command printed: other accounts of this machine, which could connect, do not have it.
"""

import hmac
import logging
import secrets
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from testudo.errors import shown
from testudo.view.charts import read_pulse
from testudo.view.contents import Contents
from testudo.view.filters import PERIODS, Filters
from testudo.view.pages import Scorer, policy, render
from testudo.view.questions import Page, Questions

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TOKEN_BYTES = 16
PICTURES = "/pictures/"
MAX_URL_CHARS = 16_384
MAX_TENANTS = 200  # to choose from
# For every answer. Pages of other sites can neither frame one, nor load a thumbnail.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Source(NamedTuple):
    """What a view is of."""

    place: str  # its name, for people
    period: str  # the pages' to begin with
    refresh_s: int  # how often a page that follows is read again; 0: nothing new can come


class View:
    """The application: a request in, a page out."""

    def __init__(self, source: Source, questions: Questions, contents: Contents) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.port = 0  # as soon as there is a server
        self._source, self._questions, self._contents = source, questions, contents
        self._pages: Mapping[str, Callable[[Filters, datetime], str]] = {
            "/": self._predictions,
            "/dead-letters": self._dead_letters,
            "/live": self._live,
            "/releases": self._releases,
            "/item": self._item,
        }

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
        page = self._pages.get(request.path)
        if page is None:
            return self._problem(404, "There is no such page.")
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

    def _page(self, page: Callable[[Filters, datetime], str], request: Request) -> Response:
        filters = Filters.read(request.args, period=self._source.period)
        try:
            html = page(filters, datetime.now(UTC))
        except (GoogleAPIError, GoogleAuthError, duckdb.Error) as error:
            said = " ".join(str(error).split("\n\n")[0].split())
            return self._problem(502, f"The question was refused: {said}")
        return Response(html, mimetype="text/html")

    @property
    def _cookie(self) -> str:
        return f"testudo-view-{self.port}"  # cookies know hosts, not ports

    def _is(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _welcome(self, request: Request) -> Response:
        """The token becomes a cookie, and leaves the address that people copy."""
        response = redirect(request.path if request.path in self._pages else "/", 303)
        response.autocorrect_location_header = False
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
        return response

    def _picture(self, name: str) -> Response:
        jpeg = self._contents.jpeg(name)
        if jpeg is None:
            return _text(404, "There is no such picture any more.")
        headers = {"Cache-Control": "private, max-age=3600"}  # a name never has another picture
        return Response(jpeg, mimetype="image/jpeg", headers=headers)

    def _problem(self, status: int, problem: str) -> Response:
        filters = Filters(period=self._source.period)
        html = self._render("problem", "", "That did not work", filters, problem=problem)
        return Response(html, status, mimetype="text/html")

    def _predictions(self, filters: Filters, now: datetime) -> str:
        page = self._questions.predictions(filters, now)
        return self._listed("predictions", "/", "Predictions", filters, page, now)

    def _dead_letters(self, filters: Filters, now: datetime) -> str:
        page = self._questions.dead_letters(filters, now)
        return self._listed("dead_letters", "/dead-letters", "Dead letters", filters, page, now)

    def _releases(self, filters: Filters, now: datetime) -> str:
        """Without a choice the two commonest releases."""
        names = [name for name, _ in self._options(filters, now)["release"]]
        others = [name for name in names if name != filters.release]
        release = filters.release or (names[0] if names else "")
        other = filters.other or next((name for name in others if name != release), release)
        changed = Filters.read(
            {**_texts(filters), "release": release, "other": other}, period=filters.period
        )
        page = self._questions.compared(changed, now)
        title = "Two releases side by side"
        return self._listed("releases", "/releases", title, changed, page, now)

    def _listed(
        self, template: str, here: str, title: str, filters: Filters, page: Page, now: datetime
    ) -> str:
        reasons = {row["payload_uri"] or "": row.get("reason", "") for row in page.rows}
        chosen = _chosen(filters, here)
        follows = self._source.refresh_s if filters.is_first_page and here != "/releases" else 0
        return self._render(
            template,
            here,
            title,
            filters,
            refresh_s=follows if filters.follow else 0,
            page=page,
            contents=self._contents.of(reasons),
            options=self._options(filters, now),
            chosen=chosen,
            filtered=bool(chosen) and here != "/releases",
            open=bool(chosen),
            cleared=Filters(period=filters.period).query(),
            can_follow=follows,
            follow_s=self._source.refresh_s,
            likeliest_of=_likeliest_of,
        )

    def _live(self, filters: Filters, now: datetime) -> str:
        live = self._source.refresh_s > 0
        pulse = read_pulse(self._questions, filters.since(now), now, live=live)
        refresh_s = self._source.refresh_s
        title = "Live" if live else "Throughput and latency"
        return self._render(
            "live", "/live", title, filters, refresh_s=refresh_s, pulse=pulse, live=live
        )

    def _item(self, filters: Filters, now: datetime) -> str:
        story = self._questions.story(filters.tenant, filters.item) if filters.item else []
        return self._render("item", "/item", "What became of an item", filters, story=story)

    def _options(self, filters: Filters, now: datetime) -> dict[str, list[tuple[str, str]]]:
        """What each choice offers: value and text, the commonest first."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for row in self._questions.options(filters, now):
            kind, name = row["kind"].removeprefix("failing "), row["name"]
            value = f"{row['model']}:{name}" if kind == "label" else name
            text = f"{row['model']}: {name}" if kind == "label" else name
            if len(found[kind]) < MAX_TENANTS:
                found[kind].setdefault(value, text)
        kinds = {kind: list(found[kind].items()) for kind in ("tenant", "release", "reason")}
        return kinds | {"label": sorted(found["label"].items())}

    def _render(self, template: str, here: str, title: str, filters: Filters, **values: Any) -> str:
        return render(
            template,
            here=here,
            title=title,
            place=self._source.place,
            filters=filters,
            shared=Filters(period=filters.period, tenant=filters.tenant).query(),
            periods=PERIODS,
            period_options=[(value, text) for value, (text, _) in PERIODS.items()],
            **{"refresh_s": 0, **values},
        )


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


def _text(status: int, text: str, **headers: str) -> Response:
    return Response(f"{text}\n", status, headers, mimetype="text/plain")


def _texts(filters: Filters) -> dict[str, str]:
    """Those of its values that are no time, as an address has them."""
    return {
        name: str(value) for name, value in vars(filters).items() if not isinstance(value, datetime)
    } | {"until": filters.until.isoformat()}


def _chosen(filters: Filters, here: str) -> list[tuple[str, str]]:
    """What narrows the page, in words."""
    percents = f"{filters.least} to {filters.most} %"
    of_predictions = here == "/"
    values = (
        ("tenant", filters.tenant),
        ("item", filters.item),
        ("release", filters.release),
        ("beside", filters.other),
        ("label", filters.label if of_predictions else ""),
        ("confidence", percents if (filters.least, filters.most) != (0, 100) else ""),
        ("reason", filters.reason),
        ("only", "where they differ" if filters.differing else ""),
    )
    return [(name, value) for name, value in values if value]


def _likeliest_of(scorers: Iterable[Scorer]) -> dict[str, str]:
    return {scorer.model: scorer.bars[0].label for scorer in scorers}
