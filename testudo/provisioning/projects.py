"""Services, service accounts and repositories of a project, by REST."""

from collections.abc import Sequence
from typing import Any

from google.api_core.exceptions import NotFound

from testudo.provisioning.provider import Provider, fixed, needs_role, nothing_to_change
from testudo.provisioning.resources import Fields, Resource
from testudo.rest import call, wait


def read_service(resource: Resource) -> Fields | None:
    """A service is there, or it is not enabled: there is nothing in between."""
    found = call("serviceusage", "GET", f"/v1/{resource.name}")
    return found if found.get("state") == "ENABLED" else None


def enable_service(resource: Resource) -> None:
    operation = call("serviceusage", "POST", f"/v1/{resource.name}:enable", body={})
    wait("serviceusage", "v1", operation)


def read_account(resource: Resource) -> Fields | None:
    return _found("iam", resource)


def create_account(resource: Resource) -> None:
    parent, _, email = resource.name.rpartition("/")
    body = {"accountId": email.split("@")[0], "serviceAccount": dict(resource.fields)}
    call("iam", "POST", f"/v1/{parent}", body=body)


def change_account(resource: Resource, fields: Sequence[str]) -> None:
    body = {"serviceAccount": dict(resource.fields), "updateMask": ",".join(fields)}
    call("iam", "PATCH", f"/v1/{resource.name}", body=body)


def read_repository(resource: Resource) -> Fields | None:
    return _found("artifactregistry", resource)


def create_repository(resource: Resource) -> None:
    parent, _, name = resource.name.rpartition("/")
    operation = call(
        "artifactregistry",
        "POST",
        f"/v1/{parent}",
        query={"repositoryId": name},
        body=resource.fields,
    )
    wait("artifactregistry", "v1", operation)


def change_repository(resource: Resource, fields: Sequence[str]) -> None:
    call(
        "artifactregistry",
        "PATCH",
        f"/v1/{resource.name}",
        query={"updateMask": ",".join(fields)},
        body={name: resource.fields[name] for name in fields},
    )


def project_number(project: str) -> str:
    """For the names of Google's own accounts."""
    found: dict[str, Any] = call("cloudresourcemanager", "GET", f"/v3/projects/{project}")
    return str(found["name"]).removeprefix("projects/")


def _found(service: str, resource: Resource) -> Fields | None:
    try:
        return call(service, "GET", f"/v1/{resource.name}")
    except NotFound:
        return None


SERVICES = Provider(
    read_service,
    enable_service,
    nothing_to_change,
    needs_role("roles/serviceusage.serviceUsageAdmin"),
)
ACCOUNTS = Provider(
    read_account, create_account, change_account, needs_role("roles/iam.serviceAccountAdmin")
)
REPOSITORIES = Provider(
    read_repository,
    create_repository,
    change_repository,
    needs_role("roles/artifactregistry.admin"),
    fixed({"format": "a repository keeps its format: name another one"}),
)
