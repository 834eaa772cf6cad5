"""From a command line to a checked Config. Beam's and Dataflow's flags are accepted beside ours."""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import (
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)

from beam_pipeline.config import FLAGS, Config, ConfigError, Flag


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


TYPES: dict[Any, Any] = {int: whole_number, float: number, str: str}


class TestudoOptions(PipelineOptions):
    """The flags of `testudo run`, as Config has them."""

    __test__ = False  # not a test class, whatever its name begins with

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        groups: dict[str, Any] = {}
        for field in dataclasses.fields(Config):
            flag = FLAGS[field.name]
            if flag.group not in groups:
                groups[flag.group] = parser.add_argument_group(flag.group)
            groups[flag.group].add_argument(
                f"--{field.name}",
                type=TYPES[field.type],
                default=field.default,
                metavar=flag.metavar,
                help=flag.help,
            )


def config_from(argv: Sequence[str]) -> tuple[Config, PipelineOptions]:
    """Check every flag and freeze ours; the options hold Beam's own beside them.

    Raises ConfigError, which lists every problem, each by its flag.
    """
    options = PipelineOptions(list(argv))
    given = options.view_as(TestudoOptions)
    values = {name: getattr(given, name) for name in FLAGS}
    problems = [f"{one}: no such flag" for one in unknown_flags(argv)]
    problems += _problems(values, options.view_as(StandardOptions).streaming)
    if problems:
        raise ConfigError(problems)
    folders = {name: values[name].rstrip("/") for name in ("output", "releases")}
    return Config(**{**values, **folders}), options


def _problems(values: dict[str, Any], streaming: bool) -> list[str]:
    streams, files = bool(values["input_subscription"]), bool(values["input_file"])
    problems = []
    if streams == files:
        problems.append("--input_subscription or --input_file: give one of the two")
    for name, value in values.items():
        problem = _problem(name, value, streams=streams, files=files)
        problems += [f"--{name}: {problem}"] * bool(problem)
    if files and not streams and streaming:
        problems.append("--streaming: goes with --input_subscription only")
    return problems


def _problem(name: str, value: Any, *, streams: bool, files: bool) -> str:
    """What is wrong with one value, empty where nothing is."""
    flag = FLAGS[name]
    if isinstance(value, Unreadable):
        return f"{value.text!r} is not a {value.wanted}"
    if flag.least is not None:
        return _number_problem(flag, value)
    if not value and not getattr(Config, name):  # what has a default is never empty
        needed = flag.needed and (streams or not flag.only_stream)
        return "is missing" if needed and name != "input_subscription" else ""
    if files and not streams and flag.only_stream:
        return "goes with --input_subscription only; files are written under --output"
    # What is taken of files is any path, but for names that are never paths.
    if (streams or flag.kind == "TEXT") and flag.pattern and not re.fullmatch(flag.pattern, value):
        # Without an example the pattern is of words to choose from.
        return f"{value!r} does not have the form {flag.example or flag.pattern}"
    return ""


def _number_problem(flag: Flag, value: float) -> str:
    if flag.least is not None and not value >= flag.least:  # nan is refused too
        return f"is {value}, must be {flag.least:g} or more"
    if flag.most is not None and value > flag.most:
        return f"is {value}, must be {flag.most:g} or less"
    return ""


def own_parser() -> argparse.ArgumentParser:
    """A parser of the pipeline's own flags and no others."""
    parser = argparse.ArgumentParser(prog="testudo run", usage=argparse.SUPPRESS, add_help=False)
    TestudoOptions._add_argparse_args(parser)
    return parser


def flags_help() -> str:
    """The help of the pipeline's own flags."""
    return own_parser().format_help().strip()


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
