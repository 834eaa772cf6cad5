"""The pipeline's own flags. Beam's and Dataflow's flags are accepted beside them."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser


class Unreadable(NamedTuple):
    """A value that is not of its flag's kind; kept, so that all mistakes are told at once."""

    text: str
    wanted: str


def whole_number(text: str) -> int | Unreadable:
    try:
        return int(text)
    except ValueError:
        return Unreadable(text, "whole number")


def number(text: str) -> float | Unreadable:
    try:
        return float(text)
    except ValueError:
        return Unreadable(text, "number")


class TestudoOptions(PipelineOptions):
    """Flags of `testudo run`; beam_pipeline.config checks their values together."""

    __test__ = False  # not a test class, whatever its name begins with

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        ends = parser.add_argument_group("what to read and where to write")
        ends.add_argument(
            "--input_subscription",
            metavar="projects/P/subscriptions/S",
            help="Pub/Sub subscription to read messages from (streaming).",
        )
        ends.add_argument(
            "--input_file",
            metavar="FILE",
            help="JSON Lines file of messages to read instead: a local path or gs://, * allowed.",
        )
        ends.add_argument(
            "--predictions_table",
            metavar="PROJECT:DATASET.TABLE",
            help="BigQuery table for predictions; needed with --input_subscription.",
        )
        ends.add_argument(
            "--dead_letters_table",
            metavar="PROJECT:DATASET.TABLE",
            help="BigQuery table for dead letters; needed with --input_subscription.",
        )
        ends.add_argument(
            "--output",
            metavar="PREFIX",
            help="Prefix (gs://bucket/folder, or a local folder with --input_file) under which "
            "archive/, payloads/ and dead-letters/ are written.",
        )
        models = parser.add_argument_group("models")
        models.add_argument(
            "--releases",
            metavar="PREFIX",
            help="Folder or gs:// prefix of the releases; its current.json says which is used.",
        )
        models.add_argument(
            "--release_refresh_s",
            type=number,
            default=30.0,
            help="How often current.json is read again, in seconds.",
        )
        models.add_argument(
            "--image_batch_size",
            type=whole_number,
            default=16,
            help="Most images in one call of the encoder.",
        )
        models.add_argument(
            "--text_batch_size",
            type=whole_number,
            default=64,
            help="Most texts in one call of the text transform.",
        )
        models.add_argument(
            "--score_batch_size",
            type=whole_number,
            default=64,
            help="Most items in one call of a scorer.",
        )
        limits = parser.add_argument_group("limits")
        limits.add_argument(
            "--image_buckets",
            default="",
            metavar="BUCKET,BUCKET",
            help="Buckets that image_uri may name; none by default.",
        )
        limits.add_argument(
            "--fetch_timeout_s",
            type=number,
            default=20.0,
            help="Longest fetch of one image, tries again included, in seconds.",
        )
        limits.add_argument(
            "--max_message_bytes",
            type=whole_number,
            default=10_000_000,
            help="Largest message; Pub/Sub's own limit by default.",
        )
        limits.add_argument(
            "--max_image_bytes",
            type=whole_number,
            default=20_000_000,
            help="Largest image file.",
        )
        limits.add_argument(
            "--max_image_pixels",
            type=whole_number,
            default=50_000_000,
            help="Most pixels of one image, judged from its header.",
        )
        limits.add_argument(
            "--decode_timeout_s",
            type=number,
            default=10.0,
            help="Longest decoding of one image, in seconds; then it is cut.",
        )
        limits.add_argument(
            "--call_timeout_s",
            type=number,
            default=30.0,
            help="Longest call of one model on a batch, in seconds; then it is cut, and "
            "its items are tried one by one.",
        )
        limits.add_argument(
            "--call_memory_mb",
            type=whole_number,
            default=1000,
            help="Most memory that decoding, or a call of a model, may take beyond what the "
            "loaded models take.",
        )
        quotas = parser.add_argument_group("quotas of tenants")
        quotas.add_argument(
            "--overflow_topic",
            default="",
            metavar="projects/P/topics/T",
            help="Pub/Sub topic for the messages of tenants that take more than their share "
            "while messages wait; another job scores them. Without it there are no quotas.",
        )
        quotas.add_argument(
            "--tenant_share",
            type=number,
            default=0.25,
            help="One tenant's largest share of the messages taken in the last ten seconds, while "
            "messages wait; 0.01 to 1.",
        )
        quotas.add_argument(
            "--overflow_after_s",
            type=number,
            default=5.0,
            help="How long messages may wait before quotas hold, in seconds.",
        )
        windows = parser.add_argument_group("windows and archive")
        windows.add_argument(
            "--window_s",
            type=whole_number,
            default=60,
            help="Length of the windows in seconds: an archive file a window and shard.",
        )
        windows.add_argument(
            "--allowed_lateness_s",
            type=whole_number,
            default=3600,
            help="How long a window stays open for late elements, in seconds.",
        )
        windows.add_argument(
            "--archive_shards",
            type=whole_number,
            default=1,
            help="Archive files a window; one writes about 5,000 items a second.",
        )


def own_parser() -> argparse.ArgumentParser:
    """A parser of the pipeline's own flags and no others."""
    parser = argparse.ArgumentParser(prog="testudo run", usage=argparse.SUPPRESS, add_help=False)
    TestudoOptions._add_argparse_args(parser)
    return parser


def flags_help() -> str:
    """The help of the pipeline's own flags."""
    return own_parser().format_help().strip()


def own_flags() -> dict[str, argparse.Action]:
    """The pipeline's own flags by name, without dashes, in the order of their help."""
    return {action.dest: action for action in own_parser()._actions}


def unknown_flags(argv: Sequence[str]) -> list[str]:
    """Arguments that neither Testudo nor Beam knows; Beam itself would ignore them."""
    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False)
    for options in _descendants(PipelineOptions):
        options._add_argparse_args(parser)
    return parser.parse_known_args(list(argv))[1]


def _descendants(options: type[PipelineOptions]) -> list[type[PipelineOptions]]:
    found = []
    for child in options.__subclasses__():
        found += [child, *_descendants(child)]
    return found
