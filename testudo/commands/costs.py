"""`testudo costs`: what an environment's jobs used and cost by day, kept in table job_costs.

Run it once a day or more: what a job used since the last day that has a row is
counted to the day of the reading.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter
from google.cloud.dataflow_v1beta3 import (
    GetJobMetricsRequest,
    Job,
    JobMetrics,
    MetricsV1Beta3Client,
)
from rich.console import Console

from beam_pipeline.tables import fill
from testudo.clients import control_client
from testudo.cloud.costs import JobDay, Usage, cost_row, usage_before, usage_of
from testudo.cloud.jobs import ENDED, Jobs
from testudo.cloud.prices import Prices, read_prices
from testudo.commands.engines import Answer
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.query import as_table
from testudo.commands.refused import google_errors
from testudo.environment import Environment
from testudo.errors import CommandError

EXAMPLE = "testudo costs staging --dry_run"
EARLIER_DAYS = """
SELECT vcpu_s, memory_gb_s, disk_gb_s, ssd_gb_s, streaming_gb, streaming_units
FROM `{dataset}.job_days` WHERE job_id = @job_id AND day < @day
"""
SHOWN = (
    "day", "job_name", "vcpu_s", "vcpu_usd", "memory_usd", "disk_usd", "streaming_usd", "cost_usd",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    parser.add_argument("--prices", type=Path, help="a list like templates/prices.json")
    parser.add_argument("--dry_run", action="store_true", help="show the rows, and write none")


def main(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    prices = read_prices(environment.region, arguments.prices)
    with google_errors("Google's services"), Client(project=environment.project) as client:
        costs = Costs(client, environment, prices)
        rows = list(costs.rows(datetime.now(UTC)))
        if not arguments.dry_run:
            costs.write(rows)
    console = Console()
    console.print(as_table(Answer(SHOWN, [[row[column] for column in SHOWN] for row in rows])))
    if prices.borrowed:
        console.print(
            f"{environment.region} has no price for {', '.join(prices.borrowed)}: those of the "
            "list's fallback region are used; see prices_region",
            markup=False,
        )
    return 0


class Costs:
    """Reads each job's metrics, prices what is new since the earlier days, and keeps it."""

    def __init__(self, client: Client, environment: Environment, prices: Prices) -> None:
        self._client = client
        self._environment = environment
        self._prices = prices
        self._dataset = f"{environment.project}.{environment.dataset}"
        self._jobs = Jobs(environment)
        self._metrics = control_client(MetricsV1Beta3Client)

    def rows(self, now: datetime) -> Iterator[dict[str, Any]]:
        """A row a job that used anything: its use on the day until which its metrics go."""
        for job in self._jobs.listed(active=False):
            metrics = self._metrics.get_job_metrics(
                GetJobMetricsRequest(
                    project_id=self._environment.project,
                    location=self._environment.region,
                    job_id=job.id,
                )
            )
            day = day_of(job, metrics, now)
            usage = usage_of(metrics).since(self._earlier(job.id, day))
            if any(usage):
                job_day = JobDay(job.id, job.name, self._environment.region, day)
                yield cost_row(job_day, now, usage, self._prices)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append them; view job_days shows the latest of a job and day, so repeating is safe."""
        if not rows:
            return
        ids = [f"{row['job_id']}/{row['day']}/{row['priced_at']}" for row in rows]
        errors = self._client.insert_rows_json(f"{self._dataset}.job_costs", rows, row_ids=ids)
        if errors:
            raise CommandError(f"BigQuery did not take the rows: {errors}")

    def _earlier(self, job_id: str, day: date) -> Usage:
        settings = QueryJobConfig(
            query_parameters=[
                ScalarQueryParameter("job_id", "STRING", job_id),
                ScalarQueryParameter("day", "DATE", day),
            ]
        )
        found = self._client.query_and_wait(fill(EARLIER_DAYS, self._dataset), job_config=settings)
        return usage_before([dict(row) for row in found])


def day_of(job: Job, metrics: JobMetrics, now: datetime) -> date:
    """The UTC day that the use until these metrics is counted to; an ended job's last one."""
    if job.current_state in ENDED and job.current_state_time:
        return job.current_state_time.astimezone(UTC).date()
    return (metrics.metric_time or now).astimezone(UTC).date()
