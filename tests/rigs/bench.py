"""`make bench`: what the graph costs beside its kernels, in files and streaming mode.

Three ways to score the same messages take turns over a few rounds: a plain
loop, the graph over files, the graph on the local stack. Each runs in a process
of its own. Compare the ratios: the speeds are this machine's, at this hour.
"""

import argparse
import base64
import json
import logging
import statistics
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.manifest import ReleaseError
from models.release import read_pointer
from models.training.samples import draw_listings
from rigs.costs import Cost, Wanted, cost_of_process
from testudo.commands.environments import add_home_argument
from testudo.commands.progress import tracked
from testudo.errors import CommandError
from testudo.messages import TENANTS

WIDTH_PX, HEIGHT_PX = 640, 480
SEED = 7
FEW = 128  # items that pay for what happens once

STACK_LOG = logging.getLogger(__name__)
LOOP, FILES, STREAMING = "loop", "files", "streaming"

EXPLANATION = f"""\
Pictures of {WIDTH_PX}x{HEIGHT_PX} pixels, inline; one thread a library; median (least-most).

Imports, model loads and the making of the graph count nowhere. Loop and files: a run of \
{FEW} + {{items}} items less one of {FEW}, in a process that has run {FEW} before. Streaming: \
a backlog of {{items}} items, in a job that has scored as many before, until every row is in \
BigQuery and in the archive; its items/s go from the first row to the last.

CPU is that of the Python process that scores, and in the second column of Prism too. The \
Pub/Sub emulator and the stand-ins never count, but share the cores with what is measured."""


def draw_messages(target: Path, count: int) -> None:
    """Write messages with image and text, a line each; a file that exists is used again."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    listings = draw_listings(count, seed=SEED, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    partial = target.with_suffix(".partial")
    bar = tracked(listings, "Drawing messages", total=count)
    with partial.open("wb") as file, bar as drawn:
        for index, listing in enumerate(drawn):
            fields = {
                "item_id": listing.item_id,
                "tenant_id": TENANTS[index % len(TENANTS)],
                "text": listing.text,
                "image": base64.b64encode(listing.image_jpeg).decode(),
            }
            file.write(json.dumps(fields).encode() + b"\n")
    partial.rename(target)


def streaming_cost(home: Path, wanted: Wanted) -> Cost:
    """On a fresh stack: the Pub/Sub emulator does not forget what it has had."""
    # Imported here: Google's clients cost seconds, and `--help` needs none of them.
    from loadtest.stack import own_stack
    from rigs.streaming import cost_of_streaming

    with own_stack(home, STACK_LOG.info) as stack:
        return cost_of_streaming(stack, wanted)


def measure(
    home: Path, wanted: Wanted, rounds: int, say: Callable[[str], None]
) -> dict[str, list[Cost]]:
    """The costs of each way, in turns. Raises Failed."""
    ways: dict[str, Callable[[], Cost]] = {
        LOOP: lambda: cost_of_process("rigs.loop", wanted),
        FILES: lambda: cost_of_process("rigs.files", wanted),
        STREAMING: lambda: streaming_cost(home, wanted),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            cost = way()
            costs[name].append(cost)
            say(f"round {number + 1} of {rounds}, {name}: {cost.items_per_cpu_s:.0f} items a CPU-s")
    return costs


def figures(costs: dict[str, list[Cost]]) -> dict[str, dict[str, list[float]]]:
    """Every number of the table, a value a round; ratios are to the loop of the same round."""
    return {
        name: {
            "items_per_cpu_s": [one.items_per_cpu_s for one in its],
            "items_per_cpu_s_with_engine": [one.items_per_all_cpu_s for one in its],
            "items_per_s": [one.items_per_s for one in its],
            "ratio_to_loop": [
                one.items_per_cpu_s / loop.items_per_cpu_s
                for one, loop in zip(its, costs[LOOP], strict=True)
            ],
            "peak_mb": [one.peak_bytes / 1e6 for one in its],
        }
        for name, its in costs.items()
    }


def as_table(numbers: dict[str, dict[str, list[float]]]) -> Table:
    headings = (
        "items per\nCPU-s",
        "Prism's\nincluded",
        "items\nper s",
        "ratio\nto loop",
        "peak\nMB",
    )
    table = Table("", *headings)
    for name, columns in numbers.items():
        cells = [
            f"{statistics.median(some):.{digits}f}\n({min(some):.{digits}f}-{max(some):.{digits}f})"
            for some, digits in zip(columns.values(), (0, 0, 0, 2, 0), strict=True)
        ]
        table.add_row(name, *cells)
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, default=1000, help="items a run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (%(default)s)")
    parser.add_argument(
        "--releases",
        default=".testudo/releases",
        help="folder of the releases; the one in use is measured (%(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="save every number as JSON")
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    if arguments.items < 1 or arguments.rounds < 1:
        raise CommandError("--items and --rounds must be 1 or more")
    try:
        release = read_pointer(arguments.releases).default
    except ReleaseError as error:
        raise CommandError(f"{error}\nTrain a release first: `testudo train`.") from error
    console = Console()
    count = FEW + arguments.items
    messages = arguments.home / "bench" / f"messages-{SEED}-{count}.jsonl"
    draw_messages(messages, count)
    wanted = Wanted(messages, arguments.releases, arguments.items, FEW)
    costs = measure(arguments.home, wanted, arguments.rounds, console.print)
    numbers = figures(costs)
    join_bytes = costs[LOOP][0].join_bytes
    console.print(as_table(numbers))
    console.print(f"Through the join: {join_bytes:.0f} bytes an item (both halves, encoded).")
    console.print(EXPLANATION.format(items=arguments.items))
    if arguments.output:
        saved = {
            "release": release,
            "items": arguments.items,
            "rounds": arguments.rounds,
            "join_bytes_per_item": join_bytes,
            "ways": numbers,
        }
        arguments.output.write_text(json.dumps(saved, indent=2) + "\n")
    return 0
