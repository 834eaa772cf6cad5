"""`testudo loadtest prove`: runs that the calibration has not seen, predicted and then measured.

Two processes instead of one, and another size of picture: throughput must be within 15 % of
what was predicted, the 95th percentile of latency (the middle one of three runs) within 30 %.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from loadtest.capacity.calibration import BadCalibration, Calibration, predict
from loadtest.capacity.images import Picture
from loadtest.capacity.regression import Interval
from loadtest.commands.calibrate import FILE
from loadtest.commands.steady import add_run_arguments, check_run_arguments, reporter, running_bench
from loadtest.processes import MeasuringError
from testudo.errors import CommandError
from testudo.local.missing import ToolsMissing
from testudo.local.processes import StackError

PROOF = "proof.json"
WITHIN_THROUGHPUT, WITHIN_P95 = 0.15, 0.30
FIGURES = {"throughput": "items/s", "p95_s": "p95, s"}
CALM_RUNS = 3  # of which the middle p95 counts: one disturbance is most of a run's slowest items
UTILISATION = 0.5  # of the predicted throughput: there the latency is taken


class Unseen(NamedTuple):
    """A configuration that no run of the calibration had."""

    processes: int
    picture: Picture

    @property
    def what(self) -> str:
        return f"{self.processes} process{'es'[: 2 * (self.processes > 1)]}, {self.picture.name}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibration",
        type=Path,
        default=Path(".testudo/loadtest/calibration") / FILE,
        help="file to predict from (%(default)s)",
    )
    parser.add_argument(
        "--picture",
        default="960x720 JPEG",
        metavar="SIZE",
        help="that was not calibrated on (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".testudo/loadtest/proof"),
        help="folder of proof.json and of the runs (%(default)s)",
    )
    add_run_arguments(parser)


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when every figure is within its limit, 1 when not."""
    check_run_arguments(arguments)
    try:
        picture = Picture.named(arguments.picture)
        made = Calibration.load(arguments.calibration)
    except (ValueError, BadCalibration) as error:
        raise CommandError(f"--picture or --calibration: {error}") from error
    console = Console(stderr=True)
    unseen = [Unseen(2, Picture.named(made.reference)), Unseen(1, picture)]
    try:
        rows = [_row(made, one, arguments, console) for one in unseen]
    except (MeasuringError, StackError, ToolsMissing) as error:
        raise CommandError(str(error)) from error
    proof = {"calibrated_on": made.machine, "made_at": made.made_at, "rows": rows}
    (arguments.out / PROOF).write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    Console().print(as_table(rows))
    return 0 if all(_holds(row) for row in rows) else 1


def _row(
    made: Calibration, one: Unseen, arguments: argparse.Namespace, console: Console
) -> dict[str, Any]:
    """Predict, then measure. Raises MeasuringError, StackError or ToolsMissing."""
    report = reporter(console)
    most = predict(made, processes=one.processes, cores=made.cores, picture=one.picture)
    rate = UTILISATION * most.throughput
    calm = predict(made, processes=one.processes, cores=made.cores, picture=one.picture, rate=rate)
    report(
        f"{one.what}: {most.throughput:.0f}/s predicted ({most.low:.0f}-{most.high:.0f}), held by "
        f"{most.bottleneck}; p95 {calm.latency['p95'].mid:.2f} s at {rate:.0f}/s"
    )
    name = one.what.replace(", ", "-").replace(" ", "-")
    with running_bench(arguments, report, processes=one.processes) as bench:
        done = bench.most(one.picture, most.throughput, f"{name}-most")
        steady = [
            bench.measure(one.picture, rate, f"{name}-calm-{turn}")
            for turn in range(1, CALM_RUNS + 1)
        ]
    p95_s = [run.latency.p95_s for run in steady]
    return {
        "what": one.what,
        "bottleneck": most.bottleneck,
        "throughput": _held(Interval(most.low, most.throughput, most.high), done.throughput)
        | {"within": WITHIN_THROUGHPUT, "saturated": done.saturated},
        "p95_s": _held(calm.latency["p95"], statistics.median(p95_s))
        | {"within": WITHIN_P95, "rate": rate, "runs": p95_s},
    }


def _held(predicted: Interval, measured: float) -> dict[str, float]:
    return {
        "predicted": predicted.mid,
        "low": predicted.low,
        "high": predicted.high,
        "measured": measured,
        "error": predicted.mid / measured - 1,
    }


def _holds(row: Mapping[str, Any]) -> bool:
    return all(abs(row[one]["error"]) <= row[one]["within"] for one in FIGURES)


def as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Predicted against measured."""
    table = Table(title="Predicted, then measured", title_justify="left")
    for heading in ("what", "figure", "predicted", "95 % interval", "measured", "error", "limit"):
        table.add_column(heading, justify="left" if heading in ("what", "figure") else "right")
    for row in rows:
        for name, heading in FIGURES.items():
            one = row[name]
            table.add_row(
                row["what"],
                heading + (f" at {one['rate']:.0f}/s" if "rate" in one else ""),
                f"{one['predicted']:.3g}",
                f"{one['low']:.3g}-{one['high']:.3g}",
                f"{one['measured']:.3g}",
                f"{one['error']:+.0%}",
                f"{one['within']:.0%}",
            )
    return table
