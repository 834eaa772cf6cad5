"""The one list of what an environment needs, in the order in which it can be made."""

from beam_pipeline.cloud.environment import Environment
from beam_pipeline.cloud.grants import grants
from beam_pipeline.cloud.monitoring import monitoring
from beam_pipeline.cloud.resources import (
    Resource,
    accounts,
    buckets,
    messages,
    repositories,
    services,
)
from beam_pipeline.cloud.warehouse import warehouse


def inventory(environment: Environment) -> list[Resource]:
    return [
        one
        for part in (
            services,
            accounts,
            messages,
            warehouse,
            buckets,
            repositories,
            grants,
            monitoring,
        )
        for one in part(environment)
    ]
