"""Who may do what: the least roles of worker and launcher, each on the narrowest resource.

docs/reference.md says why each is needed; a test compares.
"""

from typing import NamedTuple

from testudo.environment import Environment
from testudo.provisioning.resources import Kind, Resource

# Filled in when the project is asked for its number.
PUBSUB_AGENT = "serviceAccount:service-{project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
OUTCOMES = ("predictions", "dead_letters")


class Grant(NamedTuple):
    role: str
    member: str
    target: Kind | None  # of what; None: of the project
    on: str  # its name


def grants(environment: Environment) -> list[Resource]:
    """Roles as resources; a role's name says all of it, so there is nothing to change in one."""
    return [
        Resource(
            Kind.GRANT,
            f"{grant.role} of {grant.member} on {grant.on}",
            {
                "role": grant.role,
                "member": grant.member,
                "kind": grant.target.value if grant.target else "project",
                "on": grant.on,
            },
            _needs(environment, grant),
        )
        for grant in (
            *_of_worker(environment),
            *_of_overflow(environment),
            *_of_launcher(environment),
            *_of_pubsub(environment),
        )
    ]


def _of_worker(environment: Environment) -> list[Grant]:
    worker = f"serviceAccount:{environment.worker_email}"
    project = f"projects/{environment.project}"
    subscription = environment.subscription_path
    return [
        Grant("roles/dataflow.worker", worker, None, project),
        Grant("roles/dataflow.viewer", worker, None, project),
        Grant("roles/pubsub.subscriber", worker, Kind.SUBSCRIPTION, subscription),
        Grant("roles/pubsub.viewer", worker, Kind.SUBSCRIPTION, subscription),
        *(
            Grant("roles/bigquery.dataEditor", worker, Kind.TABLE, table)
            for table in _outcome_tables(environment)
        ),
        Grant("roles/storage.objectUser", worker, Kind.BUCKET, environment.bucket),
        *(
            Grant("roles/storage.objectViewer", worker, Kind.BUCKET, bucket)
            for bucket in environment.image_buckets
        ),
        Grant("roles/artifactregistry.reader", worker, Kind.REPOSITORY, _repository(environment)),
    ]


def _of_overflow(environment: Environment) -> list[Grant]:
    """What the worker needs to send messages to the overflow topic, and to read them there."""
    topic, worker = environment.overflow_topic_path, f"serviceAccount:{environment.worker_email}"
    if not topic:
        return []
    subscription = environment.overflow_subscription_path
    return [
        Grant("roles/pubsub.publisher", worker, Kind.TOPIC, topic),
        Grant("roles/pubsub.viewer", worker, Kind.TOPIC, topic),
        Grant("roles/pubsub.subscriber", worker, Kind.SUBSCRIPTION, subscription),
        Grant("roles/pubsub.viewer", worker, Kind.SUBSCRIPTION, subscription),
    ]


def _of_launcher(environment: Environment) -> list[Grant]:
    launcher = f"serviceAccount:{environment.launcher_email}"
    project = f"projects/{environment.project}"
    on_project = (
        "dataflow.developer",
        "compute.viewer",
        "logging.viewer",
        "logging.logWriter",
        "monitoring.viewer",
        "bigquery.jobUser",
    )
    return [
        *(Grant(f"roles/{role}", launcher, None, project) for role in on_project),
        Grant(
            "roles/iam.serviceAccountUser",
            launcher,
            Kind.ACCOUNT,
            f"{project}/serviceAccounts/{environment.worker_email}",
        ),
        Grant("roles/storage.objectUser", launcher, Kind.BUCKET, environment.bucket),
        *(
            Grant("roles/storage.objectViewer", launcher, Kind.BUCKET, bucket)
            for bucket in environment.image_buckets
        ),
        *(
            Grant("roles/bigquery.dataViewer", launcher, Kind.TABLE, table)
            for table in _outcome_tables(environment)
        ),
        Grant("roles/pubsub.viewer", launcher, Kind.SUBSCRIPTION, environment.subscription_path),
        Grant("roles/pubsub.publisher", launcher, Kind.TOPIC, environment.topic_path),
        Grant("roles/artifactregistry.writer", launcher, Kind.REPOSITORY, _repository(environment)),
    ]


def _of_pubsub(environment: Environment) -> list[Grant]:
    """What Pub/Sub itself needs to move a message to the dead-letter topic."""
    if not environment.delivery_attempts:
        return []
    dead_topic = f"{environment.topic_path}-dead-letters"
    return [
        Grant("roles/pubsub.publisher", PUBSUB_AGENT, Kind.TOPIC, dead_topic),
        Grant(
            "roles/pubsub.subscriber",
            PUBSUB_AGENT,
            Kind.SUBSCRIPTION,
            environment.subscription_path,
        ),
    ]


def _outcome_tables(environment: Environment) -> list[str]:
    dataset = f"projects/{environment.project}/datasets/{environment.dataset}"
    return [f"{dataset}/tables/{table}" for table in OUTCOMES]


def _repository(environment: Environment) -> str:
    place = f"projects/{environment.project}/locations/{environment.region}"
    return f"{place}/repositories/{environment.repository}"


def _needs(environment: Environment, grant: Grant) -> tuple[str, ...]:
    """The account and the resource; of a bucket of others, only the account."""
    accounts = f"projects/{environment.project}/serviceAccounts"
    email = grant.member.removeprefix("serviceAccount:")
    account = () if grant.member == PUBSUB_AGENT else (f"{accounts}/{email}",)
    return (*account, grant.on)
