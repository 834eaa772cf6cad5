"""From flags to one frozen, checked configuration; below the entry nobody reads flags."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from beam_pipeline.options import TestudoOptions, Unreadable, unknown_flags
from models.features import ImageLimits
from models.kernels import CallLimits
from transforms.images import ImageAccess
from transforms.quotas import Quota

SUBSCRIPTION = re.compile(r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/subscriptions/[\w.~+%-]{3,255}")
TOPIC = re.compile(r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/topics/[\w.~+%-]{3,255}")
TABLE = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9][:.]\w{1,1024}\.\w{1,1024}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
GS_PREFIX = re.compile(rf"gs://{BUCKET.pattern}(/.*)?")
LEAST = {
    "release_refresh_s": 0.1,
    "image_batch_size": 1,
    "text_batch_size": 1,
    "score_batch_size": 1,
    "fetch_timeout_s": 0.1,
    "max_message_bytes": 1,
    "max_image_bytes": 1,
    "max_image_pixels": 1,
    "decode_timeout_s": 0.1,
    "call_timeout_s": 0.1,
    "call_memory_mb": 64,
    "tenant_share": 0.01,
    "overflow_after_s": 0.1,
    "window_s": 1,
    "allowed_lateness_s": 0,
    "archive_shards": 1,
}
MOST = {"tenant_share": 1.0}


class ConfigError(Exception):
    """All that is wrong with the flags, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclasses.dataclass(frozen=True)
class Config:
    """The graph's values, each in the unit that its name ends in."""

    output: str
    releases: str
    input_subscription: str = ""
    input_file: str = ""
    predictions_table: str = ""
    dead_letters_table: str = ""
    release_refresh_s: float = 30.0
    image_batch_size: int = 16
    text_batch_size: int = 64
    score_batch_size: int = 64
    image_access: ImageAccess = ImageAccess()
    image_limits: ImageLimits = ImageLimits()
    calls: CallLimits = CallLimits()
    max_message_bytes: int = 10_000_000
    overflow_topic: str = ""
    quota: Quota = Quota()
    window_s: int = 60
    allowed_lateness_s: int = 3600
    archive_shards: int = 1

    @property
    def payloads(self) -> str:
        return f"{self.output}/payloads"

    @property
    def archive(self) -> str:
        return f"{self.output}/archive"

    @property
    def dead_letters(self) -> str:
        return f"{self.output}/dead-letters"

    @property
    def windows(self) -> dict[str, Any]:
        return {"window_s": self.window_s, "allowed_lateness_s": self.allowed_lateness_s}

    @property
    def parse(self) -> dict[str, Any]:
        return {
            "releases": self.releases,
            "refresh_s": self.release_refresh_s,
            "max_message_bytes": self.max_message_bytes,
        }

    @property
    def images(self) -> dict[str, Any]:
        return {
            "releases": self.releases,
            "access": self.image_access,
            "limits": self.image_limits,
            "calls": self.calls,
            "batch_size": self.image_batch_size,
        }

    @property
    def texts(self) -> dict[str, Any]:
        return {
            "releases": self.releases,
            "calls": self.calls,
            "batch_size": self.text_batch_size,
        }

    @property
    def scores(self) -> dict[str, Any]:
        return {
            "releases": self.releases,
            "calls": self.calls,
            "batch_size": self.score_batch_size,
        }


def config_from(argv: Sequence[str]) -> tuple[Config, PipelineOptions]:
    """Check every flag and freeze ours; the options hold Beam's own beside them.

    Raises ConfigError, which lists every problem, each by its flag.
    """
    options = PipelineOptions(list(argv))
    flags = options.view_as(TestudoOptions)
    problems = [f"{one}: no such flag" for one in unknown_flags(argv)]
    problems += _unreadable(flags)
    problems += _problems(flags, options.view_as(StandardOptions).streaming)
    if problems:
        raise ConfigError(problems)
    return _frozen(flags), options


def _frozen(flags: TestudoOptions) -> Config:
    return Config(
        output=flags.output.rstrip("/"),
        releases=flags.releases.rstrip("/"),
        input_subscription=flags.input_subscription or "",
        input_file=flags.input_file or "",
        predictions_table=flags.predictions_table or "",
        dead_letters_table=flags.dead_letters_table or "",
        release_refresh_s=flags.release_refresh_s,
        image_batch_size=flags.image_batch_size,
        text_batch_size=flags.text_batch_size,
        score_batch_size=flags.score_batch_size,
        image_access=ImageAccess(
            frozenset(filter(None, flags.image_buckets.split(","))), flags.fetch_timeout_s
        ),
        image_limits=ImageLimits(flags.max_image_bytes, flags.max_image_pixels),
        calls=CallLimits(
            flags.decode_timeout_s, flags.call_timeout_s, flags.call_memory_mb * 1_000_000
        ),
        max_message_bytes=flags.max_message_bytes,
        overflow_topic=flags.overflow_topic,
        quota=Quota(share=flags.tenant_share, after_s=flags.overflow_after_s),
        window_s=flags.window_s,
        allowed_lateness_s=flags.allowed_lateness_s,
        archive_shards=flags.archive_shards,
    )


def _unreadable(flags: TestudoOptions) -> list[str]:
    return [
        f"--{name}: {value.text!r} is not a {value.wanted}"
        for name, value in vars(flags)["_visible_options"].__dict__.items()
        if isinstance(value, Unreadable)
    ]


def _problems(flags: TestudoOptions, streaming: bool) -> list[str]:
    problems = []
    if bool(flags.input_subscription) == bool(flags.input_file):
        problems.append("--input_subscription or --input_file: give one of the two")
    if flags.input_subscription:
        problems += _stream_problems(flags)
    elif flags.input_file:
        problems += _file_problems(flags, streaming)
    problems += [
        f"--{name}: is missing" for name in ("output", "releases") if not getattr(flags, name)
    ]
    for bucket in filter(None, flags.image_buckets.split(",")):
        problems += _matches("image_buckets", bucket, BUCKET)
    for name, least in LEAST.items():
        value = getattr(flags, name)
        if not isinstance(value, Unreadable) and not value >= least:  # nan is refused too
            problems.append(f"--{name}: is {value}, must be {least} or more")
    for name, most in MOST.items():
        value = getattr(flags, name)
        if not isinstance(value, Unreadable) and value > most:
            problems.append(f"--{name}: is {value}, must be {most:g} or less")
    return problems


def _stream_problems(flags: TestudoOptions) -> list[str]:
    problems = _matches("input_subscription", flags.input_subscription, SUBSCRIPTION)
    for name in ("predictions_table", "dead_letters_table"):
        if getattr(flags, name):
            problems += _matches(name, getattr(flags, name), TABLE)
        else:
            problems.append(f"--{name}: is needed with --input_subscription")
    if flags.output:
        problems += _matches("output", flags.output, GS_PREFIX)
    if flags.overflow_topic:
        problems += _matches("overflow_topic", flags.overflow_topic, TOPIC)
    return problems


def _file_problems(flags: TestudoOptions, streaming: bool) -> list[str]:
    problems = [
        f"--{name}: goes with --input_subscription only; files are written under --output"
        for name in ("predictions_table", "dead_letters_table")
        if getattr(flags, name)
    ]
    if flags.overflow_topic:
        problems.append("--overflow_topic: goes with --input_subscription only")
    if streaming:
        problems.append("--streaming: goes with --input_subscription only")
    return problems


def _matches(flag: str, value: str, pattern: re.Pattern[str]) -> list[str]:
    if pattern.fullmatch(value):
        return []
    return [f"--{flag}: {value!r} does not have the form {EXAMPLES[flag]}"]


EXAMPLES = {
    "input_subscription": "projects/my-project/subscriptions/items",
    "overflow_topic": "projects/my-project/topics/items-overflow",
    "predictions_table": "my-project:testudo.predictions",
    "dead_letters_table": "my-project:testudo.dead_letters",
    "output": "gs://my-bucket/testudo",
    "image_buckets": "my-images,our-images",
}
