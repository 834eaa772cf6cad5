"""Streaming mode as it is measured: `testudo run` on a local stack of its own.

All items go through the job once as they are published: then it is warm. Then
the subscription is turned back (Pub/Sub's seek), and all of them wait in it at
once: the job reads a backlog, and no publisher competes with it. Counted is the
CPU time of the job's process, of its models' processes and of Prism's, from then
until the rows of all items are in BigQuery. The other servers'
CPU time is not counted, but they share the machine's cores.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

import psutil
from google.cloud import bigquery, pubsub_v1

from beam_pipeline.tables import fill
from loadtest.processes import ONE_THREAD, MeasuringError, last_lines
from rigs.costs import Cost, Wanted, largest_memory_bytes, used_cpu_s
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, Environment
from testudo.local.jobs import LocalJob
from testudo.local.stack import LocalStack
from testudo.messages import message_attributes

DEADLINE_S = 300.0
LOOK_EVERY_S = 0.25
END_ALLOWED_S = 120.0

ARRIVED = """
SELECT COUNT(DISTINCT message_id), MIN(processed_at), MAX(processed_at)
FROM `{dataset}.predictions` WHERE received_at >= @since
"""


@dataclasses.dataclass
class Stored:
    """What is stored of the items that the job received since a moment."""

    place: Environment
    moment: datetime
    tables: bigquery.Client

    @classmethod
    def since(cls, place: Environment) -> Self:
        """From now on."""
        return cls(place, datetime.now(UTC), bigquery.Client(project=place.project))

    def rows(self) -> tuple[int, float]:
        """How many distinct messages have a row, and the seconds from first to last of them."""
        parameter = bigquery.ScalarQueryParameter("since", "TIMESTAMP", self.moment)
        config = bigquery.QueryJobConfig(query_parameters=[parameter])
        sql = fill(ARRIVED, self.place.dataset)
        ((count, first, last),) = self.tables.query_and_wait(sql, job_config=config)
        return count, (last - first).total_seconds() if count else 0.0


def outgoing(lines: Iterable[bytes]) -> Iterator[Outgoing]:
    for line in lines:
        fields = json.loads(line)
        ids = fields["tenant_id"], fields["item_id"]
        yield Outgoing(line, message_attributes(*ids, line))


@contextmanager
def running_job(stack: LocalStack, releases: str) -> Iterator[psutil.Process]:
    """`testudo run` in a process of its own, ended at the end. Raises MeasuringError."""
    flags = [f"--home={stack.home}", f"--local_releases={releases}"]
    log = stack.home / "logs" / "job.log"
    job = LocalJob(flags, log, variables=ONE_THREAD)
    try:
        yield psutil.Process(job.process.pid)
    except MeasuringError as failed:
        raise MeasuringError(f"{failed}; its log:\n{last_lines(log.read_text())}") from failed
    finally:
        job.stop(END_ALLOWED_S)


def engine_of(job: psutil.Process) -> psutil.Process:
    """The Prism that the job runs on: below its guard, which is below the job."""
    return next(one for one in job.children(recursive=True) if one.name() == "prism")


def cost_of_streaming(stack: LocalStack, wanted: Wanted) -> Cost:
    """What `wanted.items` items cost a warm job. Raises MeasuringError."""
    with wanted.messages.open("rb") as file:
        messages = list(outgoing(itertools.islice(file, wanted.items)))
    place = LOCAL
    with running_job(stack, wanted.releases) as job:
        first, published = Stored.since(place), datetime.now(UTC)
        publish(place.topic_path, messages)
        wait_for(first, wanted.items, job)
        second = Stored.since(place)
        engine = engine_of(job)
        before = used_cpu_s(job), used_cpu_s(engine)
        turn_back(stack.project, published)
        wall_s = wait_for(second, wanted.items, job)
        spent = used_cpu_s(job) - before[0], used_cpu_s(engine) - before[1]
        peak_bytes = largest_memory_bytes(job)
    return Cost(wanted.items, spent[0], wall_s, peak_bytes, engine_cpu_s=spent[1])


def turn_back(project: str, moment: datetime) -> None:
    """Have Pub/Sub deliver again what was published since a moment."""
    with pubsub_v1.SubscriberClient() as subscriber:
        path = subscriber.subscription_path(project, LOCAL.subscription)
        subscriber.seek(request={"subscription": path, "time": moment})


def wait_for(stored: Stored, items: int, job: psutil.Process) -> float:
    """Wait until there are so many rows.

    Returns the seconds from the first row to the last. Raises MeasuringError.
    """
    deadline = time.monotonic() + DEADLINE_S
    while True:
        if not job.is_running() or job.status() == psutil.STATUS_ZOMBIE:
            raise MeasuringError("the job ended by itself")
        count, seconds = stored.rows()
        if count >= items:
            return seconds
        if time.monotonic() > deadline:
            raise MeasuringError(f"{count} of {items} items after {DEADLINE_S:.0f} s")
        time.sleep(LOOK_EVERY_S)
