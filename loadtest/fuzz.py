"""`testudo fuzz`: changed messages and images at the parser and the decoder, looking for bugs.

A process of its own takes one input after the other, so that a crash or an
endless loop is a finding too. Input number N of a seed is always the same.
"""

import argparse
import dataclasses
import multiprocessing
import random
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from beam_pipeline.commands.failure import CommandError
from beam_pipeline.commands.place import add_home_argument
from loadtest.mutations import changed_image, changed_message
from models.features import OUT_OF_MEMORY, ImageLimits, decode_image, normalise_text
from models.kernels import time_limit
from models.manifest import Pointer
from models.model_process import limit_memory
from transforms.events import Arrival, parse_item
from transforms.failures import attempt
from transforms.images import inline_image
from transforms.records import Failure, Item, Message, Reason, Rejected, Stage

LIMITS = ImageLimits(max_bytes=2_000_000, max_pixels=4_000_000)
MAX_MESSAGE_BYTES = 1_000_000
SIZE_PX = 96
INPUT_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 256_000_000  # beyond what the process takes before it begins
SAVED_FINDINGS = 20
SAY_EVERY_S = 5.0
DONE = 0  # exit code
ARRIVAL = Arrival("f" * 32, 1_770_000_000_000_000)
POINTER = Pointer(default="fuzz")


def fuzz_message(data: bytes) -> None:
    """What the parse stage and the first steps of both branches make of a message."""
    item: Item = parse_item(
        Message(data, {}, "fuzz", 0), ARRIVAL, POINTER, max_bytes=MAX_MESSAGE_BYTES
    )
    normalise_text(item.text)
    if item.image_base64:
        inline_image(item.image_base64)


def fuzz_image(data: bytes) -> None:
    """What the image stage makes of a file."""
    pixels, _ = decode_image(data, size_px=SIZE_PX, limits=LIMITS)
    if pixels.shape != (SIZE_PX, SIZE_PX, 3):
        raise ValueError(f"pixels of shape {pixels.shape}")


class Target(NamedTuple):
    stage: Stage
    make: Callable[[random.Random], bytes]
    call: Callable[[bytes], None]


TARGETS: Mapping[str, Target] = {
    "message": Target(Stage.PARSE, changed_message, fuzz_message),
    "image": Target(Stage.IMAGE, changed_image, fuzz_image),
}


def input_of(seed: int, number: int) -> tuple[str, bytes]:
    """Target and bytes of one input; the targets take turns."""
    name = list(TARGETS)[number % len(TARGETS)]
    return name, TARGETS[name].make(random.Random(f"{seed}/{number}"))  # noqa: S311


class Outcome(NamedTuple):
    """What one input came to; `detail` is of a finding only."""

    name: str
    spent_s: float
    detail: str = ""


def outcome_of(target: Target, data: bytes) -> Outcome:
    started_s = time.process_time()
    answer = attempt(target.stage, Reason.BUG, target.call, data)
    spent_s = time.process_time() - started_s
    if not isinstance(answer, Failure):
        return Outcome("taken", spent_s)
    if answer.reason == Reason.BUG or OUT_OF_MEMORY in answer.detail:
        return Outcome("FINDING", spent_s, answer.detail)
    answer.detail.encode()  # rows are UTF-8
    return Outcome(answer.reason, spent_s)


def _work(connection: Connection, seed: int, first: int, count: int) -> None:
    """Send the outcome of each input; ends by a signal where one takes too long."""
    warnings.simplefilter("ignore")  # Pillow's, about what is broken
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(len(TARGETS)):  # what is loaded and cached once is not an input's
        input_of(seed, number)
    fuzz_image_once = attempt(Stage.IMAGE, Reason.BUG, fuzz_image, input_of(seed, 1)[1])
    del fuzz_image_once
    limit_memory(MEMORY_LIMIT_BYTES)
    for number in range(first, first + count):
        name, data = input_of(seed, number)
        with time_limit(INPUT_LIMIT_S):
            outcome = outcome_of(TARGETS[name], data)
        connection.send((number, name, *outcome))
