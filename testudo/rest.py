"""Google's control planes by REST, where a generated client speaks gRPC alone or is missing.

Google's own connection does the work (google-cloud-core: credentials, errors as
exceptions). In the local stack all services answer at one address; see clients.py.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.api_core.retry import Retry, if_transient_error
from google.auth.credentials import AnonymousCredentials
from google.cloud._http import JSONConnection
from google.cloud.client import Client

from testudo.clients import ENDPOINT

REQUEST_TIMEOUT_S = 60.0
RETRY_FOR_S = 120.0
OPERATION_ALLOWED_S = 300.0

Body = dict[str, Any]


class OperationFailed(GoogleAPICallError):
    """A long-running operation ended with an error."""


class _NotDone(Exception):
    """An operation goes on."""


class _Client(Client):
    SCOPE = ("https://www.googleapis.com/auth/cloud-platform",)


class _Connection(JSONConnection):
    API_VERSION = ""
    API_URL_TEMPLATE = "{api_base_url}{path}"


def call(
    service: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str | Sequence[str]] | None = None,
    timeout_s: float = REQUEST_TIMEOUT_S,
    retry_for_s: float = RETRY_FOR_S,
) -> Body:
    """Ask `service`.googleapis.com. Raises a GoogleAPICallError by its status.

    What only reads is tried again for `retry_for_s` while the service is busy; what writes is
    not, since it may have been done. `timeout_s` is of one request. Raises GoogleAuthError without
    credentials, and OSError or RetryError when nobody answers.
    """

    def once() -> Body:
        answer: Body = _connection(os.environ.get(ENDPOINT, "")).api_request(
            method,
            path,
            api_base_url=os.environ.get(ENDPOINT) or f"https://{service}.googleapis.com",
            data=dict(body) if body is not None else None,
            query_params=dict(query or {}),
            timeout=timeout_s,
        )
        return answer

    if method != "GET":
        return once()
    return Retry(predicate=if_transient_error, timeout=retry_for_s)(once)()


def wait(service: str, version: str, operation: Body) -> Body:
    """The answer of a long-running operation. Raises OperationFailed, or RetryError after 5 min."""

    def poll() -> Body:
        found = operation
        if not found.get("done"):
            found = call(service, "GET", f"/{version}/{operation['name']}")
        if not found.get("done"):
            raise _NotDone
        return found

    done = Retry(predicate=lambda error: isinstance(error, _NotDone), timeout=OPERATION_ALLOWED_S)(
        poll
    )()
    if "error" in done:
        raise OperationFailed(done["error"].get("message", "failed"))
    return done


@cache
def _connection(endpoint: str) -> _Connection:
    """One for each address: it keeps its connections open."""
    return _Connection(_Client(credentials=AnonymousCredentials() if endpoint else None))
