"""The one list of what an environment needs, in the order in which it can be made."""

from testudo.environment import Environment
from testudo.provisioning.grants import grants
from testudo.provisioning.monitoring import monitoring
from testudo.provisioning.resources import (
    Resource,
    accounts,
    buckets,
    messages,
    repositories,
    services,
)
from testudo.provisioning.subnetworks import subnetworks
from testudo.provisioning.warehouse import warehouse


def inventory(environment: Environment) -> list[Resource]:
    return [
        resource
        for part in (
            services,
            accounts,
            subnetworks,
            messages,
            warehouse,
            buckets,
            repositories,
            grants,
            monitoring,
        )
        for resource in part(environment)
    ]
