"""From measured runs to a calibration. Pure: nothing is run or timed here.

Give runs of one process at several rates, the highest of them above what it can do, and
of more than one size of picture where there are such.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from loadtest.capacity.calibration import (
    CHAIN,
    PERCENTS,
    SERIAL,
    BadCalibration,
    Calibration,
    LatencyLaw,
    Limits,
    RoleCost,
    capacity,
    work_of,
)
from loadtest.capacity.images import PictureCost
from loadtest.capacity.regression import Interval, fit_shares, spread_of
from loadtest.capacity.runs import FULL_MACHINE, LEAST_RUNS, Run, checked_runs
from loadtest.results import Result
from testudo.local.jobs import LAPTOP

FULL_CORE = 0.9
# Where no run filled the machine: what Linux gives to the processes that want it.
ASSUMED_MACHINE = Interval(0.85, 0.95, 1.0)
ASSUMED_SERIAL = 0.95
STEADY = 0.95  # of the capacity: above, a run of some seconds does not reach its latency


def calibrate(
    results: Sequence[Result],
    pictures: Mapping[str, PictureCost],
    *,
    release: str,
    machine: str,
    bundles: str = LAPTOP,
    start_s: float = 0.0,
) -> Calibration:
    """Costs, limits and the latency law. `pictures` is of `kernel_costs`.

    Raises BadCalibration with everything that is wrong with the runs.
    """
    runs = checked_runs(results, pictures)
    roles = {role: _role(role, runs, pictures) for role in sorted(_roles(runs))}
    limits, notes = _limits(runs, roles, pictures)
    modelled = [
        sum(_used_s(cost, role, run, pictures[run.picture.name]) for role, cost in roles.items())
        for run in runs
    ]
    spent = [sum(run.cpu_s.values()) for run in runs]
    of_sizes = Counter(run.picture.name for run in runs)
    made = Calibration(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        cores=results[0].settings.cores,
        release=release,
        provisional=False,
        runs=len(runs),
        rates=(min(run.offered for run in runs), max(run.offered for run in runs)),
        reference=of_sizes.most_common(1)[0][0],
        pictures=dict(pictures),
        roles=roles,
        cost_spread=spread_of(modelled, spent, used=2),
        limits=limits,
        latency={},
        worker_bytes=_largest_bytes(results, ("worker",)),
        models_bytes=_largest_bytes(results, CHAIN[1:]),
        start_s=start_s,
        notes=tuple(notes),
        bundles=bundles,
    )
    return _with_latency(made, runs)


def _roles(runs: Sequence[Run]) -> set[str]:
    return {role for run in runs for role in run.cpu_s}


def _role(role: str, runs: Sequence[Run], pictures: Mapping[str, PictureCost]) -> RoleCost:
    """By least squares; what grows with the picture only where there are runs of two sizes."""
    cpu_s = [max(run.cpu_s.get(role, 0.0), 0.01) for run in runs]  # a clock's tick
    seconds = [run.seconds for run in runs]
    items = [float(run.messages) for run in runs]
    works = [work_of(role, pictures[run.picture.name]) for run in runs]
    if len(set(works)) > 1:
        columns = [seconds, items, [n * work for n, work in zip(items, works, strict=True)]]
        if len(runs) > len(columns):
            (idle, item_s, factor), spread = fit_shares(columns, cpu_s)
            return RoleCost(idle, item_s, factor, spread)
    (idle, whole_s), spread = fit_shares([seconds, items], cpu_s)
    if role != "image-models":
        return RoleCost(idle, whole_s, 0.0, spread)
    factor = min(1.0, whole_s / works[0])  # timed alone, it can only be as dear as all of it
    return RoleCost(idle, whole_s - factor * works[0], factor, spread)


def _used_s(cost: RoleCost, role: str, run: Run, picture: PictureCost) -> float:
    """CPU seconds of a run in a role, by the fit."""
    return cost.idle_share * run.seconds + cost.of_item(role, picture) * run.messages


def _limits(
    runs: Sequence[Run], roles: Mapping[str, RoleCost], pictures: Mapping[str, PictureCost]
) -> tuple[Limits, list[str]]:
    """What held the limited runs back: all cores, one process at its core, or neither.

    Serial shares are those of the fitted costs, so that the run with the highest throughput is
    predicted as it was measured, whatever else the machine did meanwhile.
    """
    limited = [run for run in runs if run.limited]
    best = max(limited or runs, key=_throughput)
    picture = pictures[best.picture.name]
    spent_s = sum(best.cpu_s.values())
    items_s = sum(cost.of_item(role, picture) for role, cost in roles.items())
    overload_item_s = max(spent_s / best.messages - items_s, 0.0)
    machine, serial, chain = ASSUMED_MACHINE, ASSUMED_SERIAL, 0.0
    if not limited:
        note = "no run was at its limit: shares of cores are assumed, and capacities uncertain"
        return Limits(machine, overload_item_s, serial, chain), [note]
    modelled = {role: _used_s(cost, role, best, picture) for role, cost in roles.items()}
    cores = best.result.settings.cores
    busiest = max(SERIAL, key=lambda role: best.cores([role]))
    if best.busy_cores >= FULL_MACHINE * cores:
        share = spent_s / best.seconds / cores
        machine = Interval(0.97 * share, share, 1.03 * share)
    elif best.cores([busiest]) >= FULL_CORE:
        serial = max(modelled[busiest] / best.seconds, ASSUMED_SERIAL)
    else:
        chain = sum(modelled.get(role, 0.0) for role in CHAIN) / best.seconds
    return Limits(machine, overload_item_s, serial, chain), []


def _throughput(run: Run) -> float:
    return run.throughput


def _largest_bytes(results: Sequence[Result], roles: Sequence[str]) -> int:
    """Of each role the largest of any run, summed over the roles."""
    return sum(
        max(
            (
                use.peak_bytes
                for result in results
                for name, use in result.processes.items()
                if name == role or name.startswith(f"{role}-")
            ),
            default=0,
        )
        for role in roles
    )


def _with_latency(made: Calibration, runs: Sequence[Run]) -> Calibration:
    """The law of each percentile, over the runs that were not at their limit."""
    points = []
    for run in runs:
        most, _ = capacity(made, processes=1, cores=made.cores, picture=run.picture)
        if run.offered < STEADY * most and not run.limited and run.result.valid:
            points.append((run.offered / most, run.result.latency))
    if len(points) < LEAST_RUNS - 1:
        raise BadCalibration(
            f"{len(points)} runs were below their limit; {LEAST_RUNS - 1} are needed for latencies"
        )
    grows = [1 / (1 - utilisation) for utilisation, _ in points]
    laws = {}
    for name in PERCENTS:
        measured = [getattr(latency, f"{name}_s") for _, latency in points]
        (floor_s, slope_s), spread = fit_shares([[1.0] * len(points), grows], measured)
        laws[name] = LatencyLaw(floor_s, slope_s, spread)
    return replace(made, latency=laws)
