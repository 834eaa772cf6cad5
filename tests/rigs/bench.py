"""`make bench`: what the pipeline costs, and what of it is the engine's or would be saved.

The same messages are scored by a plain loop, by the graph over files, and by three jobs on the
local stack: the graph, the same graph with stages that do nothing, and a pipeline as the public
examples of Beam write it. The jobs run in two shapes: bundles of a hundred, as the laptop's
engine makes them, and many bundles at once of one or two, as Dataflow may. Each run has a
process of its own. Compare the ratios: the speeds are this machine's, at this hour.
"""

import argparse
import base64
import json
import logging
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from models.manifest import ReleaseError
from models.release import read_pointer
from models.training.samples import draw_listings
from rigs.costs import Cost, Wanted, cost_of_process
from testudo.commands.environments import add_home_argument
from testudo.commands.progress import tracked
from testudo.errors import CommandError
from testudo.local.jobs import BUNDLES, DATAFLOW, LAPTOP
from testudo.messages import TENANTS

WIDTH_PX, HEIGHT_PX = 640, 480
SEED = 7
FEW = 64  # items that pay for what happens once

STACK_LOG = logging.getLogger(__name__)
LOOP, FILES, TESTUDO, NULL, IDIOMATIC = "loop", "files", "testudo", "null", "idiomatic"
ALONE, STREAMS = (LOOP, FILES), (TESTUDO, NULL, IDIOMATIC)
SHAPES = {LAPTOP: "100", DATAFLOW: "1-2"}
STAGES = ("image", "text", "score")

EXAMPLE = """\
For example, the graph beside the engine's own cost, where bundles are small:
  python -m rigs bench --ways testudo,null --shapes dataflow --items 300 --output bench.json
"""
EXPLANATION = f"""\
Pictures of {WIDTH_PX}x{HEIGHT_PX} pixels, inline; one thread a library; medians.

CPU is that of the Python process that scores and of its models' processes; the engine's is \
Prism's. Imports, model loads and the making of the graph count nowhere. Loop and files: a run of \
{FEW} + {{items}} items less one of {FEW}. Streams: {{items}} items at once to a job that has \
scored {FEW}; items/s go from then to the last row.

Between a stream's job and Cloud Storage and BigQuery stands a proxy: an object takes {{object}} \
ms there, a request with rows {{append}} ms, and both are counted. Batches are counted in the \
processes of the models. "null" has the graph's edges with stages that do nothing. "idiomatic" \
decodes pictures whole, brings arrays through the shuffle and runs TensorFlow in the worker; it \
keeps no payloads, and one bad message would stop it. The Pub/Sub emulator and the stand-ins \
never count, but share the cores with what is measured."""


class Run(NamedTuple):
    """A way to score, and how bundles are made, which loop and files leave open."""

    way: str
    bundles: str = ""

    def __str__(self) -> str:
        return f"{self.way}, {SHAPES[self.bundles]}" if self.bundles else self.way


def runs_of(ways: Sequence[str], shapes: Sequence[str]) -> list[Run]:
    """In the order in which they are measured and shown."""
    alone = [Run(way) for way in ALONE if way in ways]
    return alone + [
        Run(way, shape) for shape in BUNDLES if shape in shapes for way in STREAMS if way in ways
    ]


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


def measure(
    home: Path, wanted: Wanted, runs: Sequence[Run], rounds: int, say: Callable[[str], None]
) -> dict[Run, list[Cost]]:
    """The costs of each run, in turns. Raises Failed."""
    costs: dict[Run, list[Cost]] = {run: [] for run in runs}
    with ExitStack() as exits:
        stream = _stream(home, wanted, exits) if any(run.bundles for run in runs) else None
        for number in range(rounds):
            for place, run in enumerate(runs, number * len(runs) + 1):
                if stream and run.bundles:
                    cost = stream(run)
                else:
                    cost = cost_of_process(f"rigs.{run.way}", wanted)
                costs[run].append(cost)
                rate = f"{cost.items_per_s:.0f} items/s, {cost.cpu_ms:.1f} ms of CPU an item"
                say(f"{place} of {rounds * len(runs)}, {run}: {rate}")
    return costs


def _stream(home: Path, wanted: Wanted, exits: ExitStack) -> Callable[[Run], Cost]:
    """A stack for all streams, and what measures one on it."""
    # Imported here: Google's clients cost seconds, and `--help` needs none of them.
    from loadtest.stack import own_stack
    from rigs.streaming import cost_of_streaming

    stack = exits.enter_context(own_stack(home, STACK_LOG.info))
    return lambda run: cost_of_streaming(stack, wanted, run.way, run.bundles)


def figures(costs: Mapping[Run, Sequence[Cost]]) -> list[dict[str, Any]]:
    """Every number, a value a round; compared is with the loop and null graph of the same round."""
    return [
        {
            "way": run.way,
            "bundles": run.bundles,
            "items_per_s": [one.items_per_s for one in its],
            "cpu_ms_per_item": [one.cpu_ms for one in its],
            "cpu_ms_beyond_null": [
                one.cpu_ms - null.cpu_ms
                for one, null in _beside(its, costs.get(Run(NULL, run.bundles), ()))
            ],
            "engine_cpu_ms_per_item": [one.engine_cpu_ms for one in its],
            "items_per_cpu_s": [one.items_per_cpu_s for one in its],
            "ratio_to_loop": [
                loop.cpu_ms / one.cpu_ms for one, loop in _beside(its, costs.get(Run(LOOP), ()))
            ],
            **{
                f"{stage}_batch": [one.batches[stage] for one in its if stage in one.batches]
                for stage in STAGES
            },
            "objects_per_1000": [1000 * one.objects / one.items for one in its if run.bundles],
            "appends_per_1000": [1000 * one.appends / one.items for one in its if run.bundles],
            "peak_mb": [one.peak_bytes / 1e6 for one in its],
        }
        for run, its in costs.items()
    ]


def _beside(its: Sequence[Cost], others: Sequence[Cost]) -> Iterator[tuple[Cost, Cost]]:
    """By rounds; nothing where the others were not measured."""
    return zip(its, others, strict=bool(others))


# Of the table: a heading, the figures below it, and their digits.
COLUMNS: Sequence[tuple[str, Sequence[str], int]] = (
    ("items\n/s", ["items_per_s"], 0),
    ("CPU ms\nan item", ["cpu_ms_per_item"], 1),
    ("beyond\nnull", ["cpu_ms_beyond_null"], 1),
    ("Prism\nms", ["engine_cpu_ms_per_item"], 1),
    ("to\nloop", ["ratio_to_loop"], 2),
    ("batch: image,\n  text, score", [f"{stage}_batch" for stage in STAGES], 1),
    ("objects\na 1,000", ["objects_per_1000"], 0),
    ("appends\na 1,000", ["appends_per_1000"], 0),
)


def as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Medians; with more than one round the least and the most below."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)  # within 80 columns
    table.add_column("way,\nbundles of", no_wrap=True)
    for heading, _, _ in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = [_cell([row[name] for name in names], digits) for _, names, digits in COLUMNS]
        table.add_row(str(Run(row["way"], row["bundles"])), *cells)
    return table


def _cell(figures: Sequence[Sequence[float]], digits: int) -> str:
    """One figure, or several beside each other."""
    if not any(map(any, figures)):
        return "-"
    lines = [[f"{statistics.median(values):.{digits}f}" for values in figures]]
    if len(figures) == 1 and len(figures[0]) > 1:
        lines.append([f"{min(figures[0]):.{digits}f}-{max(figures[0]):.{digits}f}"])
    return "\n".join(" ".join(line) for line in lines)


def chosen(text: str, known: Sequence[str]) -> list[str]:
    """Names by commas. Raises CommandError for one that is not known."""
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise CommandError(f"{', '.join(unknown)}: must be of {', '.join(known)}")
    return names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLE
    ways = ",".join((*ALONE, *STREAMS))
    parser.add_argument("--ways", default=ways, help="by commas (%(default)s)")
    parser.add_argument(
        "--shapes",
        default=",".join(BUNDLES),
        help=f"of the streams' bundles, by commas: {LAPTOP} (a hundred), {DATAFLOW} (many at once "
        "of one or two) (%(default)s)",
    )
    parser.add_argument("--items", type=int, default=600, help="items a run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each run (%(default)s)")
    parser.add_argument(
        "--releases",
        default=".testudo/releases",
        help="folder of the releases; the one in use is measured (%(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="save every number as JSON")
    add_home_argument(parser)


def main(arguments: argparse.Namespace) -> int:
    runs = runs_of(
        chosen(arguments.ways, (*ALONE, *STREAMS)), chosen(arguments.shapes, list(BUNDLES))
    )
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
    costs = measure(arguments.home, wanted, runs, arguments.rounds, console.print)
    rows = figures(costs)
    console.print(as_table(rows))
    for line in _notes(costs, arguments.items):
        console.print(line, markup=False, highlight=False)
    if arguments.output:
        saved = {"release": release, "items": arguments.items, "rounds": arguments.rounds}
        saved |= {"join_bytes_per_item": _join_bytes(costs), "runs": rows}
        arguments.output.write_text(json.dumps(saved, indent=2) + "\n")
    return 0


def _join_bytes(costs: Mapping[Run, Sequence[Cost]]) -> float:
    return next((its[0].join_bytes for run, its in costs.items() if run.way == LOOP), 0.0)


def _notes(costs: Mapping[Run, Sequence[Cost]], items: int) -> Iterator[str]:
    from rigs.slow_services import APPEND_S, OBJECT_S

    if join_bytes := _join_bytes(costs):
        yield f"Through the join: {join_bytes:.0f} bytes an item (both halves, encoded)."
    yield EXPLANATION.format(
        items=items, object=f"{1e3 * OBJECT_S:g}", append=f"{1e3 * APPEND_S:g}"
    )
