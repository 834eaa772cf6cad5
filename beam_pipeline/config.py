"""The one table of flags: each field of `Config` with its default, limits, unit and help.

Everything else about flags derives from it: the parser and its checks (beam_pipeline.options),
the template's metadata, and the settings that the stages get. The unit of a number is what its
name ends in.
"""

import dataclasses
from typing import Any

from models.failures import TestudoError
from models.features import ImageLimits
from models.kernels import CallLimits
from transforms.settings import ImageAccess, Quota

PROJECT = "[a-z][a-z0-9-]{4,28}[a-z0-9]"
BUCKET = "[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
SUBSCRIPTION = rf"projects/{PROJECT}/subscriptions/[\w.~+%-]{{3,255}}"
TOPIC = rf"projects/{PROJECT}/topics/[\w.~+%-]{{3,255}}"
TABLE = rf"{PROJECT}[:.]\w{{1,1024}}\.\w{{1,1024}}"
GS_PREFIX = rf"gs://{BUCKET}(/.*)?"

ENDS = "what to read and where to write"
MODELS = "models"
LIMITS = "limits"
QUOTAS = "quotas of tenants"
BUNDLES = "bundles of messages"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """What there is to know of a flag beside its name, type and default."""

    help: str
    group: str
    metavar: str | None = None
    least: float | None = None  # of a number
    most: float | None = None
    pattern: str = ""  # of a text in streaming; where there is none, every text is taken
    example: str = ""
    kind: str = "TEXT"  # Google's name for what the text is, in the template's metadata
    needed: bool = False  # by the template
    only_files: bool = False  # not in the template, which streams
    only_stream: bool = False
    only_local: bool = False  # of an engine that does not read Pub/Sub itself, as Dataflow does


def flag(default: Any, help_text: str, **details: Any) -> Any:
    """A field of Config."""
    return dataclasses.field(default=default, metadata={"flag": Flag(help=help_text, **details)})


def number(default: float, help_text: str, *, least: float, **details: Any) -> Any:
    return flag(default, help_text, least=least, kind="NUMBER", **details)


@dataclasses.dataclass(frozen=True)
class Config:
    """The values of a job, checked; below the entry nobody reads flags."""

    input_subscription: str = flag(
        "",
        "Pub/Sub subscription to read messages from (streaming).",
        group=ENDS,
        metavar="projects/P/subscriptions/S",
        pattern=SUBSCRIPTION,
        example="projects/my-project/subscriptions/items",
        kind="PUBSUB_SUBSCRIPTION",
        needed=True,
        only_stream=True,
    )
    input_file: str = flag(
        "",
        "JSON Lines file of messages to read instead: a local path or gs://, * allowed.",
        group=ENDS,
        metavar="FILE",
        only_files=True,
    )
    predictions_table: str = flag(
        "",
        "BigQuery table for predictions; needed with --input_subscription.",
        group=ENDS,
        metavar="PROJECT:DATASET.TABLE",
        pattern=TABLE,
        example="my-project:testudo.predictions",
        kind="BIGQUERY_TABLE",
        needed=True,
        only_stream=True,
    )
    dead_letters_table: str = flag(
        "",
        "BigQuery table for dead letters; needed with --input_subscription.",
        group=ENDS,
        metavar="PROJECT:DATASET.TABLE",
        pattern=TABLE,
        example="my-project:testudo.dead_letters",
        kind="BIGQUERY_TABLE",
        needed=True,
        only_stream=True,
    )
    output: str = flag(
        "",
        "Prefix (gs://bucket/folder, or a local folder with --input_file) under which "
        "payloads/ and dead-letters/ are written, and files mode's rows and archive/.",
        group=ENDS,
        metavar="PREFIX",
        pattern=GS_PREFIX,
        example="gs://my-bucket/testudo",
        kind="GCS_WRITE_FOLDER",
        needed=True,
    )
    releases: str = flag(
        "",
        "Folder or gs:// prefix of the releases; its current.json says which is used.",
        group=MODELS,
        metavar="PREFIX",
        kind="GCS_READ_FOLDER",
        needed=True,
    )
    release_refresh_s: float = number(
        30.0, "How often current.json is read again, in seconds.", least=0.1, group=MODELS
    )
    image_batch_size: int = number(
        16, "Most images in one call of the encoder.", least=1, group=MODELS
    )
    text_batch_size: int = number(
        64, "Most texts in one call of the text transform.", least=1, group=MODELS
    )
    score_batch_size: int = number(64, "Most items in one call of a scorer.", least=1, group=MODELS)
    image_buckets: str = flag(
        "",
        "Buckets that image_uri may name; none by default.",
        group=LIMITS,
        metavar="BUCKET,BUCKET",
        pattern=f"({BUCKET}(,{BUCKET})*)?",
        example="my-images,our-images",
    )
    fetch_timeout_s: float = number(
        ImageAccess.timeout_s,
        "Longest fetch of one image, tries again included, in seconds.",
        least=0.1,
        group=LIMITS,
    )
    max_message_bytes: int = number(
        10_000_000, "Largest message; Pub/Sub's own limit by default.", least=1, group=LIMITS
    )
    unknown_fields: str = flag(
        "keep",
        "What becomes of fields that no message has: keep stores numbers, texts and booleans "
        "with the outcome, as the message's own fields; refuse makes the message a dead letter.",
        group=LIMITS,
        metavar="keep|refuse",
        pattern="keep|refuse",
    )
    max_image_bytes: int = number(
        ImageLimits.max_bytes, "Largest image file.", least=1, group=LIMITS
    )
    max_image_pixels: int = number(
        ImageLimits.max_pixels,
        "Most pixels of one image, judged from its header.",
        least=1,
        group=LIMITS,
    )
    decode_timeout_s: float = number(
        CallLimits.decode_s,
        "Longest decoding of one image, in seconds; then it is cut.",
        least=0.1,
        group=LIMITS,
    )
    call_timeout_s: float = number(
        CallLimits.call_s,
        "Longest call of one model on a batch, in seconds; then it is cut, and "
        "its items are tried one by one.",
        least=0.1,
        group=LIMITS,
    )
    call_memory_mb: int = number(
        CallLimits.memory_bytes // 1_000_000,
        "Most memory that decoding, or a call of a model, may take beyond what the "
        "loaded models take.",
        least=64,
        group=LIMITS,
    )
    overflow_topic: str = flag(
        "",
        "Pub/Sub topic for the messages of tenants that take more than their share "
        "while messages wait; another job scores them. Without it there are no quotas.",
        group=QUOTAS,
        metavar="projects/P/topics/T",
        pattern=f"({TOPIC})?",
        example="projects/my-project/topics/items-overflow",
        kind="PUBSUB_TOPIC",
        only_stream=True,
    )
    tenant_share: float = number(
        Quota.share,
        "One tenant's largest share of the messages taken in the last ten seconds, while "
        "messages wait; 0.01 to 1.",
        least=0.01,
        most=1.0,
        group=QUOTAS,
    )
    overflow_after_s: float = number(
        Quota.after_s,
        "How long messages may wait before quotas hold, in seconds.",
        least=0.1,
        group=QUOTAS,
    )
    bundle_messages: int = number(
        100,
        "Most messages that a reader of Pub/Sub gives in one bundle.",
        least=1,
        group=BUNDLES,
        only_local=True,
        only_stream=True,
    )
    readers: int = number(
        1,
        "Readers of Pub/Sub a process: their bundles may run at the same time.",
        least=1,
        group=BUNDLES,
        only_local=True,
        only_stream=True,
    )

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
    def keep_unknown(self) -> bool:
        return self.unknown_fields == "keep"

    @property
    def image_access(self) -> ImageAccess:
        buckets = frozenset(filter(None, self.image_buckets.split(",")))
        return ImageAccess(buckets, self.fetch_timeout_s)

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(self.max_image_bytes, self.max_image_pixels)

    @property
    def calls(self) -> CallLimits:
        return CallLimits(
            self.decode_timeout_s, self.call_timeout_s, self.call_memory_mb * 1_000_000
        )

    @property
    def quota(self) -> Quota:
        return Quota(share=self.tenant_share, after_s=self.overflow_after_s)


FLAGS: dict[str, Flag] = {
    field.name: field.metadata["flag"] for field in dataclasses.fields(Config)
}


class ConfigError(TestudoError):
    """All that is wrong with the flags, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
