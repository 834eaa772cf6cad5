"""The graph with stages that do nothing: what is left is what the engine itself costs.

Its edges are those of `beam_pipeline.graph.build`, which builds it: reading, the join's
grouping and acknowledging are real; nothing is kept, parsed, decoded, scored or inserted.
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from beam_pipeline import graph
from beam_pipeline.config import Config
from beam_pipeline.endpoints import Endpoints, Then
from models.failures import Stage
from transforms.events import ParsedItems
from transforms.records import DeadLetter, Envelope, Item, Joined, Message, Part, Scored
from transforms.scores import ScoredItems

SEEN_FILE = "BENCH_SEEN_FILE"  # the variable that names where outcomes are noted
FEATURES = {Stage.IMAGE: bytes(256), Stage.TEXT: bytes(128)}  # as large as the sample release's
OTHER = "other"  # the second output of steps that have one, always empty here
WITHOUT_SCORES: list[Any] = []


class FileSightings:
    """Outcomes that StoreNothing noted since `mark`."""

    def __init__(self, path: Any) -> None:
        self._path = path
        path.write_bytes(b"")

    def seen_s(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for line in self._path.read_text("ascii").splitlines(keepends=True):
            if line.endswith("\n"):
                message_id, moment_s = line.split()
                found.setdefault(message_id, float(moment_s))
        return found


def item_of(message: Message) -> Item:
    envelope = Envelope(
        delivery=message.message_id,
        item_id=message.message_id,
        tenant_id="tenant",
        release="release",
        message_id=message.message_id,
        event_time_us=0,
        publish_time_us=message.publish_time_us,
        received_us=time.time_ns() // 1000,
        attempt=1,
        payload_uri="",
        attributes_json="",
    )
    return Item(envelope, "", "", "")


def scored_of(joined: Joined) -> Scored:
    return Scored(joined, WITHOUT_SCORES, 0, 0)


class _PassDoFn(beam.DoFn):
    """Gives back what `change` makes of each element; a step with a second output that is empty."""

    def __init__(self, change: Any) -> None:
        self._change = change

    def process(self, element: Any) -> Iterator[Any]:
        yield self._change(element)


class _StoreDoFn(beam.DoFn):
    """Notes which message has its outcome; a bundle's together."""

    def start_bundle(self) -> None:
        self._ids: list[str] = []

    def process(self, message_id: str) -> Iterator[str]:
        self._ids.append(message_id)
        yield message_id

    def finish_bundle(self) -> None:
        moment_s = time.monotonic()
        lines = "".join(f"{message_id} {moment_s}\n" for message_id in self._ids)
        with open(os.environ[SEEN_FILE], "ab") as file:
            file.write(lines.encode())


def _two_outputs(elements: beam.PCollection, change: Any, kinds: tuple[Any, Any]) -> Any:
    """As the real steps have: results, and dead letters or early answers."""
    found = elements | "Pass" >> beam.ParDo(_PassDoFn(change)).with_outputs(OTHER, main="main")
    found["main"].element_type, found[OTHER].element_type = kinds
    return found["main"], found[OTHER]


@dataclasses.dataclass(eq=False)
class Nothing(beam.PTransform):
    """A stage that takes whatever settings the real one has."""

    def __init__(self, **_: Any) -> None:
        super().__init__()


class KeepNothing(Nothing):
    def expand(self, messages: beam.PCollection[Message]) -> beam.PCollection[Message]:
        return messages | "Write" >> beam.Map(_same).with_output_types(Message)


class ParseNothing(Nothing):
    def expand(self, messages: Any) -> Any:
        return ParsedItems(*_two_outputs(messages, item_of, (Item, DeadLetter)))


def _same(element: Any) -> Any:
    return element


def image_part(item: Item) -> Part:
    return Part(Stage.IMAGE, item.envelope, FEATURES[Stage.IMAGE], None, "", {})


def text_part(item: Item) -> Part:
    return Part(Stage.TEXT, item.envelope, FEATURES[Stage.TEXT], None, "", {})


class EncodeNoImages(Nothing):
    def expand(self, items: Any) -> Any:
        encoded, answered = _two_outputs(items, image_part, (Part, Part))
        return (encoded, answered) | "Answers" >> beam.Flatten()


class EncodeNoTexts(Nothing):
    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Part]:
        return items | "Encode" >> beam.Map(text_part).with_output_types(Part)


class ScoreNothing(Nothing):
    def expand(self, items: Any) -> Any:
        return ScoredItems(*_two_outputs(items, scored_of, (Scored, DeadLetter)))


def message_id_of(record: Scored | DeadLetter) -> str:
    envelope = record.envelope if isinstance(record, DeadLetter) else record.joined.envelope
    return envelope.message_id


class StoreNothing(Nothing):
    """Records -> message ids, by the steps of WriteTable."""

    def expand(self, records: Any) -> Any:
        stored = (
            records
            | "ToRow" >> beam.Map(message_id_of).with_output_types(str)
            | "Unwindow" >> beam.WindowInto(GlobalWindows())
            | "Insert" >> beam.ParDo(_StoreDoFn()).with_outputs(OTHER, main="stored")
        )
        stored["stored"].element_type = stored[OTHER].element_type = str
        kept = stored[OTHER] | "Keep" >> beam.Map(_same).with_output_types(str)
        return (stored["stored"], kept) | "Stored" >> beam.Flatten()


class Drop(Nothing):
    def expand(self, records: beam.PCollection) -> None:
        records | "Drop" >> beam.Map(_same)


STAGES = {
    "KeepPayloads": KeepNothing,
    "ParseItems": ParseNothing,
    "EncodeImages": EncodeNoImages,
    "EncodeTexts": EncodeNoTexts,
    "ScoreItems": ScoreNothing,
}


def build(pipeline: beam.Pipeline, config: Config, ends: Endpoints) -> None:
    """The graph's own edges, with STAGES for its stages and nothing stored at its ends."""
    writes = {
        field.name: _emptied(getattr(ends, field.name))
        for field in dataclasses.fields(ends)
        if field.name != "read"
    }
    for name, stage in STAGES.items():  # for good: this process runs no other job
        setattr(graph, name, stage)
    graph.build(pipeline, config, dataclasses.replace(ends, **writes))


def _emptied(end: beam.PTransform) -> beam.PTransform:
    """An end that acknowledges does so still."""
    return Then(first=StoreNothing(), then=end.then) if isinstance(end, Then) else Drop()
