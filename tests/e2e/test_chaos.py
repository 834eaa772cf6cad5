"""Kills, faults, copies and hostile items at once, for a short while; and slowness for itself."""

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from conftest import Releases
from google.cloud import bigquery
from rigs.__main__ import main
from rigs.faults import Fault, FaultPlan
from rigs.faulty_appends import faulty_environment
from rigs.job import Job, Victim
from waiting import eventually

from loadtest.processes import MODELS
from loadtest.stack import own_stack
from testudo.commands.engines import BigQueryEngine
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER
from testudo.messages import sample_messages

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
ITEMS = 1_500  # more than a worker holds, so that the rest must wait in Pub/Sub
SLOW_ITEMS = 150  # are waited for before it is as fast as ever
# docs/inside.md allows more; these pictures are small.
MOST_MEMORY_BYTES = 2_300_000_000  # what forks share is counted in each

# Google's clients leave connections of answers that they stream to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def home(tmp_path: Path, stack: LocalStack) -> Path:
    """A home with the tools that the stack of the session has installed."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "tools").symlink_to(TOOLS)
    return folder


def test_chaos_loses_nothing(releases: Releases, home: Path, tmp_path: Path) -> None:
    """The command itself, for less than a minute: it exits with 0 only if nothing is lost."""
    saved = tmp_path / "report.json"
    flags = {
        "minutes": 0.8,
        "rate": 8,
        "seed": 3,
        "kill_every_s": 14,
        "rest_s": 900,  # of which it takes what it needs
        "releases": releases.root,
        "home": home,
        "output": saved,
    }
    assert main(["chaos", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    report = json.loads(saved.read_text())
    assert report["lost"] == []
    assert report["published"] == sum(report["outcomes"].values()) == round(0.8 * 60 * 8)
    assert report["latest"] == report["predicted_items"]
    assert not report["kills survived"].startswith("0")
    assert report["unexpected"] == {}


@contextlib.contextmanager
def slow_sink(plan: FaultPlan) -> Iterator[None]:
    """Let BigQuery and Cloud Storage take half a second more for each request."""
    plan.change({Fault.DELAY: 1.0})
    yield
    plan.change({})


@contextlib.contextmanager
def slow_models(job: Job) -> Iterator[None]:
    """Let each model's process work a tenth of the time only."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            held = models_of(job)
            for step, pause_s in ((psutil.Process.suspend, 0.9), (psutil.Process.resume, 0.1)):
                for one in held:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        step(one)
                ended.wait(pause_s)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def models_of(job: Job) -> list[psutil.Process]:
    try:
        return [one for one in job.family() if MODELS in one.cmdline()]
    except psutil.Error:
        return []


class Running(NamedTuple):
    """A pipeline of the test's own, behind a proxy that does nothing yet."""

    job: Job
    plan: FaultPlan
    topic: str
    engine: BigQueryEngine

    def predicted(self) -> list[tuple[str, str]]:
        """Tenant and item of each row of latest_predictions."""
        sql = "SELECT tenant_id, item_id FROM `{dataset}.latest_predictions`"
        return [tuple(row) for row in self.engine.ask(sql).rows]

    def messages(self) -> int:
        """How many messages have a prediction."""
        sql = "SELECT COUNT(DISTINCT message_id) FROM `{dataset}.predictions`"
        return int(self.engine.ask(sql).rows[0][0])

    def wait_for(self, items: int) -> list[tuple[str, str]]:
        return eventually(self.predicted, lambda found: len(found) >= items)


@pytest.fixture
def running(releases: Releases, home: Path) -> Iterator[Running]:
    with own_stack(home, print) as stack, contextlib.ExitStack() as exits:
        place = LOCAL
        engine = BigQueryEngine(bigquery.Client(project=stack.project), place.dataset)
        plan = FaultPlan(delay_s=0.5)
        stack.redirect(exits.enter_context(faulty_environment(stack.environment, plan)))
        flags = [f"--home={stack.home}", f"--local_releases={releases.root}"]
        # What is slow is waited for, here: a call that is cut is another test's.
        flags += ["--decode_timeout_s=300", "--call_timeout_s=300"]
        log = stack.home / "logs" / "pipeline.log"
        job = exits.enter_context(Job(flags, log, lambda runs: None, seed=0))
        yield Running(job, plan, place.topic_path, engine)


@pytest.mark.parametrize("slow", ["sink", "models"])
def test_a_slow_part_slows_the_reading_and_loses_nothing(slow: str, running: Running) -> None:
    """Ten times slower than it is, it holds up Pub/Sub and fills no memory."""
    samples = list(sample_messages(ITEMS, seed=21, broken_share=0))
    outgoing = [Outgoing(one.data, dict(one.attributes)) for one in samples]
    publish(running.topic, outgoing[:1])
    running.wait_for(1)
    with slow_sink(running.plan) if slow == "sink" else slow_models(running.job):
        publish(running.topic, outgoing[1:])
        running.wait_for(SLOW_ITEMS)
    running.wait_for(ITEMS)
    print(f"peak with slow {slow}: {running.job.peak_bytes / 1e6:.0f} MB")
    assert running.job.starts == 1
    assert running.job.peak_bytes < MOST_MEMORY_BYTES
    assert running.job.stop() == 0


def test_every_item_has_one_row_however_often_it_comes(running: Running) -> None:
    """Each of 90 items is published 1 to 5 times, in random order, across two kills."""
    chance = random.Random(22)
    samples = list(sample_messages(90, seed=22, broken_share=0))
    copies = [
        Outgoing(one.data, dict(one.attributes))
        for one in samples
        for _ in range(chance.randint(1, 5))
    ]
    chance.shuffle(copies)
    third = len(copies) // 3
    publish(running.topic, copies[:third])
    running.wait_for(10)
    running.job.kill(Victim.WORKER)
    publish(running.topic, copies[third : 2 * third])
    running.wait_for(40)
    running.job.kill(Victim.EVERYTHING)
    publish(running.topic, copies[2 * third :])
    rows = running.wait_for(len(samples))
    assert sorted(rows) == sorted((one.tenant_id, one.item_id) for one in samples)
    eventually(running.messages, lambda found: found == len(copies))
    assert sorted(running.predicted()) == sorted(rows)
