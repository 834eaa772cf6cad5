"""Failures of the control-plane stand-in that tests choose: refusals, errors, silence.

PUT /testudo/faults {"faults": [{"path": REGEX, ...}]} sets them all; an empty list ends them.
A request whose path matches waits `delay_s` seconds, and then gets the error `code` with its
`status`, `message` and, of a service that is not enabled, `reason` and `service`; without a
code it is answered as ever.
"""

import re
import time
from http import HTTPStatus
from typing import Any, NamedTuple

from testudo.control.refusals import invalid
from testudo.control.server import ApiError, Body, Request, Route, route

FIELDS = {"path", "delay_s", "code", "status", "message", "reason", "service"}


class Fault(NamedTuple):
    """What requests of matching paths meet; details of the error are as Google writes them."""

    path: re.Pattern[str]
    delay_s: float
    error: ApiError | None


class Faults:
    """The faults in force; none at the start."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def routes(self) -> list[Route]:
        return [route("PUT", "/testudo/faults", self._set)]

    def meet(self, path: str) -> None:
        """Called before a request is answered, without the server's lock."""
        for fault in self._faults:
            if fault.path.search(path):
                time.sleep(fault.delay_s)
                if fault.error:
                    raise fault.error

    def _set(self, request: Request) -> Body:
        self._faults = [_fault(given) for given in request.body["faults"]]
        return {}


def _fault(given: dict[str, Any]) -> Fault:
    if unknown := given.keys() - FIELDS:
        raise invalid(f'Unknown name "{min(unknown)}"')
    error = None
    if code := given.get("code"):
        message = given.get("message", "as the test chose")
        error = ApiError(HTTPStatus(code), given.get("status", "UNKNOWN"), message)
        if reason := given.get("reason"):
            error.body["error"]["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": reason,
                    "domain": "googleapis.com",
                    "metadata": {"service": given.get("service", "")},
                }
            ]
    return Fault(re.compile(given["path"]), float(given.get("delay_s", 0)), error)
