"""The subnetwork of an environment's workers: which one it is, and what it must have.

Workers without public addresses reach Google's services through Private Google Access alone.
A subnetwork of a Shared VPC belongs to the host project, and is named by its whole address.
"""

import ipaddress
import re
from typing import Any, NamedTuple

from testudo.environment import Environment
from testudo.rest import REQUEST_TIMEOUT_S, RETRY_FOR_S, Body, call

DEFAULT = "default"  # the network and subnetworks that a project begins with
# Compute Engine keeps four addresses of each range for itself.
RESERVED_ADDRESSES = 4
REGION = r"(?P<region>[a-z]+-[a-z]+[0-9]{1,2})"
NAME = r"(?P<name>[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
ADDRESS = re.compile(
    r"(?:https://www\.googleapis\.com/compute/v1/projects/(?P<project>[a-z0-9.:-]+)/)?"
    rf"regions/{REGION}/subnetworks/{NAME}"
)


class Subnetwork(NamedTuple):
    """By its names; `project` is the host project of a Shared VPC, else the environment's."""

    project: str
    region: str
    name: str

    @property
    def path(self) -> str:
        return f"projects/{self.project}/regions/{self.region}/subnetworks/{self.name}"

    @property
    def update_command(self) -> str:
        """What turns Private Google Access on."""
        return (
            f"gcloud compute networks subnets update {self.name} --project={self.project} "
            f"--region={self.region} --enable-private-ip-google-access"
        )


def subnetwork_of(environment: Environment) -> Subnetwork:
    """The one that the workers will be in. Raises ValueError for an address of another form."""
    if not environment.subnetwork:
        return Subnetwork(environment.project, environment.region, DEFAULT)
    found = ADDRESS.fullmatch(environment.subnetwork)
    if not found:
        raise ValueError(f"subnetwork: {environment.subnetwork!r} does not match {ADDRESS.pattern}")
    return Subnetwork(found["project"] or environment.project, found["region"], found["name"])


def read_subnetwork(
    subnetwork: Subnetwork,
    *,
    timeout_s: float = REQUEST_TIMEOUT_S,
    retry_for_s: float = RETRY_FOR_S,
) -> Body:
    """As Compute Engine has it; raises what `testudo.rest.call` does."""
    path = f"/compute/v1/{subnetwork.path}"
    return call("compute", "GET", path, timeout_s=timeout_s, retry_for_s=retry_for_s)


def workers_that_fit(found: Body) -> int:
    """How many addresses the range has for machines, with those that are in use by now."""
    return int(ipaddress.ip_network(found["ipCidrRange"]).num_addresses) - RESERVED_ADDRESSES


def has_access(found: Body) -> bool:
    """Whether machines without a public address reach Google's services from there."""
    access: Any = found.get("privateIpGoogleAccess", False)
    return access is True
