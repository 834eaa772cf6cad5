"""The workers' subnetwork: Private Google Access is turned on, and one with a range is made.

By REST of Compute Engine, whose changes are operations that are waited for.
"""

from collections.abc import Sequence

from google.api_core.exceptions import NotFound
from google.api_core.retry import Retry

from testudo.environment import Environment
from testudo.provisioning.provider import Provider, fixed
from testudo.provisioning.resources import Fields, Kind, Resource
from testudo.rest import OPERATION_ALLOWED_S, Body, OperationFailed, call
from testudo.subnetworks import DEFAULT, HOST, is_shared, subnetwork_of

ACCESS = "privateIpGoogleAccess"


def subnetworks(environment: Environment) -> list[Resource]:
    """None where workers have public addresses and nobody gave a range.

    Range and network are fields only of one that is made here: of another they are its owner's.
    """
    if environment.use_public_ips and not environment.subnetwork_range:
        return []
    subnetwork = subnetwork_of(environment)
    fields: dict[str, object] = {ACCESS: not environment.use_public_ips}
    if environment.subnetwork_range and not is_shared(environment):
        network = f"projects/{subnetwork.project}/global/networks/{environment.network or DEFAULT}"
        fields |= {"ipCidrRange": environment.subnetwork_range, "network": network}
    return [Resource(Kind.SUBNETWORK, subnetwork.path, fields)]


def read(resource: Resource) -> Fields | None:
    try:
        found = call("compute", "GET", f"/compute/v1/{resource.name}")
    except NotFound:
        return None
    return {**found, "network": str(found.get("network", "")).removeprefix(HOST)}


def create(resource: Resource) -> None:
    """Raises NotFound for one without a range: nobody said what it is to be like."""
    if "ipCidrRange" not in resource.fields:
        raise NotFound(
            f"{resource.name} is not there: correct the environment's subnetwork, or give it a "
            "subnetwork_range; one of a Shared VPC is made by the owners of the host project"
        )
    parent, _, name = resource.name.rpartition("/")
    body = {"name": name, **resource.fields}
    _wait(resource, call("compute", "POST", f"/compute/v1/{parent}", body=body))


def change(resource: Resource, _fields: Sequence[str]) -> None:
    """Private Google Access is all that changes in place."""
    path = f"/compute/v1/{resource.name}/setPrivateIpGoogleAccess"
    _wait(resource, call("compute", "POST", path, body={ACCESS: resource.fields[ACCESS]}))


def _wait(resource: Resource, operation: Body) -> None:
    """Raises OperationFailed, or RetryError after five minutes."""
    place = resource.name.partition("/subnetworks/")[0]

    def poll() -> Body:
        found = operation
        if found.get("status") != "DONE":
            found = call("compute", "GET", f"/compute/v1/{place}/operations/{operation['name']}")
        if found.get("status") != "DONE":
            raise _NotDone
        return found

    retry = Retry(predicate=lambda error: isinstance(error, _NotDone), timeout=OPERATION_ALLOWED_S)
    errors = retry(poll)().get("error", {}).get("errors", [])
    if errors:
        raise OperationFailed("; ".join(str(error.get("message")) for error in errors))


class _NotDone(Exception):
    """An operation goes on."""


def _role(resource: Resource) -> str:
    return f"roles/compute.networkAdmin on {'/'.join(resource.name.split('/')[:2])}"


SUBNETWORKS = Provider(
    read,
    create,
    change,
    _role,
    fixed(
        {
            "ipCidrRange": "a range only grows: `gcloud compute networks subnets expand-ip-range`, "
            "or name another subnetwork",
            "network": "a subnetwork stays in its network: name another one",
        }
    ),
)
