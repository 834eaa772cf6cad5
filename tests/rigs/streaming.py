"""A stream as it is measured: a job on the local stack, with services as slow as real ones.

The job warms up on a few items. Then the others are published at once, many times faster than
they are scored: the job reads a backlog. Counted is the CPU time of the job's process, of its
models' processes and of Prism's, from then until every item has its row, and meanwhile every
request that writes. The other servers' CPU time is not counted, but
they share the machine's cores.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from loadtest.processes import ONE_THREAD, MeasuringError, last_lines
from rigs.batches import Batches
from rigs.costs import Cost, Wanted, largest_memory_bytes, used_cpu_s
from rigs.null_graph import SEEN_FILE, FileSightings
from rigs.slow_services import Sightings, SlowServices
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL
from testudo.local.jobs import LocalJob
from testudo.local.stack import LocalStack
from testudo.messages import message_attributes

DEADLINE_S = 120.0
POLL_S = 0.1
END_ALLOWED_S = 120.0
TESTUDO, NULL, IDIOMATIC = "testudo", "null", "idiomatic"
JOB = (sys.executable, "-m", "rigs.bench_job")


def outgoing(lines: Iterable[bytes]) -> Iterator[Outgoing]:
    for line in lines:
        fields = json.loads(line)
        ids = fields["tenant_id"], fields["item_id"]
        yield Outgoing(line, message_attributes(*ids, line))


@contextmanager
def running_job(
    stack: LocalStack, way: str, flags: Sequence[str], variables: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """A job in a process of its own, ended at the end. Raises MeasuringError."""
    own = [f"--home={stack.home}", *flags]
    log = stack.home / "logs" / "job.log"
    job = LocalJob(own, log, variables={**ONE_THREAD, **variables}, command=(*JOB, way))
    try:
        yield psutil.Process(job.process.pid)
    except MeasuringError as failed:
        raise MeasuringError(f"{failed}; its log:\n{last_lines(log.read_text())}") from failed
    finally:
        if way != TESTUDO:
            job.kill()  # nothing of it is wanted any more
        job.stop(END_ALLOWED_S)


def engine_of(job: psutil.Process) -> psutil.Process:
    """The Prism that the job runs on: below its guard, which is below the job."""
    return next(one for one in job.children(recursive=True) if one.name() == "prism")


def cost_of_streaming(stack: LocalStack, wanted: Wanted, way: str, bundles: str) -> Cost:
    """What `wanted.items` items cost a job that is warm. Raises MeasuringError."""
    with wanted.messages.open("rb") as file:
        messages = list(outgoing(itertools.islice(file, wanted.few + wanted.items)))
    services = SlowServices()
    batches, seen = _notes(stack.home, way, services)
    flags = [f"--local_releases={wanted.releases}", f"--bundles={bundles}"]
    variables = {**batches.variables, SEEN_FILE: str(stack.home / "seen")}
    with services.before(stack.environment) as environment:
        stack.redirect(environment)
        with running_job(stack, way, flags, variables) as job:
            publish(LOCAL.topic_path, messages[: wanted.few])
            wait_for(seen, wanted.few, job)
            engine = engine_of(job)
            batches.mark()
            before = used_cpu_s(job), used_cpu_s(engine)
            written = services.objects.writes, services.appends.writes
            began_s = time.monotonic()
            publish(LOCAL.topic_path, messages[wanted.few :])
            wall_s = wait_for(seen, len(messages), job) - began_s
            spent = used_cpu_s(job) - before[0], used_cpu_s(engine) - before[1]
            return Cost(
                wanted.items,
                spent[0],
                wall_s,
                largest_memory_bytes(job),
                engine_cpu_s=spent[1],
                batches=batches.means(),
                objects=services.objects.writes - written[0],
                appends=services.appends.writes - written[1],
            )


def _notes(home: Path, way: str, services: SlowServices) -> tuple[Batches, Sightings]:
    """Where batches are counted, and where it is seen which items are done."""
    noted = FileSightings(home / "seen")
    return Batches(home / "batches"), noted if way == NULL else services.appends


def wait_for(seen: Sightings, items: int, job: psutil.Process) -> float:
    """Wait until so many items are done; returns when the last was. Raises MeasuringError."""
    deadline = time.monotonic() + DEADLINE_S
    while len(found := seen.seen_s()) < items:
        if not job.is_running() or job.status() == psutil.STATUS_ZOMBIE:
            raise MeasuringError("the job ended by itself")
        if time.monotonic() > deadline:
            raise MeasuringError(f"{len(found)} of {items} items after {DEADLINE_S:.0f} s")
        time.sleep(POLL_S)
    return max(found.values())
