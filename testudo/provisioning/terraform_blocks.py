"""How each kind of resource is written in Terraform: its type, and a function to its block."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from testudo.provisioning.resources import Kind, Resource

Block = dict[str, Any]


def service(resource: Resource) -> Block:
    return {"service": resource.name.rpartition("/")[2], "disable_on_destroy": False}


def account(resource: Resource) -> Block:
    email = resource.name.rpartition("/")[2]
    return {"account_id": email.split("@")[0], "display_name": resource.fields["displayName"]}


def subnetwork(resource: Resource) -> Block:
    names, fields = resource.name.split("/"), resource.fields
    return {
        "name": names[5],
        "region": names[3],
        "network": fields["network"],
        "ip_cidr_range": fields["ipCidrRange"],
        "private_ip_google_access": fields["privateIpGoogleAccess"],
    }


def subnetwork_data(resource: Resource) -> Block:
    """One that Terraform only reads, with what must hold of it."""
    names = resource.name.split("/")
    needed = {
        "condition": "${self.private_ip_google_access}",
        "error_message": f"{resource.name} has no Private Google Access",
    }
    return {
        "project": names[1],
        "region": names[3],
        "name": names[5],
        "lifecycle": {"postcondition": [needed]},
    }


def topic(resource: Resource) -> Block:
    kept = resource.fields["messageRetentionDuration"]
    return {
        "name": resource.name.rpartition("/")[2],
        **({"message_retention_duration": kept} if kept else {}),
        "labels": resource.fields["labels"],
    }


def subscription(resource: Resource) -> Block:
    fields = resource.fields
    block = {
        "name": resource.name.rpartition("/")[2],
        "topic": fields["topic"],
        "ack_deadline_seconds": fields["ackDeadlineSeconds"],
        "message_retention_duration": fields["messageRetentionDuration"],
        "retain_acked_messages": fields["retainAckedMessages"],
        "expiration_policy": {"ttl": ""},  # never
        "enable_exactly_once_delivery": fields["enableExactlyOnceDelivery"],
        "enable_message_ordering": fields["enableMessageOrdering"],
        "labels": fields["labels"],
    }
    if policy := fields["deadLetterPolicy"]:
        block["dead_letter_policy"] = {
            "dead_letter_topic": policy["deadLetterTopic"],
            "max_delivery_attempts": policy["maxDeliveryAttempts"],
        }
    return block


def dataset(resource: Resource) -> Block:
    return {"dataset_id": resource.name.rpartition("/")[2], **resource.fields}


def table(resource: Resource) -> Block:
    names, fields = resource.name.split("/"), resource.fields
    return {
        "dataset_id": names[3],
        "table_id": names[5],
        "schema": json.dumps(fields["schema"]["fields"]),
        "time_partitioning": fields["timePartitioning"],
        "clustering": fields["clustering"]["fields"],
        "deletion_protection": True,
    }


def view(resource: Resource) -> Block:
    names, view = resource.name.split("/"), resource.fields["view"]
    return {
        "dataset_id": names[3],
        "table_id": names[5],
        "view": {"query": view["query"], "use_legacy_sql": view["useLegacySql"]},
        "deletion_protection": False,
    }


def bucket(resource: Resource) -> Block:
    fields = resource.fields
    access, kept = fields["iamConfiguration"], fields["softDeletePolicy"]
    return {
        "name": resource.name,
        "location": fields["location"],
        "storage_class": fields["storageClass"],
        "uniform_bucket_level_access": access["uniformBucketLevelAccess"]["enabled"],
        "public_access_prevention": access["publicAccessPrevention"],
        "soft_delete_policy": {"retention_duration_seconds": int(kept["retentionDurationSeconds"])},
        "lifecycle_rule": [rule(each) for each in fields.get("lifecycle", {}).get("rule", [])],
        "labels": fields["labels"],
        "force_destroy": False,
    }


def rule(one: Mapping[str, Any]) -> Block:
    action, when = one["action"], one["condition"]
    storage = {"storage_class": action["storageClass"]} if "storageClass" in action else {}
    return {
        "action": {"type": action["type"], **storage},
        "condition": {"age": when["age"], "matches_prefix": when["matchesPrefix"]},
    }


def repository(resource: Resource) -> Block:
    names = resource.name.split("/")
    return {"location": names[3], "repository_id": names[5], **resource.fields}


def alert(resource: Resource) -> Block:
    fields = resource.fields
    channels = fields.get("notificationChannels")
    return {
        "display_name": fields["displayName"],
        "severity": fields["severity"],
        "combiner": fields["combiner"],
        "enabled": fields["enabled"],
        "conditions": [condition(each) for each in fields["conditions"]],
        "documentation": {
            "content": fields["documentation"]["content"],
            "mime_type": fields["documentation"]["mimeType"],
        },
        "alert_strategy": {"auto_close": fields["alertStrategy"]["autoClose"]},
        "user_labels": fields["userLabels"],
        **({"notification_channels": channels} if channels else {}),
    }


def condition(one: Mapping[str, Any]) -> Block:
    query = one["conditionPrometheusQueryLanguage"]
    return {
        "display_name": one["displayName"],
        "condition_prometheus_query_language": {
            "query": query["query"],
            "duration": query["duration"],
            "evaluation_interval": query["evaluationInterval"],
        },
    }


def dashboard(resource: Resource) -> Block:
    return {"dashboard_json": json.dumps(resource.fields)}


BLOCKS: Mapping[Kind, tuple[str, Callable[[Resource], Block]]] = {
    Kind.SERVICE: ("google_project_service", service),
    Kind.ACCOUNT: ("google_service_account", account),
    Kind.SUBNETWORK: ("google_compute_subnetwork", subnetwork),
    Kind.TOPIC: ("google_pubsub_topic", topic),
    Kind.SUBSCRIPTION: ("google_pubsub_subscription", subscription),
    Kind.DATASET: ("google_bigquery_dataset", dataset),
    Kind.TABLE: ("google_bigquery_table", table),
    Kind.VIEW: ("google_bigquery_table", view),
    Kind.BUCKET: ("google_storage_bucket", bucket),
    Kind.REPOSITORY: ("google_artifact_registry_repository", repository),
    Kind.ALERT: ("google_monitoring_alert_policy", alert),
    Kind.DASHBOARD: ("google_monitoring_dashboard", dashboard),
}
