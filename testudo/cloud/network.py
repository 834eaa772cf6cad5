"""What the workers' subnetwork must have, read before anything is launched.

Workers without public addresses reach Google's services through Private Google Access alone.
"""

import ipaddress
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound

from testudo.environment import Environment
from testudo.rest import REQUEST_TIMEOUT_S, RETRY_FOR_S, Body, call
from testudo.subnetworks import Subnetwork, is_shared, subnetwork_of

# Compute Engine keeps four addresses of each range for itself.
RESERVED_ADDRESSES = 4


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


def network_problems(environment: Environment) -> list[str]:
    """What speaks against workers there; of a host project that may not be read, nothing."""
    subnetwork = subnetwork_of(environment)
    try:
        found = read_subnetwork(subnetwork)
    except NotFound:
        return [
            f"subnetwork: there is no {subnetwork.path}; name another, or make it with "
            f"`testudo provision {environment.name}` and a subnetwork_range"
        ]
    except GoogleAPICallError as error:
        if isinstance(error, Forbidden) and is_shared(environment):
            return []
        return [f"subnetwork: {subnetwork.path} cannot be read: {error.message}"]
    if environment.use_public_ips or has_access(found):
        return []
    return [
        f"subnetwork: {subnetwork.path} has no Private Google Access, without which workers that "
        f"have no public address reach no service; `{subnetwork.update_command}`"
    ]
