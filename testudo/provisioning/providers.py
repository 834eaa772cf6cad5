"""Which service stands behind each kind of resource."""

from collections.abc import Mapping

from testudo.provisioning import alerts, messages, projects, subnetworks, tables
from testudo.provisioning.buckets import bucket_provider
from testudo.provisioning.policies import policy_provider
from testudo.provisioning.provider import Provider
from testudo.provisioning.resources import Kind


def providers(project: str) -> Mapping[Kind, Provider]:
    return {
        Kind.SERVICE: projects.SERVICES,
        Kind.ACCOUNT: projects.ACCOUNTS,
        Kind.SUBNETWORK: subnetworks.SUBNETWORKS,
        Kind.TOPIC: messages.TOPICS,
        Kind.SUBSCRIPTION: messages.SUBSCRIPTIONS,
        Kind.DATASET: tables.DATASETS,
        Kind.TABLE: tables.TABLES,
        Kind.VIEW: tables.VIEWS,
        Kind.BUCKET: bucket_provider(project),
        Kind.REPOSITORY: projects.REPOSITORIES,
        Kind.GRANT: policy_provider(project),
        Kind.ALERT: alerts.ALERTS,
        Kind.DASHBOARD: alerts.DASHBOARDS,
    }
