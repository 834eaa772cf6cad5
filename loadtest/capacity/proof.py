"""The proof of a calibration: runs that it has not seen, predicted and then measured.

Two processes instead of one, and another size of picture: throughput must be within 15 % of
what was predicted, the 95th percentile of latency (the middle one of three runs) within 30 %.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from loadtest.capacity.bench import Bench
from loadtest.capacity.calibration import Calibration, predict
from loadtest.capacity.images import Picture
from loadtest.capacity.regression import Interval
from loadtest.records import Amount, Bound, Positive

WITHIN_THROUGHPUT, WITHIN_P95 = 0.15, 0.30
CALM_RUNS = 3  # of which the middle p95 counts: one disturbance is most of a run's slowest items
UTILISATION = 0.5  # of the predicted throughput: there the latency is taken
RUNS = 1 + CALM_RUNS  # of each configuration


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One predicted value with its interval, and what was measured then."""

    predicted: Amount
    low: Bound
    high: Bound
    measured: Amount
    error: float  # of the prediction, as a share of what was measured
    within: Positive  # what the error may be
    rate: Amount | None = None  # at which it was measured; None: the highest
    runs: Sequence[float] = ()  # of which `measured` is the middle one

    @property
    def holds(self) -> bool:
        return abs(self.error) <= self.within


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration."""

    what: str
    throughput: Figure
    p95_s: Figure
    bottleneck: str = ""  # predicted
    saturated: str = ""  # measured

    @property
    def figures(self) -> Sequence[Figure]:
        return self.throughput, self.p95_s


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proof:
    """What proof.json holds."""

    calibrated_on: str
    rows: Sequence[Row]
    made_at: str = ""

    @property
    def holds(self) -> bool:
        return all(figure.holds for row in self.rows for figure in row.figures)


def figure(
    predicted: Interval,
    measured: float,
    within: float,
    *,
    rate: float | None = None,
    runs: Sequence[float] = (),
) -> Figure:
    return Figure(
        predicted=predicted.mid,
        low=predicted.low,
        high=predicted.high,
        measured=measured,
        error=predicted.mid / measured - 1,
        within=within,
        rate=rate,
        runs=runs,
    )


def prove(made: Calibration, picture: Picture, bench: Bench) -> Row:
    """Predict what the bench's processes do with a picture, then measure it.

    Raises MeasuringError.
    """
    processes = bench.rig.processes
    what = f"{processes} process{'es' * (processes > 1)}, {picture.name}"
    most = predict(made, processes=processes, cores=made.cores, picture=picture)
    rate = UTILISATION * most.throughput
    calm = predict(made, processes=processes, cores=made.cores, picture=picture, rate=rate)
    bench.report(
        f"{what}: {most.throughput:.0f}/s predicted ({most.low:.0f}-{most.high:.0f}), held by "
        f"{most.bottleneck}; p95 {calm.latency['p95'].mid:.2f} s at {rate:.0f}/s"
    )
    name = what.replace(", ", "-").replace(" ", "-")
    done = bench.most(picture, most.throughput, f"{name}-most")
    p95_s = [
        bench.measure(picture, rate, f"{name}-calm-{turn}").latency.p95_s
        for turn in range(1, CALM_RUNS + 1)
    ]
    return Row(
        what=what,
        bottleneck=most.bottleneck,
        saturated=done.saturated,
        throughput=figure(
            Interval(most.low, most.throughput, most.high), done.throughput, WITHIN_THROUGHPUT
        ),
        p95_s=figure(
            calm.latency["p95"], statistics.median(p95_s), WITHIN_P95, rate=rate, runs=p95_s
        ),
    )
