"""Machine types of Compute Engine: vCPUs and memory, from the name.

Memory a vCPU as on cloud.google.com/compute/docs/general-purpose-machines. Only types that
Dataflow's workers commonly run on; a vCPU of one family counts like that of another.
"""

import re
from typing import NamedTuple

from testudo.errors import CommandError

MEMORY_GB_A_VCPU = {
    "n1-standard": 3.75,
    "n1-highmem": 6.5,
    "n2-standard": 4.0,
    "n2-highmem": 8.0,
    "n2-highcpu": 1.0,
    "n2d-standard": 4.0,
    "n2d-highmem": 8.0,
    "e2-standard": 4.0,
    "e2-highmem": 8.0,
}
VCPUS = (2, 4, 8, 16, 32)  # each of the series has these; e2-highmem ends at 16
_NAME = re.compile(r"(?P<series>[a-z0-9]+-[a-z]+)-(?P<vcpus>\d+)")


class UnknownMachine(CommandError):
    """A machine type that plans cannot be made for; says which are known."""


class MachineType(NamedTuple):
    name: str
    vcpus: int
    memory_gb: float


def machine_type(name: str) -> MachineType:
    """Raises UnknownMachine."""
    found = _NAME.fullmatch(name)
    if not found or found["series"] not in MEMORY_GB_A_VCPU or int(found["vcpus"]) not in VCPUS:
        raise UnknownMachine(
            f"{name!r} is none of {', '.join(MEMORY_GB_A_VCPU)} with -2, -4, -8, -16 or -32"
        )
    vcpus = int(found["vcpus"])
    return MachineType(name, vcpus, MEMORY_GB_A_VCPU[found["series"]] * vcpus)
