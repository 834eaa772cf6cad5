"""The subnetwork of an environment's workers, by its names.

A subnetwork of a Shared VPC belongs to the host project, and is named by its whole address.
"""

import re
from typing import NamedTuple

from testudo.environment import Environment

DEFAULT = "default"  # the network that a project begins with, and its subnetworks
HOST = "https://www.googleapis.com/compute/v1/"
NETWORK = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ADDRESS = re.compile(
    r"(https://www\.googleapis\.com/compute/v1/projects/(?P<project>[a-z0-9.:-]+)/)?"
    r"regions/(?P<region>[a-z]+-[a-z]+[0-9]{1,2})/subnetworks/(?P<name>[a-z][-a-z0-9]{0,62})"
)


class Subnetwork(NamedTuple):
    """`project` is the host project of a Shared VPC, else the environment's."""

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
    """The one that the workers will be in; of a network in auto mode it has the network's name.

    Raises ValueError for an address of another form, which no file of environments has.
    """
    if not environment.subnetwork:
        name = environment.network or DEFAULT
        return Subnetwork(environment.project, environment.region, name)
    found = ADDRESS.fullmatch(environment.subnetwork)
    if not found:
        raise ValueError(f"subnetwork: {environment.subnetwork!r} does not match {ADDRESS.pattern}")
    return Subnetwork(found["project"] or environment.project, found["region"], found["name"])


def is_shared(environment: Environment) -> bool:
    """Whether the subnetwork is of a host project."""
    return subnetwork_of(environment).project != environment.project
