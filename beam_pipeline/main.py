"""From command line to a running job: the entry of laptop, template and tests alike."""

from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import SetupOptions, StandardOptions

from beam_pipeline.config import Config, config_from
from beam_pipeline.endpoints import Endpoints, cloud_ends, emulator_ends, file_ends
from beam_pipeline.graph import build

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
