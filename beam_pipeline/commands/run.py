"""`testudo run`: check the flags, start the job, and end it cleanly when asked to."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from apache_beam.runners.runner import PipelineResult, PipelineState

from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import (
    add_home_argument,
    bring_releases,
    enter_local_project,
    local_flags,
)
from beam_pipeline.config import ConfigError
from beam_pipeline.main import start
from beam_pipeline.options import flags_help
from models.release import ReleaseError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--local_releases",
        type=Path,
        default=Path(".testudo/releases"),
        help="releases to bring to the local stack (%(default)s)",
    )
    add_home_argument(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Without --input_subscription and --input_file the local stack that runs is used "
        "from end to end.\n\n" + flags_help()
    )


def main(arguments: argparse.Namespace, flags: Sequence[str]) -> int:
    if not any(flag.startswith("--input_") for flag in flags):
        project = enter_local_project(arguments.home).project
        try:
            bring_releases(arguments.local_releases)
        except ReleaseError as error:
            raise CommandError(f"{error}\nTrain a release first: `testudo train`.") from error
        flags = [*local_flags(project, os.environ["TESTUDO_JOB_ENDPOINT"]), *flags]
    try:
        result = start(flags)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    print("Running; Ctrl-C ends it.", file=sys.stderr)
    return wait(result)


def wait(result: PipelineResult) -> int:
    """Wait for the job's end; Ctrl-C and SIGTERM cancel it, and what it held comes back."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, _interrupt)
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        print("Ending the job; what was in flight is given back.", file=sys.stderr)
        state = result.cancel() or PipelineState.CANCELLED
    return 0 if state in (PipelineState.DONE, PipelineState.CANCELLED, PipelineState.DRAINED) else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
