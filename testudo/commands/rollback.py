"""`testudo rollback`: back to the image, the flags and the release that ran before."""

import argparse
import dataclasses
import json

from models.release import Pointer, read_pointer, write_pointer
from testudo.cloud.deployments import Deployment, recorded
from testudo.cloud.jobs import Jobs
from testudo.cloud.rollout import Version
from testudo.cloud.templates import read_template
from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.launch import say
from testudo.commands.refused import google_errors
from testudo.commands.update import add_way_arguments, replace_running, the_job
from testudo.environment import Environment
from testudo.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    add_way_arguments(parser)
    parser.add_argument(
        "--dry_run", action="store_true", help="say what would be done, and do nothing"
    )
    parser.add_argument(
        "--keep_release",
        action="store_true",
        help="leave current.json as it is: only the job goes back",
    )


def main(arguments: argparse.Namespace) -> int:
    environment = environment_of(arguments)
    with google_errors("Dataflow"):
        return roll_back(environment, arguments, keep_release=arguments.keep_release)


def roll_back(
    environment: Environment, arguments: argparse.Namespace, *, keep_release: bool
) -> int:
    """Go back in the way that `arguments` allow. Returns the exit code."""
    jobs = Jobs(environment)
    running = the_job(environment, jobs)
    current, before = _deployments(environment, running.id)
    try:
        template = read_template(environment, before.version)
    except CommandError as error:
        raise CommandError(str(error)) from error
    version = Version(template, dict(before.request.get("parameters", {})))
    if not keep_release:
        _point_back(environment, current, dry_run=arguments.dry_run)
    return replace_running(environment, jobs, running, version, arguments)


def _deployments(environment: Environment, job_id: str) -> tuple[Deployment, Deployment]:
    """The deployment that runs, and the one that it replaced."""
    current = recorded(environment, job_id)
    if current is None:
        raise CommandError(f"{job_id} was not launched by testudo: nothing says what ran before")
    before = recorded(environment, current.replaces) if current.replaces else None
    if before is None:
        raise CommandError(f"{current.job_name} replaced no job: there is nothing to go back to")
    return current, before


def _point_back(environment: Environment, current: Deployment, *, dry_run: bool) -> None:
    if not current.pointer_before:
        say("What current.json said before is not known: it stays as it is")
        return
    pointer = Pointer(**current.pointer_before)
    found = read_pointer(environment.releases)
    if found == pointer:
        return
    before, after = (json.dumps(dataclasses.asdict(one)) for one in (found, pointer))
    say(f"current.json: from {before} back to {after}")
    if not dry_run:
        write_pointer(environment.releases, pointer, replacing=found)
