"""`make fuzz`: changed messages and images at the parser and the decoder, looking for bugs.

A process of its own takes one input after the other, so that a crash or an
endless loop is a finding too. Input number N of a seed is always the same.
"""

import argparse
import logging
import multiprocessing
import random
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from models.failures import Failure, Reason, Rejected, Stage, attempt
from models.features import OUT_OF_MEMORY, ImageLimits, decode_image, normalise_text
from models.kernels import time_limit
from models.release import Pointer
from models.sandbox import limit_memory
from rigs.mutations import changed_image, changed_message
from testudo.commands.environments import add_home_argument
from testudo.errors import CommandError
from transforms.inline_images import inline_image
from transforms.parsing import Arrival, parse_item
from transforms.records import Message

LIMITS = ImageLimits(max_bytes=2_000_000, max_pixels=4_000_000)
MAX_MESSAGE_BYTES = 1_000_000
SIZE_PX = 96
INPUT_LIMIT_S = 10.0  # of CPU
STUCK_S = 180.0  # for one that waits; a busy machine may give it little
MEMORY_LIMIT_BYTES = 256_000_000  # beyond what the process takes before it begins
MAX_FINDINGS = 20
SAY_EVERY_S = 5.0
POLL_S = 0.1
TAKEN, FINDING = "taken", "FINDING"
ARRIVAL = Arrival("f" * 32, 1_770_000_000_000_000)
POINTER = Pointer(default="fuzz")
# Forked from a server that has imported this module: after a crash the next starts at once.
FORK = multiprocessing.get_context("forkserver")


def fuzz_message(data: bytes) -> None:
    """What the parse stage and the first steps of both branches make of a message."""
    item = parse_item(Message(data, {}, "fuzz", 0), ARRIVAL, POINTER, max_bytes=MAX_MESSAGE_BYTES)
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
    return name, TARGETS[name].make(random.Random(f"{seed}/{number}"))


class Outcome(NamedTuple):
    """What became of one input: `taken`, a reason, or FINDING, of which alone is a detail."""

    number: int
    target: str
    name: str
    spent_s: float = 0.0
    detail: str = ""


def try_input(seed: int, number: int) -> Outcome:
    """Only a value or a reason may come out; running out of memory is no reason here."""
    name, data = input_of(seed, number)
    target = TARGETS[name]
    started_s = time.process_time()
    answer = attempt(target.stage, Reason.BUG, target.call, data)
    spent_s = time.process_time() - started_s
    if not isinstance(answer, Failure):
        return Outcome(number, name, TAKEN, spent_s)
    if answer.reason == Reason.BUG or OUT_OF_MEMORY in answer.detail:
        return Outcome(number, name, FINDING, spent_s, answer.detail)
    return Outcome(number, name, answer.reason, spent_s)


def _work(connection: Connection, seed: int, first: int, end: int) -> None:
    """Send the outcome of each input; an input that takes too long ends this process."""
    warnings.simplefilter("ignore")  # Pillow's, about what is broken
    logging.disable()  # the stack trace of a finding is to be had by --repeat
    for number in range(len(TARGETS)):
        try_input(seed, number)  # what is loaded and cached once is not an input's
    limit_memory(MEMORY_LIMIT_BYTES)
    for number in range(first, end):
        with time_limit(STUCK_S):
            signal.setitimer(signal.ITIMER_PROF, INPUT_LIMIT_S)
            outcome = try_input(seed, number)
            signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(tuple(outcome))


def outcomes(seed: int, count: int, seconds: float) -> Iterator[Outcome]:
    """The outcomes of inputs 0 to `count`, as many as come in the time."""
    FORK.set_forkserver_preload(["rigs.fuzz"])
    end_s = time.monotonic() + seconds
    number = 0
    while number < count and time.monotonic() < end_s:
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_work, args=(theirs, seed, number, count), daemon=True)
        process.start()
        theirs.close()
        try:
            while number < count and time.monotonic() < end_s:
                if ours.poll(POLL_S):
                    yield Outcome(*ours.recv())
                    number += 1
        except EOFError:
            process.join()
            target = input_of(seed, number)[0]
            yield Outcome(number, target, FINDING, INPUT_LIMIT_S, how_ended(process.exitcode))
            number += 1
        finally:
            process.kill()
            process.join()
            ours.close()


def how_ended(code: int | None) -> str:
    if code == -signal.SIGPROF:
        return f"took longer than {INPUT_LIMIT_S:g} s of CPU"
    if code == -signal.SIGALRM:
        return f"did not end in {STUCK_S:g} s"
    if code is not None and code < 0:
        return f"ended the process by {signal.Signals(-code).name}"
    return f"ended the process with exit code {code}"


def save(folder: Path, seed: int, finding: Outcome) -> Path:
    """Write the input, and beside it what happened and how to see it again."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.target}-{seed}-{finding.number}.bin"
    path.write_bytes(input_of(seed, finding.number)[1])
    words = f"{finding.detail}\n\nPYTHONPATH=tests python -m rigs fuzz --repeat={path}\n"
    path.with_suffix(".txt").write_text(words, encoding="utf-8", errors="backslashreplace")
    return path


def repeat(path: Path) -> int:
    """Try one saved input in this process; what is no reason is raised as it is."""
    target = TARGETS.get(path.name.split("-", maxsplit=1)[0])
    if not target or not path.is_file():
        raise CommandError(f"{path}: not a finding, which is named for its target")
    try:
        target.call(path.read_bytes())
    except Rejected as rejected:
        print(rejected)
    else:
        print(TAKEN)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="time to try (%(default)s)")
    parser.add_argument("--inputs", type=int, default=10**9, help="inputs to try, at most")
    parser.add_argument("--seed", type=int, default=1, help="other inputs (%(default)s)")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="try one saved finding again")
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 1 when there are findings."""
    if arguments.repeat:
        return repeat(arguments.repeat)
    console = Console()
    counts: Counter[tuple[str, str]] = Counter()
    slowest = Outcome(0, "", "")
    found = 0
    say_s = time.monotonic() + SAY_EVERY_S
    for one in outcomes(arguments.seed, arguments.inputs, arguments.seconds):
        counts[one.target, one.name] += 1
        slowest = max(slowest, one, key=lambda outcome: outcome.spent_s)
        if one.name == FINDING:
            found += 1
            path = save(arguments.home / "fuzz", arguments.seed, one)
            console.print(f"{path}: {one.detail}", markup=False)
        if time.monotonic() > say_s:
            console.print(f"{counts.total()} inputs, {found} findings")
            say_s = time.monotonic() + SAY_EVERY_S
        if found == MAX_FINDINGS:
            console.print(f"{found} findings are enough for once")
            break
    _print_summary(console, counts)
    console.print(
        f"{counts.total()} inputs of seed {arguments.seed}, {found} findings; the slowest was"
        f" {slowest.target} {slowest.number}: {slowest.spent_s * 1000:.0f} ms of CPU"
    )
    return 1 if found else 0


def _print_summary(console: Console, counts: Counter[tuple[str, str]]) -> None:
    table = Table("input", "outcome", "count")
    for (target, outcome), count in sorted(counts.items()):
        table.add_row(target, outcome, str(count))
    console.print(table)
