"""The plain loop that the graph is measured against: the same kernels, and no Beam.

What a careful person would write for one thread of one machine: read lines in
chunks, call the very functions that the graph calls, in batches of the same
sizes, write a row a line. It keeps no payload, writes no archive, knows one
release, and stops at the first bad item: all of that the graph does besides.

    python -m loadtest.loop --messages=FILE --releases=FOLDER --items=N --few=N
"""

import itertools
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from apache_beam.coders import StrUtf8Coder, TupleCoder, registry

from beam_pipeline.config import Config
from beam_pipeline.endpoints import message_from_line
from loadtest.measure import difference, measured_run, tell
from models.features import ImageLimits, decode_image
from models.handlers import EncoderHandler, ScorerHandler, TextHandler
from models.release import fetch_release, read_pointer
from transforms.events import Arrival, parse_item
from transforms.images import inline_image
from transforms.joins import delivery_of
from transforms.outcomes import json_line, prediction_row
from transforms.records import Decoded, Half, Item, Joined, Scored, TextFacts

JOIN_SAMPLE = 64
LIMITS = ImageLimits()

T = TypeVar("T")


def chunked(values: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


class Loop:
    """The release in use, loaded, and how messages with image and text are scored with it."""

    def __init__(self, releases: str, cache: Path) -> None:
        self._config = config = Config(output="", releases=releases)
        self._pointer = read_pointer(releases)
        self._manifest, folder = fetch_release(releases, self._pointer.default, cache)
        self._images = EncoderHandler(releases=releases, batch_size=config.image_batch_size)
        self._texts = TextHandler(releases=releases, batch_size=config.text_batch_size)
        self._scores = ScorerHandler(releases=releases, batch_size=config.score_batch_size)
        self._encoder = self._images.load(self._manifest, folder)
        self._transform = self._texts.load(self._manifest, folder)
        self._scorers = self._scores.load(self._manifest, folder)

    def predictions(self, lines: Iterable[bytes]) -> Iterator[str]:
        """The JSON lines of the predictions, in order."""
        for chunk in chunked(lines, self._config.score_batch_size):
            joined = list(self._joined([self._item(line) for line in chunk]))
            started_ns = time.perf_counter_ns()
            scores = self._scores.call(self._scorers, joined)
            spent_us = _us_since(started_ns) // len(chunk)
            for one, its_scores in zip(joined, scores, strict=True):
                scored = Scored(one, its_scores, spent_us, time.time_ns() // 1000)
                yield json_line(prediction_row(scored))

    def join_bytes(self, lines: list[bytes]) -> float:
        """The mean size of an item at the graph's join: both halves encoded, each with its key."""
        items = [self._item(line) for line in lines]
        decoded = [self._decoded(item) for item in items]
        images = self._images.call(self._encoder, decoded)
        texts = self._texts.call(self._transform, items)
        halves = [self._images.answer(*one, 1000) for one in zip(decoded, images, strict=True)]
        halves += [self._texts.answer(*one, 1000) for one in zip(items, texts, strict=True)]
        coder = TupleCoder([StrUtf8Coder(), registry.get_coder(Half)])
        return sum(len(coder.encode((delivery_of(half), half))) for half in halves) / len(items)

    def _item(self, line: bytes) -> Item:
        arrival = Arrival(uuid.uuid4().hex, time.time_ns() // 1000)
        max_bytes = self._config.max_message_bytes
        return parse_item(message_from_line(line), arrival, self._pointer, max_bytes=max_bytes)

    def _decoded(self, item: Item) -> Decoded:
        started_ns = time.perf_counter_ns()
        data = inline_image(item.image_base64)
        pixels, facts = decode_image(data, size_px=self._manifest.image_size_px, limits=LIMITS)
        return Decoded(item.envelope, pixels.tobytes(), facts, {"decode": _us_since(started_ns)})

    def _joined(self, items: list[Item]) -> Iterator[Joined]:
        started_ns = time.perf_counter_ns()
        texts = self._texts.call(self._transform, items)
        text_us = _us_since(started_ns) // len(items)
        with_texts = zip(items, texts, strict=True)
        for batch in chunked(with_texts, self._config.image_batch_size):
            decoded = [self._decoded(item) for item, _ in batch]
            started_ns = time.perf_counter_ns()
            embeddings = self._images.call(self._encoder, decoded)
            spent_us = {"encode": _us_since(started_ns) // len(batch), "text": text_us}
            for (item, text), image, embedding in zip(batch, decoded, embeddings, strict=True):
                facts = TextFacts(len(item.text))
                spent = {**image.spent_us, **spent_us}
                yield Joined(item.envelope, embedding, text, image.image, facts, spent)


def _us_since(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1000


def run(loop: Loop, messages: Path, output: Path, count: int) -> None:
    """Score the first `count` messages of a file into another."""
    with messages.open("rb") as lines, output.open("w", encoding="utf-8") as rows:
        for line in loop.predictions(itertools.islice(lines, count)):
            rows.write(line + "\n")


def main() -> None:
    wanted = measured_run()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(wanted.releases, Path(folder))
        output = Path(folder) / "predictions.jsonl"
        cost = difference(
            partial(run, loop, wanted.messages, output), few=wanted.few, items=wanted.items
        )
        with wanted.messages.open("rb") as lines:
            sample = list(itertools.islice(lines, min(JOIN_SAMPLE, wanted.items)))
        tell(cost._replace(join_bytes=loop.join_bytes(sample)))


if __name__ == "__main__":
    main()
