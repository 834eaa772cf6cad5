"""Which service stands behind each kind of resource."""

from collections.abc import Mapping

from testudo.provisioning import alerts, messages, projects, tables
from testudo.provisioning.buckets import buckets_side
from testudo.provisioning.policies import policies_side
from testudo.provisioning.resources import Kind
from testudo.provisioning.side import Side


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
