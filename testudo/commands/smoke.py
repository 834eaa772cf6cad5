"""`testudo smoke`: some items through an environment, and a verdict on what came out.

Every message must end as exactly one outcome, each broken one for its own reason, and 95
of 100 predictions must be there within the latency goal. Items to warm up, which wait for
workers to start and to load models, count as outcomes and not in the latency.
"""

import argparse
import dataclasses
import json
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter
from rich.console import Console

from beam_pipeline.tables import fill
from testudo.commands.engines import Answer
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.progress import poll
from testudo.commands.query import as_table
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import say
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL, Environment
from testudo.local.runs import SCORES_NOTHING, runs_on
from testudo.messages import REASONS, SampleMessage, sample_messages
from testudo.verdict import PREDICTED, Outcome, Verdict, verdict

EXAMPLE = "testudo smoke staging"
TENANT = "smoke"
BROKEN_SHARE = 0.1
CLOCK_MARGIN = timedelta(minutes=5)  # of partitions, should clocks differ
# Copies of a row are one outcome: delivery is at least once, and views remove them. Day and
# tenant are what the tables are partitioned and clustered by: no other rows are read.
OUTCOMES = """
SELECT item_id, 'predicted' AS outcome,
  MIN(TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND)) / 1000 AS latency_s
FROM `{dataset}.predictions`
WHERE processed_at >= @since AND tenant_id = @tenant AND STARTS_WITH(item_id, @prefix)
GROUP BY item_id
UNION ALL
SELECT item_id, reason AS outcome, NULL AS latency_s
FROM `{dataset}.dead_letters`
WHERE failed_at >= @since AND tenant_id = @tenant AND STARTS_WITH(item_id, @prefix)
GROUP BY item_id, reason
"""


class Load(NamedTuple):
    """What is sent, and what it is judged by."""

    messages: int
    warm_up: int  # sent before them
    rate: float  # messages a second
    p95_s: float | None  # the limit; None: the environment's latency_goal_s
    timeout_s: float  # for the warm-up, and again for all others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_smoke_arguments(parser)
    parser.add_argument("--format", choices=("table", "json"), default="table")


def add_smoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=60, help="how many (%(default)s)")
    parser.add_argument(
        "--warm_up",
        type=int,
        default=20,
        help="sent before them: each process of a worker loads its models at its first item "
        "(%(default)s)",
    )
    parser.add_argument("--rate", type=float, default=10.0, help="a second (%(default)g)")
    parser.add_argument(
        "--p95_s", type=float, help="the limit, in seconds; the environment's latency_goal_s"
    )
    parser.add_argument(
        "--timeout_s",
        type=float,
        default=600.0,
        help="for the warm-up, and again for all others; a job takes minutes to start "
        "(%(default)g)",
    )


def load_of(arguments: argparse.Namespace) -> Load:
    return Load(
        messages=arguments.messages,
        warm_up=arguments.warm_up,
        rate=arguments.rate,
        p95_s=arguments.p95_s,
        timeout_s=arguments.timeout_s,
    )


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when it passed, 1 when not."""
    environment = environment_of(arguments)
    if environment is LOCAL and not runs_on(arguments.home):
        say(f"{SCORES_NOTHING} None runs now, so nothing will answer.")
    found = smoke(environment, load_of(arguments))
    if arguments.format == "json":
        print(json.dumps(dataclasses.asdict(found), indent=1))
    return 1 if found.problems else 0


def smoke(environment: Environment, load: Load) -> Verdict:
    """Publish, wait and judge; prints the verdict on standard error."""
    console = Console(stderr=True)
    prefix = f"smoke-{uuid.uuid4().hex[:12]}-"
    warm_up = max(load.warm_up, 1)
    samples = list(
        sample_messages(
            warm_up + max(load.messages, 1),
            seed=1,
            prefix=prefix,
            tenants=(TENANT,),
            broken_share=BROKEN_SHARE,
        )
    )
    with google_errors("Google's services"), Client(project=environment.project) as client:
        run = _Run(environment, client, prefix, console, load.timeout_s)
        sent, found = _exchange(run, samples[:warm_up], samples[warm_up:], load.rate)
    expected = {
        sample.item_id: str(REASONS[sample.breakage]) if sample.breakage else PREDICTED
        for sample in sent
    }
    limit_s = environment.latency_goal_s if load.p95_s is None else load.p95_s
    judged = verdict(expected, {sample.item_id for sample in samples[:warm_up]}, found, limit_s)
    _print(console, environment, judged)
    return judged


def _exchange(
    run: "_Run", warm_up: Sequence[SampleMessage], others: Sequence[SampleMessage], rate: float
) -> tuple[Sequence[SampleMessage], list[Outcome]]:
    """What was sent and what came: who does not answer the first is not sent the others."""
    run.publish(warm_up, rate=rate)
    found = run.wait("Warm-up", len(warm_up))
    if len({outcome.item_id for outcome in found}) < len(warm_up):
        return warm_up, found
    run.publish(others, rate=rate)
    return [*warm_up, *others], run.wait("Outcomes", len(warm_up) + len(others))


class _Run:
    """One run's messages and their outcomes, known by the prefix of their ids."""

    def __init__(
        self,
        environment: Environment,
        client: Client,
        prefix: str,
        console: Console,
        allowed_s: float,
    ) -> None:
        self._environment = environment
        self._client = client
        self._console = console
        self._allowed_s = allowed_s
        self._dataset = f"{environment.project}.{environment.dataset}"
        self._settings = [
            ScalarQueryParameter("since", "TIMESTAMP", datetime.now(UTC) - CLOCK_MARGIN),
            ScalarQueryParameter("tenant", "STRING", TENANT),
            ScalarQueryParameter("prefix", "STRING", prefix),
        ]

    def publish(self, samples: Sequence[SampleMessage], *, rate: float) -> None:
        outgoing = [Outgoing(sample.data, dict(sample.attributes)) for sample in samples]
        publish(self._environment.topic_path, outgoing, rate=rate)

    def wait(self, what: str, wanted: int) -> list[Outcome]:
        """The outcomes, when so many items have one, or time is up."""
        found: list[Outcome] = []

        def count() -> int:
            found[:] = self._outcomes()
            return len({outcome.item_id for outcome in found})

        poll(what, count, total=wanted, timeout_s=self._allowed_s, console=self._console)
        return found

    def _outcomes(self) -> list[Outcome]:
        settings = QueryJobConfig(query_parameters=self._settings)
        rows: Any = self._client.query_and_wait(fill(OUTCOMES, self._dataset), job_config=settings)
        return [Outcome(*row.values()) for row in rows]


def _print(console: Console, environment: Environment, judged: Verdict) -> None:
    rows = sorted(judged.outcomes.items(), key=lambda row: -row[1])
    console.print(as_table(Answer(["outcome", "items"], rows)))
    p95 = "none" if judged.p95_s is None else f"{judged.p95_s:.2f} s"
    console.print(f"{judged.published} published; p95 {p95}, limit {judged.limit_s:g} s")
    for problem in judged.problems:
        print(f"testudo smoke: {problem}", file=sys.stderr)
    if judged.problems:
        name = environment.name
        print(
            f"Look at `testudo status {name}`, `testudo logs {name}` and "
            f"`testudo query dead_letters --environment {name}`.",
            file=sys.stderr,
        )
