"""Roles: bindings of the policy that each resource has, by REST.

A policy is one document that many write. It is read, one member is added, and
it is written with the etag that it was read with; if somebody else was faster,
all of that again. Nothing that stands there is ever taken away, conditional
bindings included (which is why version 3 is asked for).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from google.api_core.exceptions import Aborted, Conflict, NotFound, PreconditionFailed
from google.api_core.retry import Retry, if_exception_type

from testudo.provisioning.projects import project_number
from testudo.provisioning.provider import Provider, nothing_to_change
from testudo.provisioning.resources import Fields, Kind, Resource
from testudo.rest import call

ADD_ALLOWED_S = 60.0
VERSION = 3
Policy = dict[str, Any]


class Place(NamedTuple):
    """Where a kind of resource has its policy; {on} is the resource's name."""

    service: str
    path: str
    reads_by_get: bool = False


# What may change the policy of each.
ADMINS = {
    "project": "roles/resourcemanager.projectIamAdmin",
    Kind.ACCOUNT: "roles/iam.serviceAccountAdmin",
    Kind.TOPIC: "roles/pubsub.admin",
    Kind.SUBSCRIPTION: "roles/pubsub.admin",
    Kind.TABLE: "roles/bigquery.dataOwner",
    Kind.BUCKET: "roles/storage.admin",
    Kind.REPOSITORY: "roles/artifactregistry.admin",
}
PLACES = {
    "project": Place("cloudresourcemanager", "/v3/{on}"),
    Kind.ACCOUNT: Place("iam", "/v1/{on}"),
    Kind.TOPIC: Place("pubsub", "/v1/{on}", reads_by_get=True),
    Kind.SUBSCRIPTION: Place("pubsub", "/v1/{on}", reads_by_get=True),
    Kind.TABLE: Place("bigquery", "/bigquery/v2/{on}"),
    Kind.REPOSITORY: Place("artifactregistry", "/v1/{on}", reads_by_get=True),
}


def policy_provider(project: str) -> Provider:
    """For one project, whose number is asked for once, and only if a member's name has it."""
    number: Callable[[], str] = cache(lambda: project_number(project))

    def member(resource: Resource) -> str:
        name = str(resource.fields["member"])
        return name.format(project_number=number()) if "{" in name else name

    def read(resource: Resource) -> Fields | None:
        """Without the resource there is no policy, and without that no role."""
        try:
            policy = read_policy(resource.fields["kind"], resource.fields["on"])
        except NotFound:
            return None
        held = has(policy, resource.fields["role"], member(resource))
        return resource.fields if held else None

    def create(resource: Resource) -> None:
        add_member(resource, member(resource))

    return Provider(read, create, nothing_to_change, lambda grant: ADMINS[grant.fields["kind"]])


def add_member(resource: Resource, member: str) -> None:
    kind, on, role = (str(resource.fields[field]) for field in ("kind", "on", "role"))

    def once() -> None:
        policy = read_policy(kind, on)
        if not has(policy, role, member):
            write_policy(kind, on, with_member(policy, role, member))

    faster = if_exception_type(Aborted, Conflict, PreconditionFailed)
    Retry(predicate=faster, timeout=ADD_ALLOWED_S, initial=0.2)(once)()


def has(policy: Policy, role: str, member: str) -> bool:
    """Whether the member has the role at all times: a condition may not hold."""
    return any(
        binding["role"] == role
        and member in binding.get("members", [])
        and not binding.get("condition")
        for binding in policy.get("bindings", [])
    )


def with_member(policy: Policy, role: str, member: str) -> Policy:
    """The policy with one member more, and nothing less."""
    bindings = [dict(binding) for binding in policy.get("bindings", [])]
    for binding in bindings:
        if binding["role"] == role and not binding.get("condition"):
            binding["members"] = [*binding.get("members", []), member]
            break
    else:
        bindings.append({"role": role, "members": [member]})
    return {**policy, "bindings": bindings, "version": VERSION}


def read_policy(kind: str, on: str) -> Policy:
    if kind == Kind.BUCKET:
        query = {"optionsRequestedPolicyVersion": str(VERSION)}
        return call("storage", "GET", f"/storage/v1/b/{on}/iam", query=query)
    place = PLACES[kind]
    path = f"{place.path.format(on=on)}:getIamPolicy"
    if place.reads_by_get:
        query = {"options.requestedPolicyVersion": str(VERSION)}
        return call(place.service, "GET", path, query=query)
    body = {"options": {"requestedPolicyVersion": VERSION}}
    return call(place.service, "POST", path, body=body)


def write_policy(kind: str, on: str, policy: Policy) -> None:
    if kind == Kind.BUCKET:
        call("storage", "PUT", f"/storage/v1/b/{on}/iam", body=policy)
        return
    place = PLACES[kind]
    path = f"{place.path.format(on=on)}:setIamPolicy"
    call(place.service, "POST", path, body={"policy": policy})
