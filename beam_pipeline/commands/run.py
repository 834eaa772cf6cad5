"""`testudo run`: check the flags, start the job, and end it cleanly when asked to."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import grpc
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
from apache_beam.runners.runner import PipelineResult, PipelineState

from beam_pipeline.checks import check
from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import (
    add_home_argument,
    bring_releases,
    enter_local_stack,
    local_flags,
)
from beam_pipeline.config import ConfigError, config_from
from beam_pipeline.local.deliveries import begin_drain
from beam_pipeline.local.engine import running_engine
from beam_pipeline.local.servers import PROJECT
from beam_pipeline.main import make_pipeline
from beam_pipeline.options import flags_help
from models.manifest import ReleaseError

AFTER_ENGINE = "Start again: what has no outcome yet comes again, within half a minute."
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
    _on_signals(_interrupt)
    if any(flag.startswith("--input_") for flag in flags):
        return _run(flags)
    stack = enter_local_stack(arguments.home)
    try:
        bring_releases(arguments.local_releases)
    except ReleaseError as error:
        raise CommandError(f"{error}\nTrain a release first: `testudo train`.") from error
    with running_engine(arguments.home, _say, tools=stack.tools) as job_endpoint:
        return _run([*local_flags(PROJECT, job_endpoint), *flags])


def _run(flags: Sequence[str]) -> int:
    """Start the job and wait for its end: that of its input, or a signal's."""
    try:
        config, options = config_from(flags)
        if config.input_subscription:
            check(config)
        pipeline = make_pipeline(flags)
    except ConfigError as error:
        raise CommandError(str(error)) from error
    runner = options.view_as(StandardOptions).runner or ""
    if config.input_subscription and "Dataflow" not in runner:
        _on_signals(_drain_then_interrupt)
    _say("Running; Ctrl-C ends it.")
    try:
        return _finish(pipeline.run())  # over files the first is the whole run
    except grpc.RpcError as error:
        _say(f"The engine is gone: {_words(error)}\n{AFTER_ENGINE}")
        return 1


def _finish(result: PipelineResult) -> int:
    """Wait for the job's end, or end it as a signal asks."""
    try:
        state = result.wait_until_finish()
    except KeyboardInterrupt:
        if isinstance(result, DataflowPipelineResult):
            _say(f"The job goes on: {result.job_id()}")
            return 0
        _say("Stopping at once.")
        state = result.cancel() or PipelineState.CANCELLED
    return 0 if state in ENDED_WELL else 1


def _words(error: grpc.RpcError) -> str:
    return error.details() if isinstance(error, grpc.Call) else str(error)


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, handler)


def _drain_then_interrupt(_number: int, _frame: FrameType | None) -> None:
    """Finish what is in flight at the first signal, stop at once at the second."""
    _on_signals(_interrupt)
    _say("Finishing what is in flight; Ctrl-C again stops at once.")
    begin_drain()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr)
