"""`testudo run`: check the flags, start the job, and end it cleanly when asked to."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from apache_beam.runners.runner import PipelineState

from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import (
    add_home_argument,
    bring_releases,
    enter_local_project,
    local_flags,
)
from beam_pipeline.config import ConfigError
from beam_pipeline.local.engine import running_engine
from beam_pipeline.main import make_pipeline
from beam_pipeline.options import flags_help
from models.release import ReleaseError

ENDED_WELL = (PipelineState.DONE, PipelineState.CANCELLED, PipelineState.DRAINED)


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
    if any(flag.startswith("--input_") for flag in flags):
        return _run(flags)
    project = enter_local_project(arguments.home).project
    try:
        bring_releases(arguments.local_releases)
    except ReleaseError as error:
        raise CommandError(f"{error}\nTrain a release first: `testudo train`.") from error
    with running_engine(arguments.home, _say) as job_endpoint:
        return _run([*local_flags(project, job_endpoint), *flags])


def _run(flags: Sequence[str]) -> int:
    """Start the job and wait for its end: that of its input, Ctrl-C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, _interrupt)
    try:
        pipeline = make_pipeline(flags)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    _say("Running; Ctrl-C ends it.")
    result = pipeline.run()  # over files this is the whole run
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        _say("Ending the job; what was in flight is given back.")
        state = result.cancel() or PipelineState.CANCELLED
    return 0 if state in ENDED_WELL else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr)
