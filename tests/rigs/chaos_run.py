"""One run of chaos on a stack of its own: publish, break, kill, rest, replay, count, drain."""

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, KeysView
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from google.cloud import bigquery, storage
from rich.console import Console

from beam_pipeline.io.publishing import Publisher
from beam_pipeline.io.threads import Background
from rigs.chaos_report import OF_FAULTS, by_kind, compare, outcomes_of, tell
from rigs.chaos_traffic import Planned, traffic
from rigs.faults import Fault, FaultPlan
from rigs.faulty_appends import faulty_environment
from rigs.job import Job, Victim
from testudo.commands.engines import BigQueryEngine
from testudo.commands.progress import tracked
from testudo.commands.sending import pubsub_message
from testudo.environment import LOCAL
from testudo.errors import CommandError
from testudo.local.stack import LocalStack

# Of the requests to BigQuery and Cloud Storage: four in ten do not go as they should.
SHARES = {
    Fault.ANSWER_429: 0.05,
    Fault.ANSWER_500: 0.04,
    Fault.ANSWER_503: 0.05,
    Fault.CLOSE_BEFORE: 0.04,
    Fault.CLOSE_AFTER: 0.04,
    Fault.DELAY: 0.16,
    Fault.NO_ANSWER: 0.003,
    Fault.REJECT_ONE: 0.01,
    Fault.REJECT_ALL: 0.002,
}
DELAY_S, SILENCE_S = 0.3, 8.0
CALL_TIMEOUT_S = 4.0  # so that a model that hangs is cut soon
LOOK_EVERY_S = 2.0
LOST = "lost"
REPLAYS = "SELECT replay_message_id FROM `{dataset}.replays`"
FLAGS = (f"--call_timeout_s={CALL_TIMEOUT_S}",)


class Chaos:
    """One run on a stack of its own."""

    def __init__(
        self, console: Console, arguments: argparse.Namespace, stack: LocalStack, releases: Path
    ) -> None:
        self._console = console
        self._wanted = arguments
        self._stack = stack
        self._releases = releases
        self._place = LOCAL
        self._tables = BigQueryEngine(bigquery.Client(project=stack.project), self._place.dataset)
        self._objects = storage.Client(project=stack.project)
        self._plan = FaultPlan(seed=arguments.seed, delay_s=DELAY_S, silence_s=SILENCE_S)
        self._published: dict[str, Planned] = {}
        self._ended = threading.Event()
        self._job: Job | None = None

    def left(self) -> list[str]:
        """The pipeline's processes that are still there."""
        left = [] if self._job is None else self._job.left()
        return [str(one) for one in left]

    @property
    def pids(self) -> set[int]:
        """The numbers of all processes that the pipeline has had."""
        return set() if self._job is None else self._job.pids

    def run(self) -> bool:
        """Returns whether nothing was lost, and the end was clean."""
        log = self._stack.home / "logs" / "pipeline.log"
        flags = [f"--home={self._stack.home}", f"--local_releases={self._releases}", *FLAGS]
        with ExitStack() as exits:
            environment = exits.enter_context(
                faulty_environment(self._stack.environment, self._plan)
            )
            self._stack.redirect(environment)
            job = exits.enter_context(Job(flags, log, self._faults, seed=self._wanted.seed))
            self._job = job
            exits.callback(self._ended.set)
            started_s = time.monotonic()
            killer = Background(partial(self._kill, job), "kill")
            killer.start()
            self._publish()
            self._ended.set()
            killer.join()
            killer.check()
            self._plan.change({})
            rest_s = self._rest(self._published.keys())
            replayed = self._replay()
            findings = compare(
                self._published, outcomes_of(self._tables, self._objects), self._tables
            )
            code = job.stop()
            minutes = (time.monotonic() - started_s) / 60
        facts = {
            "kills survived": by_kind(job.kills),
            "starts of the pipeline": job.starts,
            "faults injected": by_kind(self._plan.counts),
            "came to rest after": f"{rest_s:.0f} s",
            "replays of what faults refused": by_kind(replayed),
            "peak memory": f"{job.peak_bytes / 1e6:,.0f} MB pipeline and models, "
            f"{job.peak_engine_bytes / 1e6:,.0f} MB engine",
            "drained at the end": "yes" if code == 0 else f"exit code {code}",
            "took": f"{minutes:.1f} min, seed {self._wanted.seed}",
        }
        tell(self._console, findings, facts)
        if self._wanted.output:
            self._save(findings._asdict(), facts)
        one_row_an_item = findings.latest == findings.predicted_items
        if not one_row_an_item:
            self._console.print("[red]latest_predictions has an item twice[/red]")
        if findings.lost or code:
            kept = Path(self._wanted.home) / "logs" / "chaos-pipeline.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(log.read_bytes())
            self._console.print(f"The pipeline's log: {kept}")
        return not findings.lost and LOST not in replayed and code == 0 and one_row_an_item

    def _faults(self, runs: bool) -> None:
        """Only a job that runs meets faults: a start that fails is reported, and tried by hand."""
        self._plan.change(SHARES if runs and not self._ended.is_set() else {})

    def _publish(self) -> None:
        seconds = 60 * self._wanted.minutes
        count = round(seconds * self._wanted.rate)
        images = self._objects.bucket(self._place.image_bucket)
        messages = traffic(count, seed=self._wanted.seed, bucket=self._place.image_bucket)
        publisher = Publisher(self._place.topic_path)
        try:
            with tracked(messages, "chaos", total=count, console=self._console) as shown:
                for planned in self._on_time(shown):
                    for name, data in planned.uploads.items():
                        images.blob(name).upload_from_string(data)
                    (message_id,) = publisher.publish([pubsub_message(planned.outgoing)])
                    self._published[message_id] = planned
        finally:
            publisher.close()

    def _on_time(self, messages: Iterator[Planned]) -> Iterator[Planned]:
        began_s = time.monotonic()
        for number, planned in enumerate(messages):
            time.sleep(max(0.0, began_s + number / self._wanted.rate - time.monotonic()))
            yield planned

    def _kill(self, job: Job) -> None:
        chance = random.Random(self._wanted.seed + 1)
        victims: list[Victim] = []
        while True:
            pause_s = self._wanted.kill_every_s * chance.uniform(0.6, 1.4)
            if self._ended.wait(pause_s):
                return
            if not victims:
                victims = chance.sample(list(Victim), len(Victim))
            victim = victims.pop()
            job.kill(victim)
            self._console.print(f"kill -9: {victim}")

    def _rest(self, message_ids: set[str] | KeysView[str]) -> float:
        """Wait until each message has an outcome; returns the seconds that it took."""
        began_s = time.monotonic()
        with self._console.status("") as status:
            while time.monotonic() - began_s < self._wanted.rest_s:
                found = outcomes_of(self._tables, self._objects)
                missing = len(message_ids - found.keys())
                if not missing:
                    break
                status.update(f"coming to rest: {missing} messages have no outcome yet")
                time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began_s

    def _replay(self) -> Counter[str]:
        """Publish again what failed for a fault; returns the outcomes of that."""
        reasons = [f"--reason={reason}" for reason in sorted(OF_FAULTS)]
        command = [sys.executable, "-m", "testudo.cli", "replay"]
        done = subprocess.run(
            [*command, f"--home={self._stack.home}", *reasons], capture_output=True, text=True
        )
        if done.returncode:
            raise CommandError(f"replay failed:\n{done.stdout}{done.stderr}")
        replays = {row[0] for row in self._tables.ask(REPLAYS).rows}
        self._rest(replays)
        found = outcomes_of(self._tables, self._objects)
        return Counter(min(found.get(one, {LOST})) for one in replays)

    def _save(self, findings: dict[str, Any], facts: dict[str, Any]) -> None:
        text = json.dumps({**findings, **facts}, indent=2)
        self._wanted.output.write_text(text + "\n", encoding="utf-8")
