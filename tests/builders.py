"""Makers of test inputs, and the one way in which tests run a pipeline.

Every maker gives something valid; a test changes what it is about.
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from PIL import Image

from beam_pipeline.endpoints import Collect
from models.facts import Score
from models.failures import Failure, Reason, Rejected, Stage
from testudo.commands.dead_letters import StoredDeadLetter
from transforms.parsing import Arrival
from transforms.records import DeadLetter, Envelope, Item, Joined, Message, Part, Scored

RED, GREEN, BLUE, YELLOW = (220, 20, 20), (20, 200, 20), (20, 20, 220), (230, 230, 20)
WHITE = (255, 255, 255)
ARRIVAL = Arrival(delivery="d" * 32, received_us=1_780_000_000_000_000)
US_A_DAY = 86_400_000_000


def encoded(image: Image.Image, format_name: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **how)
    return file.getvalue()


def quadrants(width_px: int = 64, height_px: int = 64) -> Image.Image:
    """Red, green / blue, yellow: every way to turn or mirror it looks different."""
    image = Image.new("RGB", (2, 2))
    image.putdata([RED, GREEN, BLUE, YELLOW])
    return image.resize((width_px, height_px), Image.Resampling.NEAREST)


def jpeg(width_px: int, height_px: int, colour: tuple[int, int, int] = RED, **how: Any) -> bytes:
    return encoded(Image.new("RGB", (width_px, height_px), colour), "JPEG", **how)


def png(width_px: int, height_px: int, colour: tuple[int, int, int] = RED, **how: Any) -> bytes:
    return encoded(Image.new("RGB", (width_px, height_px), colour), "PNG", **how)


def grain(width_px: int, height_px: int, *, seed: int = 0) -> Image.Image:
    """Noise, which no format packs small: a file of it can be cut in its middle."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    return Image.fromarray(pixels)


def message(
    data: bytes | Mapping[str, Any], *, payload_uri: str = "", **attributes: str
) -> Message:
    """A delivery of bytes as they are, or of fields as JSON."""
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return Message(data, attributes, "message-1", 1_770_000_000_000_000, payload_uri)


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a valid message; a change to None leaves the field out."""
    whole = {"item_id": "item-1", "tenant_id": "acme", "text": "a red mug", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def envelope(number: int = 1, **changes: Any) -> Envelope:
    made = Envelope(
        delivery=f"{number:032x}",
        item_id=f"item-{number}",
        tenant_id="acme",
        release="listings-0123456789ab",
        message_id=f"message-{number}",
        event_time_us=1_770_000_000_000_000,
        publish_time_us=1_770_000_001_000_000,
        received_us=1_770_000_002_000_000,
        attempt=1,
        payload_uri=f"gs://bucket/testudo/payloads/dt=2026-02-02/{number:032x}.bin#0-100",
        attributes_json="{}",
    )
    return made._replace(**changes)


def item(number: int = 1, *, release: str, **changes: Any) -> Item:
    made = Item(envelope(number, release=release), "a red mug", "", "")
    return made._replace(**changes)


def image_part(number: int = 1, **changes: Any) -> Part:
    facts = '{"format":"JPEG","width_px":640,"height_px":480,"size_bytes":72000}'
    made = Part(Stage.IMAGE, envelope(number), b"embedding", None, facts, {"fetch": 1, "decode": 2})
    return made._replace(**changes)


def text_part(number: int = 1, **changes: Any) -> Part:
    facts = '{"length_chars":9}'
    made = Part(Stage.TEXT, envelope(number), b"words", None, facts, {"text": 4})
    return made._replace(**changes)


def failure(stage: Stage, reason: Reason = Reason.MODEL_FAILED) -> Failure:
    return Failure(stage, reason, f"of {stage}")


def letter(number: int = 1, **changes: Any) -> StoredDeadLetter:
    """A dead letter as `testudo replay` reads it; later numbers were published later."""
    made = StoredDeadLetter(
        dead_letter_id=f"message-{number}",
        message_id=f"message-{number}",
        item_id=f"item-{number}",
        tenant_id="acme",
        release="listings-0123456789ab",
        payload_uri=f"gs://bucket/payloads/dt=2026-11-24/{number:032x}.bin#0-100",
        event_time=datetime(2026, 11, 24, 10, number, tzinfo=UTC),
        publish_time=datetime(2026, 11, 24, 10, number, tzinfo=UTC),
        failed_at=datetime(2026, 11, 24, 10, number, 1, tzinfo=UTC),
        stage=Stage.IMAGE,
        reason=Reason.IMAGE_NOT_FOUND,
        detail="no such object",
        failures=((Stage.IMAGE, Reason.IMAGE_NOT_FOUND),),
        attempt=1,
        attributes="{}",
    )
    return made._replace(**changes)


def joined(number: int = 1, **changes: Any) -> Joined:
    parts = (image_part(number), text_part(number))
    made = Joined(
        envelope=envelope(number),
        features={part.branch: part.features for part in parts},
        facts={part.branch: part.facts for part in parts},
        spent_us={"fetch": 1_000, "decode": 2_000, "encode": 3_000, "text": 4_000},
    )
    return made._replace(**changes)


def scored(number: int = 1, **changes: Any) -> Scored:
    scores = [Score("category", "mug", 0.75), Score("category", "lamp", 0.25)]
    return Scored(joined(number, **changes), scores, 5_000, 1_770_000_003_000_000)


def dead_letter(*failures: Failure, number: int = 1) -> DeadLetter:
    return DeadLetter(envelope(number), list(failures), 1_770_000_003_000_000)


def rejection(call: Callable[[], Any]) -> Rejected:
    """The Rejected that a call raises; another exception, or none, fails the test."""
    try:
        answer = call()
    except Rejected as rejected:
        return rejected
    raise AssertionError(f"was not rejected, but gave {answer!r}")


class Ran(NamedTuple):
    """What a finished pipeline gave: its records by name, its own counters by name."""

    records: Mapping[str, list[Any]]
    counters: Mapping[str, int]


def run(
    connect: Callable[[beam.Pipeline], Mapping[str, beam.PCollection] | None],
) -> Ran:
    """Run a pipeline on Beam's own engine in this process, and collect what it gives."""
    Collect.records.clear()
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    for name, records in (connect(pipeline) or {}).items():
        records | f"Collect{name}" >> Collect(name=name)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("testudo"))["counters"]
    counters: dict[str, int] = {}
    for one in found:
        counters[one.key.metric.name] = counters.get(one.key.metric.name, 0) + one.committed
    return Ran(dict(Collect.records), counters)


def created(pipeline: beam.Pipeline, records: Iterable[Any], kind: type) -> beam.PCollection:
    return pipeline | beam.Create(list(records), reshuffle=False).with_output_types(kind)
