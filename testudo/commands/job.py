"""One job of `testudo run`: checked, started, and ended cleanly when a signal asks for it."""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import grpc
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
from apache_beam.runners.runner import PipelineResult, PipelineState

from beam_pipeline.checks import check
from beam_pipeline.config import Config
from beam_pipeline.file_checks import check_files
from beam_pipeline.io.deliveries import begin_drain
from beam_pipeline.main import make_pipeline
from beam_pipeline.options import config_from
from testudo.commands.panel import Progress, counts_of, shown
from testudo.commands.stand_ins import refuse_stand_ins
from testudo.local.engine import AFTER_ENGINE
from testudo.local.jobs import RUNNING
from testudo.watch import raise_ended

DRAINING = "Finishing what is in flight; Ctrl-C again stops at once."
NEXT = "Next: `testudo query outcomes{of}`, or `testudo view{of}` to look at them."
ENDED_WELL = (PipelineState.DONE, PipelineState.CANCELLED, PipelineState.DRAINED)


def checked(flags: Sequence[str]) -> tuple[Config, PipelineOptions]:
    """What the flags say, when all that they name is there. Raises TestudoError."""
    config, options = config_from(flags)
    refuse_stand_ins(*projects_of(config, options))
    if config.input_subscription:
        check(config)
    else:
        check_files(config)
    return config, options


def projects_of(config: Config, options: PipelineOptions) -> list[str]:
    """The projects that the flags name."""
    paths = filter(None, (config.input_subscription, config.overflow_topic))
    tables = (config.predictions_table, config.dead_letters_table)
    named = [
        *(path.split("/")[1] for path in paths),
        *(re.split("[:.]", table)[0] for table in tables),
    ]
    return [*named, options.view_as(GoogleCloudOptions).project or ""]


def run_job(flags: Sequence[str]) -> int:
    """Start the job and wait for its end: that of its input, or a signal's."""
    config, options = checked(flags)
    pipeline = make_pipeline(flags)
    runner = options.view_as(StandardOptions).runner or ""
    if config.input_subscription and "Dataflow" not in runner:
        on_signals(_drain_then_interrupt)
    say(RUNNING)
    try:
        of = f" --output {config.output}" if config.input_file else ""
        return _finish(pipeline.run(), of)  # over files the first is the whole run
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise_ended(error)
        say(f"The engine is gone: {_words(error)}\n{AFTER_ENGINE}")
        return 1


def _finish(result: PipelineResult, of: str) -> int:
    """Wait for the job's end, or end it as a signal asks."""
    if isinstance(result, DataflowPipelineResult):
        try:
            state = result.wait_until_finish()
        except KeyboardInterrupt:
            say(f"The job goes on: {result.job_id()}")
            return 0
        return 0 if state in ENDED_WELL else 1
    progress = Progress(partial(counts_of, result))
    try:
        with shown(progress):
            state = result.wait_until_finish()
    except KeyboardInterrupt:
        say("Stopping at once.")
        state = result.cancel() or PipelineState.CANCELLED
    say(f"{progress.counts().in_words()}.\n{NEXT.format(of=of)}")
    return 0 if state in ENDED_WELL else 1


def _words(error: Exception) -> str:
    if isinstance(error, grpc.FutureTimeoutError):
        return "it does not answer"
    return error.details() if isinstance(error, grpc.Call) else str(error)


def on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, handler)


def _drain_then_interrupt(_number: int, _frame: FrameType | None) -> None:
    """Finish what is in flight at the first signal, stop at once at the second.

    The drain comes before any word: standard error may be a pipe that nobody reads any more. And
    the words come by a bare write: the main thread may be printing in this very moment.
    """
    on_signals(interrupt)
    begin_drain()
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{DRAINING}\n".encode())


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # at once: print writes the end apart, and threads come between
    sys.stderr.flush()
