"""The pipeline behind BigQuery and Cloud Storage that fail, and before what is not there."""

import dataclasses
import gc
import itertools
import json
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from google.cloud import bigquery, storage
from rigs.faults import OF_ROWS, VARIABLES, Fault, FaultPlan
from rigs.faulty_appends import faulty_environment
from waiting import eventually, exit_code

from beam_pipeline.tables import table_schema
from models.failures import Reason
from models.objects import OBJECTS
from models.release import Pointer, copy_releases, write_pointer
from testudo.commands.engines import BigQueryEngine
from testudo.commands.publish import upload
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, Environment
from testudo.local.jobs import LocalJob, local_flags
from testudo.local.resources import (
    create_buckets,
    create_dataset,
    create_topic_and_subscription,
)
from testudo.local.stack import LocalStack
from testudo.messages import sample_messages

# Google's clients leave connections of answers that they stream to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

NAME = "faulty"  # of the dataset, bucket, topic and subscription of this module's own
IMAGES = "faulty-images"
PLACE = dataclasses.replace(
    LOCAL, topic=NAME, subscription=NAME, dataset=NAME, bucket=NAME, image_buckets=(IMAGES,)
)
SAMPLES = 300
SHARES = {
    Fault.ANSWER_429: 0.04,
    Fault.ANSWER_500: 0.04,
    Fault.ANSWER_503: 0.04,
    Fault.CLOSE_BEFORE: 0.04,
    Fault.CLOSE_AFTER: 0.04,
    Fault.DELAY: 0.04,
    Fault.NO_ANSWER: 0.01,
    Fault.REJECT_ONE: 0.04,
    Fault.REJECT_ALL: 0.02,
}


class Run(NamedTuple):
    """A pipeline behind the proxy, and what it works on."""

    process: subprocess.Popen[bytes]
    plan: FaultPlan
    place: Environment
    engine: BigQueryEngine
    storage: storage.Client
    log: Path

    def publish(self, count: int, seed: int, broken_share: float) -> list[str]:
        """Publish samples; returns their item ids."""
        samples = list(sample_messages(count, seed=seed, bucket=IMAGES, broken_share=broken_share))
        upload(self.place, samples)
        outgoing = [Outgoing(one.data, dict(one.attributes)) for one in samples]
        publish(self.place.topic_path, outgoing, rate=30)
        return [one.item_id for one in samples]

    def wait_for(self, ids: list[str]) -> None:
        """Until each item has an outcome; fails at once when the pipeline has ended."""

        def missing() -> set[str]:
            assert self.process.poll() is None, self.log.read_text()[-2_000:]
            return set(ids) - set(self.outcomes())

        eventually(missing, lambda found: not found)

    def rejected(self) -> list[dict[str, str]]:
        """The rows that ended on Cloud Storage."""
        blobs = self.storage.list_blobs(NAME, prefix="dead-letters/rejected-rows/")
        return [
            json.loads(line) for blob in blobs for line in blob.download_as_bytes().splitlines()
        ]

    def outcomes(self) -> Counter[str]:
        """How often each item has an outcome; a row that was sent again may be stored twice."""
        sql = """SELECT item_id FROM `{dataset}.latest_predictions` UNION ALL
        SELECT item_id FROM (SELECT DISTINCT item_id, message_id FROM `{dataset}.dead_letters`)"""
        rejected = [row["item_id"] for row in self.rejected()]
        return Counter([*(row[0] for row in self.engine.ask(sql).rows), *rejected])


def flags(endpoint: str) -> list[str]:
    return local_flags(PLACE, endpoint)


def prepare(project: str, trained: Path, scratch: Path) -> Environment:
    create_topic_and_subscription(project, NAME, NAME)
    create_dataset(project, NAME)
    create_buckets(project, (NAME, IMAGES))
    releases = scratch / "releases"
    shutil.copytree(trained, releases)
    first = next(one.name for one in releases.iterdir() if one.name.startswith("first-"))
    write_pointer(str(releases), Pointer(default=first))
    copy_releases(str(releases), f"gs://{NAME}/releases")
    OBJECTS.close()
    return PLACE


@pytest.fixture(scope="module")
def run(
    stack: LocalStack, engine_endpoint: str, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    scratch = tmp_path_factory.mktemp("faulty")
    place = prepare(stack.project, trained, scratch)
    plan = FaultPlan(SHARES, seed=5, delay_s=1, silence_s=5)
    log = stack.home / "logs" / "faulty.log"
    with (
        faulty_environment(stack.environment, plan) as environment,
        storage.Client(project=stack.project) as client,
        bigquery.Client(project=stack.project) as queries,
    ):
        engine = BigQueryEngine(queries, NAME)
        job = LocalJob(flags(engine_endpoint), log, variables=environment)
        yield Run(job.process, plan, place, engine, client, log)
        job.kill()
    gc.collect()  # here, where the warning is expected


def test_every_item_has_one_outcome_whatever_fails(run: Run) -> None:
    """Under all faults each item is one prediction, one dead letter or one rejected row."""
    wanted = [
        (service, fault)
        for service in VARIABLES
        for fault in Fault
        if service == "bigquery" or fault not in OF_ROWS
    ]
    for service, fault in wanted:
        run.plan.once(service, fault)
    ids = run.publish(SAMPLES, seed=21, broken_share=0.1)
    seeds = itertools.count(100)

    def met() -> set[tuple[str, Fault]]:
        """Rows that come together, as on a slow machine, make fewer requests: then of some more."""
        run.wait_for(ids)
        if set(wanted) - run.plan.counts.keys():
            ids.extend(run.publish(30, seed=next(seeds), broken_share=0))
        return set(run.plan.counts)

    assert eventually(met, lambda found: found == set(wanted))
    run.wait_for(ids)
    assert run.outcomes() == dict.fromkeys(ids, 1)
    assert {row["reason"] for row in run.rejected()} == {Reason.ROW_REJECTED}


def test_a_rejected_row_is_kept_and_its_neighbours_are_taken(run: Run) -> None:
    """Exactly the item whose row the table refuses is a rejected row, with the row in it."""
    run.plan.change({})
    before = {row["item_id"] for row in run.rejected()}
    run.plan.once("bigquery", Fault.REJECT_ONE)
    ids = run.publish(30, seed=22, broken_share=0)
    run.wait_for(ids)
    kept = {row["item_id"]: row["row"] for row in run.rejected() if row["item_id"] not in before}
    refused = run.plan.rejected[-1]
    assert kept.keys() == {refused["item_id"]}
    assert kept[refused["item_id"]]["message_id"] == refused["message_id"]


def test_a_run_with_flags_of_its_own_drains(run: Run) -> None:
    """Ctrl-C finishes what is in flight, as it does without flags."""
    run.process.send_signal(signal.SIGINT)
    assert exit_code(run.process) == 0
    assert "Finishing what is in flight" in run.log.read_text()


def test_a_start_without_what_it_needs_is_refused(
    stack: LocalStack, engine_endpoint: str, tmp_path: Path
) -> None:
    """Everything that is missing or wrong at once, each by its flag, before the job starts."""
    project = stack.project
    create_buckets(project, ("empty",))
    client = bigquery.Client(project=project)
    client.create_dataset("narrow", exists_ok=True)
    columns = [
        bigquery.SchemaField("item_id", "INTEGER"),
        *(one for one in table_schema("predictions") if one.name not in ("item_id", "scores")),
    ]
    client.create_table(bigquery.Table(f"{project}.narrow.predictions", columns), exists_ok=True)
    client.close()
    missing = [
        f"--input_subscription=projects/{project}/subscriptions/no-such",
        f"--predictions_table={project}:narrow.predictions",
        f"--dead_letters_table={project}:no_such.dead_letters",
        "--output=gs://no-such-bucket/testudo",
        "--releases=gs://empty/releases",
        "--image_buckets=empty,no-images",
    ]
    job = LocalJob([*local_flags(LOCAL, engine_endpoint), *missing], tmp_path / "log")
    code = job.process.wait()
    told = job.said().partition("testudo run: ")[2].splitlines()
    for line, start in zip(
        told,
        [
            f"--input_subscription: there is no subscription {missing[0].partition('=')[2]}; ",
            "--output: there is no bucket no-such-bucket; create it with `gcloud ",
            "--releases: cannot read gs://empty/releases/current.json: ",
            f"--predictions_table: {project}:narrow.predictions has column item_id as INTEGER",
            f"--predictions_table: {project}:narrow.predictions has no column scores",
            f"--dead_letters_table: there is no table {project}:no_such.dead_letters; ",
            "--image_buckets: there is no bucket no-images; ",
        ],
        strict=True,
    ):
        assert line.startswith(start)
    assert code == 2
