"""`testudo costs`: metrics by REST, prices, and rows that add up however often it is run."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import bigquery
from warehouse import prediction

from testudo.clients import ENDPOINT
from testudo.cloud.prices import read_prices
from testudo.commands.costs import Costs
from testudo.commands.engines import BigQueryEngine
from testudo.control.server import Body, ControlServer, Request, route
from testudo.environment import Environment
from testudo.environment_file import environment_from
from testudo.local.resources import create_dataset
from testudo.local.stack import LocalStack

DATASET = "job_costs"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
JOBS = "/v1b3/projects/{project}/locations/{location}/jobs"


class OneJob:
    """What Dataflow tells of one job: what it has used since its start, until a time."""

    def __init__(self) -> None:
        self.job = {"id": "job-1", "name": "testudo-one-20261102-110000"}
        self.job["currentState"] = "JOB_STATE_RUNNING"
        self.read(NOON, vcpu_s=0)

    def read(self, until: datetime, *, vcpu_s: float) -> None:
        totals = {"TotalVcpuTime": vcpu_s, "TotalMemoryUsage": 4 * 1024 * vcpu_s}
        self.metrics: dict[str, Any] = {
            "metricTime": until.isoformat().replace("+00:00", "Z"),
            "metrics": [
                {"name": {"origin": "dataflow/v1b3", "name": name}, "scalar": total}
                for name, total in totals.items()
            ],
        }

    def listed(self, request: Request) -> Body:
        other = {**self.job, "id": "job-2", "name": "another-pipeline"}
        return {"jobs": [self.job, other]}

    def got(self, request: Request) -> Body:
        return self.job

    def measured(self, request: Request) -> Body:
        assert request.path["job"] == "job-1", "another pipeline's job is none of ours"
        return self.metrics


@pytest.fixture
def dataflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[OneJob]:
    """Served over HTTP to Google's own client."""
    one = OneJob()
    routes = [
        route("GET", JOBS, one.listed),
        route("GET", f"{JOBS}/{{job}}", one.got),
        route("GET", f"{JOBS}/{{job}}/metrics", one.measured),
    ]
    with ControlServer(("127.0.0.1", 0), routes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(ENDPOINT, server.endpoint)
        yield one
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(stack: LocalStack) -> Environment:
    create_dataset(stack.project, DATASET)
    values = {"project": stack.project, "dataset": DATASET, "region": "us-central1"}
    return environment_from("one", values, "the test")


def test_days_add_up_to_what_the_job_used(environment: Environment, dataflow: OneJob) -> None:
    """However often it is read, and although a day is left out."""
    with bigquery.Client(project=environment.project) as client:
        engine = BigQueryEngine(client, DATASET)
        row = prediction("1", NOON + timedelta(days=1))
        assert not client.insert_rows_json(f"{client.project}.{DATASET}.predictions", [row])

        def read_at(hours: float, vcpu_s: float) -> None:
            until = NOON + timedelta(hours=hours)
            dataflow.read(until, vcpu_s=vcpu_s)
            costs = Costs(client, environment, read_prices(environment.region))
            costs.write(list(costs.rows(until)))

        for hours, vcpu_s in ((1, 3600), (6, 7200), (6, 7200), (24, 36000), (72, 72000)):
            read_at(hours, vcpu_s)
        days = engine.ask(
            "SELECT day, vcpu_s, cost_usd FROM `{dataset}.job_days` ORDER BY day"
        ).rows
        assert [(day.day, vcpu_s) for day, vcpu_s, _ in days] == [
            (2, 7200), (3, 28800), (5, 36000),
        ]  # fmt: skip
        whole_usd = 20 * 0.069 + 80 * 0.003557
        assert sum(usd for _, _, usd in days) == pytest.approx(whole_usd)
        shared = engine.ask("SELECT tenant_id, cost_usd FROM `{dataset}.tenant_costs`").rows
        assert sum(usd for _, usd in shared) == pytest.approx(whole_usd)
        assert dict(shared)["acme"] == pytest.approx(days[1][2])


def test_a_job_that_used_nothing_has_no_row(environment: Environment, dataflow: OneJob) -> None:
    """It may be waiting for its first worker."""
    with bigquery.Client(project=environment.project) as client:
        costs = Costs(client, environment, read_prices(environment.region))
        assert list(costs.rows(NOON - timedelta(days=9))) == []
