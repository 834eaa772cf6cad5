"""What the control-plane stand-in refuses: a set of permissions that tests choose."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from testudo.control.server import ApiError, Body, Request, Route, route

PROJECT = "/v1/projects/{project}"
# Whose permissions can be asked for by POST; accounts have a route of their own, as they must
# be there.
ASKED_BY_POST = (
    "/v[13]/projects/{project}",
    f"{PROJECT}/topics/{{topic}}",
    f"{PROJECT}/subscriptions/{{subscription}}",
    f"{PROJECT}/locations/{{location}}/repositories/{{repository}}",
    "/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}",
)


class Refusals:
    """PUT /testudo/refused {"permissions": [...]} sets which permissions nobody has."""

    def __init__(self) -> None:
        self.permissions: frozenset[str] = frozenset()

    def routes(self) -> list[Route]:
        return [
            route("PUT", "/testudo/refused", self._set),
            *(route("POST", f"{on}:testIamPermissions", self.allowed) for on in ASKED_BY_POST),
            route("GET", "/storage/v1/b/{bucket}/iam/testPermissions", self._of_bucket),
        ]

    def check(self, permission: str, on: str) -> None:
        if permission in self.permissions:
            message = f"Permission '{permission}' denied on resource '{on}'"
            raise ApiError(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", message)

    def _set(self, request: Request) -> Body:
        self.permissions = frozenset(request.body["permissions"])
        return {}

    def allowed(self, request: Request) -> Body:
        asked = request.body.get("permissions", [])
        return {"permissions": self._had(asked)}

    def _of_bucket(self, request: Request) -> Body:
        return {"permissions": self._had(request.repeated.get("permissions", []))}

    def _had(self, asked: list[str]) -> list[str]:
        return [name for name in asked if name not in self.permissions]


def missing(name: str) -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"{name} was not found")


def existing(name: str) -> ApiError:
    return ApiError(HTTPStatus.CONFLICT, "ALREADY_EXISTS", f"{name} already exists")


def invalid(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", message)


def parsed(body: Mapping[str, Any], kind: Any) -> Body:
    """The body as Google's own message has it: unknown fields and wrong values are refused."""
    try:
        message = ParseDict(dict(body), kind.pb()())
    except ParseError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    read: Body = MessageToDict(message)
    return read


def patched(stored: Body, request: Request, kind: Any) -> Body:
    """The stored message with the fields of the update mask set, or emptied."""
    mask = request.query.get("updateMask") or request.body.get("updateMask", "")
    body = parsed(request.body.get("serviceAccount", request.body), kind)
    fields = mask.split(",") if mask else list(body)
    kept = {name: value for name, value in stored.items() if name not in fields}
    return parsed({**kept, **{field: body[field] for field in fields if field in body}}, kind)
