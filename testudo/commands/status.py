"""`testudo status`: the jobs of an environment, and what was deployed before them."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud.dataflow_v1beta3 import Job
from rich.console import Console
from rich.table import Table

from testudo.cloud.deployments import Deployment, history
from testudo.cloud.jobs import Jobs, state_of
from testudo.cloud.launching import VERSION_LABEL
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import say
from testudo.environment import LOCAL, Environment
from testudo.errors import shown
from testudo.local.runs import SCORES_NOTHING, runs_on

EXAMPLE = "testudo status staging"
DIGEST_CHARS = 12
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    parser.add_argument("--all", action="store_true", help="jobs that have ended too")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when a job is active or runs here, 3 when none is."""
    environment = environment_of(arguments)
    runs = runs_here(environment, arguments.home)
    with google_errors("Dataflow"):
        jobs = [_job_row(job) for job in Jobs(environment).listed(active=not arguments.all)]
        deployments = [_deployment_row(deployment) for deployment in history(environment)]
    if arguments.format == "json":
        print(json.dumps({"jobs": jobs, "deployments": deployments, "runs": runs}, indent=1))
    else:
        if environment is LOCAL:
            _print("Running here, by `testudo run`", runs)
        _print("Jobs", jobs)
        _print("Deployments, newest first", deployments)
    return 0 if jobs or runs else 3


def runs_here(environment: Environment, home: Path) -> list[Row]:
    """Of the local stack alone: the jobs that score, while its Dataflow plays jobs' states."""
    if environment is not LOCAL:
        return []
    say(SCORES_NOTHING)
    return [
        {
            "name": run.name,
            "pid": run.pid,
            "since": _time(datetime.fromtimestamp(run.began_s, UTC)),
            "log": run.log,
        }
        for run in runs_on(home)
    ]


def _job_row(job: Job) -> Row:
    pool = job.environment.worker_pools[0] if job.environment.worker_pools else None
    size = job.runtime_updatable_params
    most = size.max_num_workers or (pool.autoscaling_settings.max_num_workers if pool else 0)
    return {
        "name": job.name,
        "id": job.id,
        "state": state_of(job),
        "since": _time(job.current_state_time),
        "version": str(dict(job.labels).get(VERSION_LABEL, "")),
        "image": _digest(pool.worker_harness_container_image if pool else ""),
        "workers": f"{size.min_num_workers or (pool.num_workers if pool else 0)}-{most}",
    }


def _deployment_row(deployment: Deployment) -> Row:
    return {
        "launched": deployment.launched_at,
        "version": deployment.version,
        "image": _digest(deployment.image),
        "way": deployment.way,
        "job": deployment.job_id,
        "replaced": deployment.replaces,
    }


def _digest(image: str) -> str:
    """The beginning of an image's digest, which tells images apart."""
    return image.rpartition("@sha256:")[2][:DIGEST_CHARS]


def _time(stamp: Any) -> str:
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ") if stamp else ""


def _print(title: str, rows: list[Row]) -> None:
    if not rows:
        Console().print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(shown(str(value)) for value in row.values()))
    Console().print(table)
