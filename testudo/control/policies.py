"""The stand-in for IAM policies: of projects, accounts, topics, tables, buckets, repositories.

A policy has an etag and is written only with the one that it has, as Google's
are; a member that is an account of the stand-in's must be there.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

from google.iam.v1 import policy_pb2
from google.protobuf.json_format import ParseDict, ParseError

from testudo.control.refusals import Refusals, invalid
from testudo.control.server import ApiError, Body, Request, Route, route

ACCOUNT = re.compile(r"serviceAccount:(?P<email>[\w-]+@[\w-]+\.iam\.gserviceaccount\.com)")
AGENTS = re.compile(r"@(gcp-sa-|service-)")


class PolicyService:
    """Policies in memory, by the path that they are asked for; `knows` tells which accounts are."""

    def __init__(self, refusals: Refusals, knows: Callable[[str], bool]) -> None:
        self.policies: dict[str, Body] = {}
        self._refusals = refusals
        self._knows = knows

    def routes(self) -> list[Route]:
        on = r"(?P<on>/(?:v1|v3|bigquery/v2)/projects/[^:]+)"
        bucket = "(?P<on>/storage/v1/b/[^/]+)/iam"
        reading = re.compile(f"{on}:getIamPolicy")
        return [
            Route("GET", reading, self._get),
            Route("POST", reading, self._get),
            Route("POST", re.compile(f"{on}:setIamPolicy"), self._set),
            Route("GET", re.compile(bucket), self._get),
            Route("PUT", re.compile(bucket), self._set),
            route("PUT", "/testudo/policies", self._put),
        ]

    def _get(self, request: Request) -> Body:
        self._refusals.check(f"{_service(request)}.getIamPolicy", request.path["on"])
        return self._policy(request.path["on"])

    def _set(self, request: Request) -> Body:
        on = request.path["on"]
        self._refusals.check(f"{_service(request)}.setIamPolicy", on)
        policy = request.body.get("policy", request.body)
        self._check(policy)
        stored = self._policy(on)
        if policy.get("etag") not in (None, stored["etag"]):
            message = "There were concurrent policy changes. Please retry the whole sequence."
            raise ApiError(HTTPStatus.CONFLICT, "ABORTED", message)
        return self._keep(on, policy)

    def _put(self, request: Request) -> Body:
        """A test's own policy for a path: `on` and `bindings`."""
        return self._keep(request.body["on"], {"bindings": request.body["bindings"]})

    def _policy(self, on: str) -> Body:
        return self.policies.setdefault(on, {"version": 1, "etag": "AAAAAQ==", "bindings": []})

    def _keep(self, on: str, policy: Body) -> Body:
        number = int(self._policy(on)["etag"].strip("A=") or "0", 36) + 1
        self.policies[on] = {**policy, "etag": f"AAAA{number:04}"}
        return self.policies[on]

    def _check(self, policy: Body) -> None:
        try:
            ParseDict(policy, policy_pb2.Policy())
        except ParseError as error:
            raise invalid(str(error)) from error
        for binding in policy.get("bindings", []):
            if not binding["role"].startswith(("roles/", "projects/", "organizations/")):
                raise invalid(f"Role {binding['role']} is not supported for this resource.")
            for member in binding.get("members", []):
                account = ACCOUNT.fullmatch(member)
                if account and not AGENTS.search(member) and not self._knows(account["email"]):
                    raise invalid(f"Service account {account['email']} does not exist.")


def _service(request: Request) -> str:
    """The permission's first words, as pubsub.topics, by what is asked for."""
    parts = request.path["on"].split("/")
    kinds = {
        "serviceAccounts": "iam.serviceAccounts",
        "topics": "pubsub.topics",
        "subscriptions": "pubsub.subscriptions",
        "tables": "bigquery.tables",
        "repositories": "artifactregistry.repositories",
        "b": "storage.buckets",
    }
    return kinds.get(parts[-2], "resourcemanager.projects")
