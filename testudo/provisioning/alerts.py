"""Alert policies and the dashboard, by REST: the service gives them ids, so they are searched."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testudo.provisioning.monitoring import ALERT_LABEL
from testudo.provisioning.provider import Provider, needs_role
from testudo.provisioning.resources import Fields, Resource
from testudo.rest import call

KNOWN_BY = (ALERT_LABEL, "environment")  # of a policy's userLabels
PAGE = "1000"


def read_alert(resource: Resource) -> Fields | None:
    desired = resource.fields["userLabels"]
    for policy in _all(resource, "/v3", "alertPolicies"):
        labels = policy.get("userLabels", {})
        if all(labels.get(name) == desired[name] for name in KNOWN_BY):
            return policy
    return None


def create_alert(resource: Resource) -> None:
    call("monitoring", "POST", f"/v3/{_parent(resource)}", body=resource.fields)


def change_alert(resource: Resource, fields: Sequence[str]) -> None:
    """Conditions are sent whole: those without a name replace the others."""
    found = read_alert(resource) or {}
    body = {name: resource.fields[name] for name in fields}
    if "userLabels" in body:
        body["userLabels"] = {**found.get("userLabels", {}), **body["userLabels"]}
    query = {"updateMask": ",".join(fields)}
    call("monitoring", "PATCH", f"/v3/{found['name']}", query=query, body=body)


def read_dashboard(resource: Resource) -> Fields | None:
    title = resource.fields["displayName"]
    boards = _all(resource, "/v1", "dashboards")
    return next((board for board in boards if board.get("displayName") == title), None)


def create_dashboard(resource: Resource) -> None:
    call("monitoring", "POST", f"/v1/{_parent(resource)}", body=resource.fields)


def change_dashboard(resource: Resource, _fields: Sequence[str]) -> None:
    """A dashboard is written whole; its etag keeps another's change from being lost."""
    found = read_dashboard(resource) or {}
    body = {**resource.fields, "name": found["name"], "etag": found.get("etag", "")}
    call("monitoring", "PATCH", f"/v1/{found['name']}", body=body)


def _parent(resource: Resource) -> str:
    return resource.name.rpartition("/")[0]


def _all(resource: Resource, version: str, name: str) -> Iterator[Mapping[str, Any]]:
    query = {"pageSize": PAGE}
    while True:
        page = call("monitoring", "GET", f"{version}/{_parent(resource)}", query=query)
        yield from page.get(name, [])
        if not page.get("nextPageToken"):
            return
        query["pageToken"] = page["nextPageToken"]


ALERTS = Provider(
    read_alert, create_alert, change_alert, needs_role("roles/monitoring.alertPolicyEditor")
)
DASHBOARDS = Provider(
    read_dashboard,
    create_dashboard,
    change_dashboard,
    needs_role("roles/monitoring.dashboardEditor"),
)
