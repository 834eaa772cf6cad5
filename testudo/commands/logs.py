"""`testudo logs`: what a job's service and workers say, from Cloud Logging."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from google.cloud import logging

from testudo.clients import ENDPOINT, local_credentials
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import rollout_of
from testudo.environment import Environment
from testudo.errors import shown

EXAMPLE = "testudo logs staging --severity ERROR --follow"
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
POLL_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    parser.add_argument("--job", metavar="ID", help="the job; without it, the environment's newest")
    parser.add_argument(
        "--severity", choices=SEVERITIES, default="INFO", help="the least severe (%(default)s)"
    )
    parser.add_argument(
        "--limit", type=int, default=200, help="most lines, the newest (%(default)s)"
    )
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")


def main(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    with google_errors("Cloud Logging"):
        job_id = arguments.job or rollout_of(environment, arguments).running().id
        client = _client(environment)
        newest = _print(_entries(client, job_id, arguments.severity, "", arguments.limit))
        while arguments.follow:
            time.sleep(POLL_S)
            found = _entries(client, job_id, arguments.severity, newest, arguments.limit)
            newest = _print(found) or newest
    return 0


def _client(environment: Environment) -> logging.Client:
    endpoint = os.environ.get(ENDPOINT)
    if not endpoint:
        return logging.Client(project=environment.project)
    return logging.Client(
        project=environment.project,
        credentials=local_credentials(),
        client_options={"api_endpoint": endpoint},
        _use_grpc=False,
    )


def _entries(
    client: logging.Client, job_id: str, severity: str, after: str, limit: int
) -> list[Any]:
    """The newest entries, oldest first."""
    wanted = f'resource.type="dataflow_step" resource.labels.job_id="{job_id}" severity>={severity}'
    if after:
        wanted += f' timestamp>"{after}"'
    found = client.list_entries(filter_=wanted, order_by=logging.DESCENDING, max_results=limit)
    return list(found)[::-1]


def _print(entries: list[Any]) -> str:
    """Print entries; returns the newest one's time as a filter takes it."""
    newest = ""
    for entry in entries:
        newest = entry.timestamp.isoformat()
        for line in _lines(entry):
            print(f"{newest} {entry.severity:8} {shown(line)}")
    sys.stdout.flush()
    return newest


def _lines(entry: Any) -> Iterator[str]:
    payload = entry.payload
    text = payload.get("message", payload) if isinstance(payload, dict) else payload
    yield from str(text).splitlines()
