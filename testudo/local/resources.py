"""Create what a pipeline reads and writes on a running stack: safe to repeat.

Google's own clients do the work and find the stack through the environment
(`LocalStack.environment`); on an environment without it they would reach the
cloud, where `testudo provision` is the tool.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.api_core.exceptions import AlreadyExists, Conflict, NotFound
from google.cloud import bigquery, pubsub_v1, storage
from google.protobuf import duration_pb2

from beam_pipeline.tables import TABLES, clustering_of, fill, statements, table_schema
from testudo.environment import LOCAL, LOCAL_OVERFLOW

RETENTION_S = 7 * 24 * 3600
ACK_DEADLINE_S = 30


class Table(NamedTuple):
    """How one table is laid out: fields, day partition and clustering."""

    fields: list[bigquery.SchemaField]
    partition_field: str
    clustering_fields: list[str]


def prepare_stack() -> None:
    """Create what the environment LOCAL names, where it does not exist."""
    for environment in (LOCAL, LOCAL_OVERFLOW):
        create_topic_and_subscription(
            environment.project, environment.topic, environment.subscription
        )
    create_buckets(LOCAL.project, (LOCAL.bucket, *LOCAL.image_buckets))
    create_dataset(LOCAL.project, LOCAL.dataset)


def create_dataset(project: str, dataset: str) -> None:
    """Create a dataset with all tables and views of Testudo, where they do not exist."""
    create_tables(
        project,
        dataset,
        {
            name: Table(table_schema(name), partition, clustering_of(name))
            for name, partition in TABLES.items()
        },
        {name: fill(sql, dataset) for name, sql in statements("views").items()},
    )


def create_topic_and_subscription(project: str, topic: str, subscription: str) -> tuple[str, str]:
    """Create a topic and a subscription to it; returns both full paths.

    The subscription keeps messages for seven days, acked ones too, so that a
    `seek` to an earlier time brings back what an engine lost.
    """
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic_path = publisher.topic_path(project, topic)
    subscription_path = subscriber.subscription_path(project, subscription)
    with subscriber:
        try:
            publisher.create_topic(name=topic_path)
        except AlreadyExists:
            pass
        try:
            subscriber.create_subscription(
                request={
                    "name": subscription_path,
                    "topic": topic_path,
                    "ack_deadline_seconds": ACK_DEADLINE_S,
                    "retain_acked_messages": True,
                    "message_retention_duration": duration_pb2.Duration(seconds=RETENTION_S),
                }
            )
        except AlreadyExists:
            pass
    publisher.stop()
    return topic_path, subscription_path


def create_buckets(project: str, names: Iterable[str]) -> None:
    """Create buckets; those that exist are left as they are."""
    with storage.Client(project=project) as client:
        for name in names:
            try:
                client.create_bucket(name)
            except Conflict:
                pass


def create_tables(
    project: str, dataset: str, tables: Mapping[str, Table], views: Mapping[str, str]
) -> None:
    """Create a dataset, its tables and its views (name to SQL).

    A table that exists keeps its layout; a view is brought to the SQL given.
    """
    client = bigquery.Client(project=project)
    client.create_dataset(f"{project}.{dataset}", exists_ok=True)
    for name, layout in tables.items():
        table = bigquery.Table(f"{project}.{dataset}.{name}", schema=layout.fields)
        table.time_partitioning = bigquery.TimePartitioning(field=layout.partition_field)
        table.clustering_fields = layout.clustering_fields
        client.create_table(table, exists_ok=True)
    for name, sql in views.items():
        _create_view(client, f"{project}.{dataset}.{name}", sql)
    client.close()


def _create_view(client: bigquery.Client, name: str, sql: str) -> None:
    """A view that says what it should stays: others may be reading it now."""
    try:
        if client.get_table(name).view_query == sql:
            return
        client.delete_table(name)
    except NotFound:
        pass
    view = bigquery.Table(name)
    view.view_query = sql
    client.create_table(view, exists_ok=True)
