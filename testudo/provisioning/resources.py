"""What an environment needs in its project, as plain data: one list, every reader's source.

`testudo provision` compares the list with what exists and makes it so; the
Terraform files are written from the same list. Fields are in the form of the
REST interface of the resource's service; names are the service's own.
"""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from testudo.environment import Environment

DAY_S = 24 * 3600
ACK_DEADLINE_S = 60  # Dataflow extends it while it works; this is for who dies with messages
TEMP_DAYS = 14
SOFT_DELETE_DAYS = 7
LONGEST_RETENTION_DAYS = 31  # of a subscription, as Pub/Sub allows
# Only these prefixes are ever emptied. `staging/` and `templates/` are not among them: a running
# job's workers and its next update read there, however old it is.
EXPIRING = ("payloads/", "dead-letters/")
SERVICES = (
    "artifactregistry", "bigquery", "cloudbuild", "cloudresourcemanager", "compute", "dataflow",
    "iam", "logging", "monitoring", "pubsub", "storage",
)  # fmt: skip

Fields = Mapping[str, Any]


class Kind(enum.StrEnum):
    """In the order in which they are made: each needs none but those before it."""

    SERVICE = "service"
    ACCOUNT = "service account"
    SUBNETWORK = "subnetwork"
    TOPIC = "topic"
    SUBSCRIPTION = "subscription"
    DATASET = "dataset"
    TABLE = "table"
    VIEW = "view"
    BUCKET = "bucket"
    REPOSITORY = "repository"
    GRANT = "role"
    ALERT = "alert"
    DASHBOARD = "dashboard"


class Resource(NamedTuple):
    """`name` is unique in its kind; `needs` are the names of resources that it stands on."""

    kind: Kind
    name: str
    fields: Fields
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


def labels_of(environment: Environment) -> dict[str, str]:
    return {"app": "testudo", "environment": environment.name, **environment.labels}


def services(environment: Environment) -> list[Resource]:
    project = f"projects/{environment.project}"
    return [
        Resource(Kind.SERVICE, f"{project}/services/{service}.googleapis.com", {"state": "ENABLED"})
        for service in SERVICES
    ]


def accounts(environment: Environment) -> list[Resource]:
    named = {
        environment.worker_email: f"Testudo {environment.name}: the job's workers",
        environment.launcher_email: f"Testudo {environment.name}: launches and updates the job",
    }
    return [
        Resource(
            Kind.ACCOUNT,
            f"projects/{environment.project}/serviceAccounts/{email}",
            {"displayName": what},
        )
        for email, what in named.items()
    ]


def messages(environment: Environment) -> list[Resource]:
    """The topic and the job's subscription; with `delivery_attempts`, a dead-letter topic too.

    Where the flags name an overflow topic of the project, it and its subscription too.
    """
    labels = labels_of(environment)
    topic, subscription = environment.topic_path, environment.subscription_path
    made = [*_overflow(environment), Resource(Kind.TOPIC, topic, _topic(environment))]
    fields = {**_subscription(topic, environment.retention_days), "labels": labels}
    if not environment.delivery_attempts:
        return [*made, Resource(Kind.SUBSCRIPTION, subscription, fields, (topic,))]
    dead_topic = f"{topic}-dead-letters"
    fields["deadLetterPolicy"] = {
        "deadLetterTopic": dead_topic,
        "maxDeliveryAttempts": environment.delivery_attempts,
    }
    keeper_name = f"{subscription}-dead-letters"
    keeper = {**_subscription(dead_topic, LONGEST_RETENTION_DAYS), "labels": labels}
    return [
        *made,
        Resource(Kind.TOPIC, dead_topic, _topic(environment)),
        # First the keeper: what Pub/Sub sends to a topic without a subscription is lost.
        Resource(Kind.SUBSCRIPTION, keeper_name, keeper, (dead_topic,)),
        Resource(Kind.SUBSCRIPTION, subscription, fields, (topic, dead_topic, keeper_name)),
    ]


def _overflow(environment: Environment) -> list[Resource]:
    topic, labels = environment.overflow_topic_path, labels_of(environment)
    if not topic:
        return []
    fields = {**_subscription(topic, environment.retention_days), "labels": labels}
    return [
        Resource(Kind.TOPIC, topic, _topic(environment)),
        Resource(Kind.SUBSCRIPTION, environment.overflow_subscription_path, fields, (topic,)),
    ]


def _topic(environment: Environment) -> dict[str, Any]:
    """It keeps messages for a seek; a subscription would keep all as long as those that wait.

    Every payload is in the bucket: a seek is for the messages of a job that ended badly.
    """
    kept_s = environment.seek_days * DAY_S
    return {
        "messageRetentionDuration": f"{kept_s}s" if kept_s else "",
        "labels": labels_of(environment),
    }


def _subscription(topic: str, retention_days: int) -> dict[str, Any]:
    return {
        "topic": topic,
        "ackDeadlineSeconds": ACK_DEADLINE_S,
        "messageRetentionDuration": f"{retention_days * DAY_S}s",
        "retainAckedMessages": False,
        "expirationPolicy": {},  # without a ttl: never
        "enableExactlyOnceDelivery": False,  # Dataflow does that itself
        "enableMessageOrdering": False,
        "deadLetterPolicy": {},
        "retryPolicy": {},  # at once: Dataflow knows no other
    }


def buckets(environment: Environment) -> list[Resource]:
    """The environment's bucket, and image buckets that are named as its own: BUCKET-something."""
    own = [bucket for bucket in environment.image_buckets if is_own(environment, bucket)]
    rules = [
        {
            "action": {"type": "Delete"},
            "condition": {"age": environment.payload_days, "matchesPrefix": list(EXPIRING)},
        },
        {
            "action": {"type": "Delete"},
            "condition": {"age": TEMP_DAYS, "matchesPrefix": ["temp/"]},
        },
    ]
    return [
        Resource(Kind.BUCKET, environment.bucket, _bucket(environment, {"rule": rules})),
        *(Resource(Kind.BUCKET, bucket, _bucket(environment, {})) for bucket in own),
    ]


def is_own(environment: Environment, bucket: str) -> bool:
    return bucket.startswith(f"{environment.bucket}-")


def _bucket(environment: Environment, lifecycle: Fields) -> Fields:
    return {
        "location": environment.region.upper(),
        "storageClass": "STANDARD",
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "enforced",
        },
        "softDeletePolicy": {"retentionDurationSeconds": str(SOFT_DELETE_DAYS * DAY_S)},
        **({"lifecycle": lifecycle} if lifecycle else {}),
        "labels": labels_of(environment),
    }


def repositories(environment: Environment) -> list[Resource]:
    place = f"projects/{environment.project}/locations/{environment.region}"
    fields = {
        "format": "DOCKER",
        "description": f"Testudo {environment.name}: the image of launcher and workers",
        "labels": labels_of(environment),
    }
    return [Resource(Kind.REPOSITORY, f"{place}/repositories/{environment.repository}", fields)]
