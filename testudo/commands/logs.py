"""`testudo logs`: what a job's service and workers say, from Cloud Logging or from here."""

import argparse
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.cloud import logging

from testudo.clients import ENDPOINT, local_credentials
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import rollout_of, say
from testudo.environment import LOCAL, Environment
from testudo.errors import shown
from testudo.local.runs import Run, runs_on

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
    if environment is LOCAL and not arguments.job and (runs := runs_on(arguments.home)):
        return _print_runs(runs, arguments)
    with google_errors("Cloud Logging"):
        job_id = arguments.job or rollout_of(environment, arguments).running().id
        client = _client(environment)
        newest = _print(_entries(client, job_id, arguments.severity, "", arguments.limit))
        while arguments.follow:
            time.sleep(POLL_S)
            found = _entries(client, job_id, arguments.severity, newest, arguments.limit)
            newest = _print(found) or newest
    return 0


def _print_runs(runs: Sequence[Run], arguments: argparse.Namespace) -> int:
    """The logs of the processes here, which know no severities."""
    with contextlib.ExitStack() as exits:
        files = []
        for run in runs:
            if run.log and os.path.isfile(run.log):
                file = exits.enter_context(open(run.log, errors="backslashreplace"))
                files.append((file, deque(file, maxlen=arguments.limit)))
            else:
                say(f"{run.name}, process {run.pid}, logs to its own standard error.")
        for _, newest in files:
            _print_lines(newest)
        while arguments.follow:
            time.sleep(POLL_S)
            for file, _ in files:
                _print_lines(file)
    return 0


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(shown(line.rstrip("\n")))
    sys.stdout.flush()


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
