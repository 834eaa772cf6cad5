"""The plain loop that the graph is measured against: the same kernels, and no Beam.

What a careful person would write for one thread and one machine: read lines in
chunks, call the very functions that the graph calls, in batches of the same
sizes, write a row a line. It keeps no payload, writes no archive, knows one
release, and stops at the first bad item: all of that the graph does besides.

    python -m loadtest.loop --messages=FILE --releases=FOLDER --items=N --few=N
"""

import argparse
import itertools
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from apache_beam import coders

from beam_pipeline.config import Config
from loadtest.measure import difference, tell
from models.features import decode_image
from models.handlers import (
    Encoder,
    EncoderHandler,
    ScorerHandler,
    Scorers,
    TextHandler,
)
from models.release import Pointer, fetch_release, read_pointer
from models.text_transform import TextTransform
from transforms.events import Arrival, parse_item
from transforms.images import inline_image
from transforms.joins import delivery_of, join_halves
from transforms.outcomes import Row, json_line, prediction_row
from transforms.records import Decoded, Half, Item, Joined, Message, Scored

JOIN_SAMPLE = 64


class Loop:
    """One release, loaded; `rows` scores messages with it."""

    def __init__(self, releases: str, cache: Path) -> None:
        self._config = Config(output="", releases=releases)
        self._pointer = read_pointer(releases)
        manifest, folder = fetch_release(releases, self._pointer.default, cache)
        batch = {"releases": releases, "batch_size": 1}
        self._images, self._texts = EncoderHandler(**batch), TextHandler(**batch)
        self._scores = ScorerHandler(**batch)
        self._encoder: Encoder = self._images.load(manifest, folder)
        self._transform: TextTransform = self._texts.load(manifest, folder)
        self._scorers: Scorers = self._scores.load(manifest, folder)

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """The prediction rows of messages, in order."""
        for chunk in itertools.batched(lines, self._config.score_batch_size):
            joined = [join_halves(halves) for halves in self.halves(chunk)]
            started_ns = time.perf_counter_ns()
            scores = self._scores.call(self._scorers, joined)
            spent_us = (time.perf_counter_ns() - started_ns) // (1000 * len(chunk))
            for one, its_scores in zip(joined, scores, strict=True):
                now_us = time.time_ns() // 1000
                yield prediction_row(Scored(one, its_scores, spent_us, now_us))
