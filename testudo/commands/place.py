"""Which Pub/Sub, BigQuery and Cloud Storage a command means: the local stack's or a project's."""

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from beam_pipeline.tables import TABLES, clustering_of, fill, statements, table_schema
from models.release import copy_releases
from testudo.commands.stand_ins import refuse_stand_ins
from testudo.errors import CommandError
from testudo.local.detached import StackState, read_state
from testudo.local.health import check_and_watch
from testudo.local.resources import (
    Table,
    create_buckets,
    create_tables,
    create_topic_and_subscription,
)
from testudo.local.servers import ASKS, PROJECT
from testudo.local.stack import DEFAULT_HOME
from testudo.proxies import past_proxies

TOPIC = "items"
SUBSCRIPTION = "items-testudo"
OVERFLOW_TOPIC = "items-overflow"
OVERFLOW_SUBSCRIPTION = "items-overflow-testudo"
DATASET = "testudo"
BUCKET = "testudo"
IMAGE_BUCKET = "testudo-images"
RELEASES = "releases"


class Place(NamedTuple):
    """A project and the names of what Testudo uses in it."""

    project: str
    topic: str  # projects/P/topics/T
    dataset: str
    image_bucket: str = ""  # where samples are uploaded; only the local stack has one


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where (without --project: the local stack that runs)")
    group.add_argument("--project", help="Google Cloud project")
    group.add_argument("--topic", default=TOPIC, help="Pub/Sub topic (%(default)s)")
    group.add_argument("--dataset", default=DATASET, help="BigQuery dataset (%(default)s)")
    add_home_argument(group)


def add_home_argument(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--home", type=Path, default=DEFAULT_HOME, help="folder of the local stack (%(default)s)"
    )


def place_from(arguments: argparse.Namespace) -> Place:
    """Raises CommandError when no project is named and no local stack runs.

    Also where a project is named, and stand-ins would answer for it.
    """
    refuse_stand_ins(arguments.project or "", arguments.dataset.rpartition(".")[0])
    if arguments.project:
        topic = f"projects/{arguments.project}/topics/{arguments.topic}"
        return Place(arguments.project, topic, arguments.dataset)
    enter_local_stack(arguments.home)
    refuse_stand_ins(arguments.dataset.rpartition(".")[0])
    return local_place(PROJECT)


def enter_local_stack(home: Path, needed: Collection[str] = tuple(ASKS)) -> StackState:
    """Lead this process to the stack in `home`, with everything made that Testudo uses there.

    Raises CommandError if no stack runs there, or a server that is needed does not answer.
    """
    state = lead_to_stack(home, needed)
    prepare_local_project(PROJECT)
    return state


def lead_to_stack(home: Path, needed: Collection[str]) -> StackState:
    """As `enter_local_stack`, for a stack on which everything is made."""
    state = read_state(home)
    if state is None:
        raise CommandError(
            f"no local stack runs in {home}: start one with `testudo local up`, or name --project"
        )
    check_and_watch(state, needed)
    os.environ.update({**state.environment, **past_proxies(os.environ)})
    return state


def local_place(project: str) -> Place:
    return Place(project, f"projects/{project}/topics/{TOPIC}", DATASET, IMAGE_BUCKET)


def prepare_local_project(project: str) -> None:
    """Create topics, subscriptions, tables, views and buckets, where they do not exist."""
    create_topic_and_subscription(project, TOPIC, SUBSCRIPTION)
    create_topic_and_subscription(project, OVERFLOW_TOPIC, OVERFLOW_SUBSCRIPTION)
    create_buckets(project, (BUCKET, IMAGE_BUCKET))
    create_dataset(project, DATASET)


def create_dataset(project: str, dataset: str) -> None:
    """Create a dataset with all tables and views, where they do not exist."""
    create_tables(
        project,
        dataset,
        {
            name: Table(table_schema(name), partition, clustering_of(name))
            for name, partition in TABLES.items()
        },
        {name: fill(sql, dataset) for name, sql in statements("views").items()},
    )


def bring_releases(releases: Path) -> None:
    """Copy the releases in use to the local stack. Raises ReleaseError if there are none."""
    copy_releases(str(releases), f"gs://{BUCKET}/{RELEASES}")


def local_flags(project: str, job_endpoint: str, *, subscription: str = SUBSCRIPTION) -> list[str]:
    """The flags of `testudo run` that use the local stack from end to end."""
    return [
        f"--input_subscription=projects/{project}/subscriptions/{subscription}",
        f"--predictions_table={project}:{DATASET}.predictions",
        f"--dead_letters_table={project}:{DATASET}.dead_letters",
        f"--output=gs://{BUCKET}",
        f"--releases=gs://{BUCKET}/{RELEASES}",
        f"--image_buckets={IMAGE_BUCKET}",
        f"--project={project}",
        "--runner=testudo.local.workers.LocalRunner",
        f"--job_endpoint={job_endpoint}",
        "--environment_type=LOOPBACK",
        # Beam ends its own wait for the job, and with it the job, after this time: a year.
        "--job_server_timeout=31536000",
        # Prism splits a long bundle of the unbounded source wrongly.
        "--experiments=prism_disable_sdf_split",
    ]
