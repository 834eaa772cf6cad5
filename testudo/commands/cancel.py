"""`testudo cancel`: end a job at once, with what it had read and not yet stored."""

import argparse

from google.cloud.dataflow_v1beta3 import JobState

from testudo.commands import drain
from testudo.errors import CommandError

EXAMPLE = "testudo cancel staging"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    drain.add_arguments(parser)
    parser.add_argument(
        "--lose_in_flight",
        action="store_true",
        help="say that you know: Dataflow has acknowledged messages that have no outcome yet, and "
        "a cancelled job drops them (docs/operate.md says how to seek them back)",
    )


def main(arguments: argparse.Namespace) -> int:
    if not arguments.lose_in_flight:
        raise CommandError(
            "a cancelled job loses what it has in flight: give --lose_in_flight if that is meant, "
            "or `testudo drain`, which loses nothing"
        )
    return drain.stop(arguments, JobState.JOB_STATE_CANCELLED)
