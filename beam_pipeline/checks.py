"""Start checks: what the flags name is there, and is what the job needs.

Looked at with the real clients before the job starts, all at the same time, so
that a table that is missing is told at once and with everything else that is.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery, pubsub_v1, storage
from google.cloud.bigquery.retry import DEFAULT_RETRY as BIGQUERY_RETRY
from google.cloud.storage.retry import DEFAULT_RETRY as STORAGE_RETRY

from beam_pipeline.config import Config, ConfigError
from beam_pipeline.tables import TABLES, table_schema
from models.manifest import ReleaseError
from models.objects import split_uri
from models.release import read_manifest, read_pointer

REQUEST_TIMEOUT_S = 10.0
RETRY_FOR_S = 30.0
PAUSE_S = {"initial": 0.5, "maximum": 4.0}  # several tries fit into the time, whatever chance does
ANSWER_CHARS = 300
DELETED_TOPIC = "_deleted-topic_"
# What a type is called in a schema file, and what BigQuery's SQL calls the same.
TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

# Of a worker process, for each release like the sample's that it keeps loaded.
RELEASE_MB = 60
MANY_RELEASES = 10
MANY_WARNING = (
    "current.json names %d releases, and a worker process keeps all of them loaded, in some %d MB: "
    "where that is too much, they make room for each other, and items wait while one is loaded"
)

LOG = logging.getLogger(__name__)
Problems = list[str]


def check(config: Config, *, retry_for_s: float = RETRY_FOR_S) -> None:
    """Raises ConfigError with all that is missing or wrong, each by its flag.

    Ends within `retry_for_s` and a request's time, whether services answer or not.
    """
    looks: list[Callable[[], Problems]] = [
        partial(_subscription, config.input_subscription, config.overflow_topic, retry_for_s),
        partial(bucket_problems, "output", config.output, "roles/storage.objectUser", retry_for_s),
        partial(release_problems, config.releases, retry_for_s),
    ]
    looks += [
        partial(_table, f"{name}_table", getattr(config, f"{name}_table"), name, retry_for_s)
        for name in ("predictions", "dead_letters")
    ]
    looks += [
        partial(bucket_problems, "image_buckets", one, "roles/storage.objectViewer", retry_for_s)
        for one in sorted(config.image_access.buckets)
    ]
    if config.overflow_topic:
        looks.append(partial(_topic, config.overflow_topic, retry_for_s))
    with ThreadPoolExecutor(len(looks), "check") as threads:
        found = list(threads.map(lambda look: look(), looks))
    if problems := [problem for each in found for problem in each]:
        raise ConfigError(problems)


def schema_problems(
    wanted: Iterable[bigquery.SchemaField], found: Sequence[bigquery.SchemaField], above: str = ""
) -> Problems:
    """Why a table with the columns `found` does not take rows of the columns `wanted`."""
    problems, others = [], {field.name.lower(): field for field in found}
    for field in wanted:
        name, other = f"{above}{field.name}", others.pop(field.name.lower(), None)
        if other is None:
            problems.append(f"has no column {name}")
        elif _type(other) != _type(field):
            problems.append(f"has column {name} as {_type(other)}, must be {_type(field)}")
        elif (other.mode == "REPEATED") != (field.mode == "REPEATED") or (
            other.mode == "REQUIRED" and field.mode != "REQUIRED"
        ):
            problems.append(f"has column {name} as {other.mode}, must be {field.mode}")
        else:
            problems += schema_problems(field.fields, other.fields, f"{name}.")
    return problems + [
        f"has column {above}{other.name} as REQUIRED, which no row has"
        for other in others.values()
        if other.mode == "REQUIRED"
    ]


def _type(field: bigquery.SchemaField) -> str:
    return TYPES.get(field.field_type, str(field.field_type))


def _subscription(path: str, overflow_topic: str, retry_for_s: float) -> Problems:
    def ask() -> Problems:
        with pubsub_v1.SubscriberClient() as client:
            found = client.get_subscription(
                subscription=path,
                timeout=REQUEST_TIMEOUT_S,
                retry=Retry(timeout=retry_for_s, **PAUSE_S),
            )
        if found.topic == DELETED_TOPIC:
            return [f"--input_subscription: the topic of {path} was deleted"]
        if found.topic == overflow_topic:
            return [f"--overflow_topic: {path} would get back what is sent there; name another"]
        return []

    # Whoever may read from a subscription may not always look at it.
    create = f"`gcloud pubsub subscriptions create {path} --topic=TOPIC`"
    return _looked("input_subscription", f"subscription {path}", ask, create, role="")


def _topic(path: str, retry_for_s: float) -> Problems:
    def ask() -> Problems:
        with pubsub_v1.PublisherClient() as client:
            client.get_topic(
                topic=path, timeout=REQUEST_TIMEOUT_S, retry=Retry(timeout=retry_for_s, **PAUSE_S)
            )
        return []

    # Whoever may publish to a topic may not always look at it.
    create = f"`gcloud pubsub topics create {path}`, and a subscription to it"
    return _looked("overflow_topic", f"topic {path}", ask, create, role="")


def _table(flag: str, path: str, kind: str, retry_for_s: float) -> Problems:
    project, name = path.replace(":", ".", 1).split(".", 1)

    def ask() -> Problems:
        with bigquery.Client(project=project) as client:
            table = client.get_table(
                f"{project}.{name}",
                timeout=REQUEST_TIMEOUT_S,
                retry=BIGQUERY_RETRY.with_timeout(retry_for_s).with_delay(**PAUSE_S),
            )
        wrong = schema_problems(table_schema(kind), table.schema)
        return [f"--{flag}: {path} {one}" for one in wrong]

    create = (
        f"`bq mk --table --schema=templates/bigquery/{kind}.json "
        f"--time_partitioning_field={TABLES[kind]} "
        f"--clustering_fields=tenant_id,item_id {project}:{name}`"
    )
    return _looked(flag, f"table {path}", ask, create, role="roles/bigquery.dataEditor")


def bucket_problems(flag: str, uri: str, role: str, retry_for_s: float) -> Problems:
    bucket, prefix = split_uri(uri)

    def ask() -> Problems:
        with storage.Client(project=None) as client:
            any(
                client.list_blobs(
                    bucket,
                    prefix=prefix,
                    max_results=1,
                    timeout=REQUEST_TIMEOUT_S,
                    retry=STORAGE_RETRY.with_timeout(retry_for_s).with_delay(**PAUSE_S),
                )
            )
        return []

    create = f"`gcloud storage buckets create gs://{bucket}`"
    return _looked(flag, f"bucket {bucket}", ask, create, role)


def release_problems(root: str, retry_for_s: float) -> Problems:
    problems = []
    try:
        releases = sorted(read_pointer(root, retry_for_s=retry_for_s).releases)
        if len(releases) > MANY_RELEASES:
            LOG.warning(MANY_WARNING, len(releases), len(releases) * RELEASE_MB)
        for release in releases:
            try:
                read_manifest(root, release, retry_for_s=retry_for_s)
            except ReleaseError as error:
                problems.append(f"--releases: {error}"[:ANSWER_CHARS])
    except ReleaseError as error:
        return [f"--releases: {error}"[:ANSWER_CHARS]]
    return problems


def _looked(flag: str, what: str, ask: Callable[[], Problems], create: str, role: str) -> Problems:
    """What `ask` finds; without a `role`, not to be allowed to look is no problem."""
    try:
        return ask()
    except NotFound:
        return [f"--{flag}: there is no {what}; create it with {create}"]
    except (Forbidden, Unauthorized):
        return [f"--{flag}: {what} must not be looked at; give this account {role}"] * bool(role)
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        return [f"--{flag}: {what}: {type(error).__name__}: {error}"[:ANSWER_CHARS]]
