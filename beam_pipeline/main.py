"""From command line to a running job: the entry of laptop, template and tests alike."""

import sys
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import SetupOptions, StandardOptions, WorkerOptions

from beam_pipeline.checks import check
from beam_pipeline.config import Config, ConfigError
from beam_pipeline.endpoints import Endpoints, cloud_ends, emulator_ends, file_ends
from beam_pipeline.graph import build
from beam_pipeline.options import config_from

EMBEDDED_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def ends_for(config: Config, runner: str) -> Endpoints:
    if config.input_file:
        return file_ends(config)
    return cloud_ends(config) if "Dataflow" in runner else emulator_ends(config)


def make_pipeline(argv: Sequence[str]) -> beam.Pipeline:
    """Check the flags and build the graph; `run()` starts it. Raises ConfigError."""
    config, options = config_from(argv)
    standard = options.view_as(StandardOptions)
    standard.streaming = bool(config.input_subscription)
    standard.runner = standard.runner or EMBEDDED_RUNNER
    options.view_as(SetupOptions).save_main_session = False
    pipeline = beam.Pipeline(options=options)
    build(pipeline, config, ends_for(config, standard.runner))
    return pipeline


def launch(argv: Sequence[str]) -> int:
    """Start the template's job and return: 0, or 2 with all that is wrong on standard error.

    Google's launcher gives --template_location: the job object is written there,
    and the service makes a job of it when this process has ended.
    """
    try:
        pipeline = _make_launched(argv)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    pipeline.run()
    return 0


def _make_launched(argv: Sequence[str]) -> beam.Pipeline:
    config, options = config_from(argv)
    problems = []
    if not config.input_subscription:
        problems.append("--input_subscription: is missing; the template streams")
    if not options.view_as(WorkerOptions).sdk_container_image:
        problems.append("--sdk_container_image: is missing; workers run the launcher's own image")
    if problems:
        raise ConfigError(problems)
    check(config)
    return make_pipeline(argv)
