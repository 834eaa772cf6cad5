"""Which service stands behind each kind of resource."""

from collections.abc import Mapping

from beam_pipeline.cloud.existing import alerts, messages, projects, tables
from beam_pipeline.cloud.existing.buckets import buckets_side
from beam_pipeline.cloud.existing.policies import policies_side
from beam_pipeline.cloud.existing.side import Side
from beam_pipeline.cloud.resources import Kind


def sides(project: str) -> Mapping[Kind, Side]:
    return {
        Kind.SERVICE: projects.SERVICES,
        Kind.ACCOUNT: projects.ACCOUNTS,
        Kind.TOPIC: messages.TOPICS,
        Kind.SUBSCRIPTION: messages.SUBSCRIPTIONS,
        Kind.DATASET: tables.DATASETS,
        Kind.TABLE: tables.TABLES,
        Kind.VIEW: tables.VIEWS,
        Kind.BUCKET: buckets_side(project),
        Kind.REPOSITORY: projects.REPOSITORIES,
        Kind.GRANT: policies_side(project),
        Kind.ALERT: alerts.ALERTS,
        Kind.DASHBOARD: alerts.DASHBOARDS,
    }
