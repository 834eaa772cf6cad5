"""`testudo drain`: let a job read no more, finish what it has read, and end."""

import argparse

from google.cloud.dataflow_v1beta3 import JobState

from testudo.commands.environments import add_environment_arguments, environment_of
from testudo.commands.refused import google_errors
from testudo.commands.rollouts import rollout_of

EXAMPLE = "testudo drain staging"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment_arguments(parser)
    parser.add_argument("--job", metavar="ID", help="the job; without it, the environment's newest")
    parser.add_argument("--no_wait", action="store_true", help="do not wait for its end")


def main(arguments: argparse.Namespace) -> int:
    return stop(arguments, JobState.JOB_STATE_DRAINED)


def stop(arguments: argparse.Namespace, state: JobState) -> int:
    """Returns 0 when the job reached the state asked for, 1 when it ended otherwise."""
    environment = environment_of(arguments)
    with google_errors("Dataflow"):
        rollout = rollout_of(environment, arguments)
        job_id = arguments.job or rollout.running().id
        return 0 if rollout.stop(job_id, state, wait=not arguments.no_wait) else 1
