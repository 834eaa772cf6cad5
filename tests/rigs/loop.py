"""The plain loop that the graph is measured against: the same kernels, and no Beam.

What a careful person would write for one thread of one machine: read lines in
chunks, call the very functions that the graph calls, in batches of the same
sizes, write a row a line. It keeps no payload, writes no archive, knows one
release, and stops at the first bad item: all of that the graph does besides.

    python -m rigs.loop --messages=FILE --releases=FOLDER --items=N --few=N
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
from beam_pipeline.io.lines import message_from_line
from models.branches import BRANCHES
from models.failures import Stage
from models.kernels import ImageKernel, ScoreKernel, TextKernel
from models.release import fetch_release, read_pointer
from rigs.costs import difference, measured_run, tell
from transforms.handlers import part_of
from transforms.inline_images import inline_image
from transforms.joins import by_delivery, join_parts
from transforms.outcomes import json_line, prediction_row
from transforms.parsing import Arrival, parse_item
from transforms.records import Item, Joined, Part, Scored

JOIN_SAMPLE = 64

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
        manifest, folder = fetch_release(releases, self._pointer.default, cache)
        self._images = ImageKernel(manifest, folder, config.calls, config.image_limits)
        self._texts = TextKernel(manifest, folder, config.calls)
        self._scores = ScoreKernel(manifest, folder, config.calls)

    def predictions(self, lines: Iterable[bytes]) -> Iterator[str]:
        """The JSON lines of the predictions, in order."""
        for chunk in chunked(lines, self._config.score_batch_size):
            joined = self._joined([self._item(line) for line in chunk])
            items = [(one.features, one.envelope.fields_json) for one in joined]
            for one, (found, spent_us) in zip(joined, self._scores(items), strict=True):
                now_us = time.time_ns() // 1000
                scored = Scored(one, found.scores, spent_us, now_us, found.decisions)
                yield json_line(prediction_row(scored))

    def join_bytes(self, lines: list[bytes]) -> float:
        """The mean size of an item at the graph's join: all parts encoded, each with its key."""
        coder = TupleCoder([StrUtf8Coder(), registry.get_coder(Part)])
        items = self._parts([self._item(line) for line in lines])
        encoded = [
            coder.encode(by_delivery(part, Stage.IMAGE)) for parts in items for part in parts
        ]
        return sum(map(len, encoded)) / len(items)

    def _item(self, line: bytes) -> Item:
        arrival = Arrival(uuid.uuid4().hex, time.time_ns() // 1000)
        max_bytes = self._config.max_message_bytes
        return parse_item(message_from_line(line), arrival, self._pointer, max_bytes=max_bytes)

    def _joined(self, items: list[Item]) -> list[Joined]:
        """The very functions of the graph's branches and join, without their edges."""
        joined = [join_parts(parts, tuple(BRANCHES)) for parts in self._parts(items)]
        return [one for one in joined if isinstance(one, Joined)]  # mypy: none fails here

    def _parts(self, items: list[Item]) -> list[tuple[Part, ...]]:
        texts = self._texts([item.text for item in items])
        images = [
            answer
            for batch in chunked(items, self._config.image_batch_size)
            for answer in self._images([inline_image(item.image_base64) for item in batch])
        ]
        return [
            (
                part_of(Stage.IMAGE, item.envelope, image.result, {"encode": image.spent_us}),
                part_of(Stage.TEXT, item.envelope, text.result, {"text": text.spent_us}),
            )
            for item, text, image in zip(items, texts, images, strict=True)
        ]


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
