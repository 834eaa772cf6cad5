"""Dataflow's autoscaling of a streaming job, as far as it is published, for many fleets at once.

Arrays have one entry a fleet. Nothing here is random and nothing is measured: docs/capacity.md says
where each constant comes from, and which are ours.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
ROUNDING = 1e-9  # 3.0000000001 workers are three


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """What makes the number of workers change. Seconds of backlog are at the fleet's full speed."""

    backlogged_s: float = 10.0  # published: less than this, and a fleet may shrink
    idle_share: float = 0.2  # published: with less CPU in use a backlog adds no workers
    clear_s: float = 150.0  # published: a grown fleet is to have no backlog after this
    sustained_s: float = 120.0  # published as "a couple of minutes", up and down
    smoothing_s: float = 60.0  # ours: over which the load is averaged
    start_s: float = 180.0  # ours: until a worker that was asked for works


PUBLISHED = Rules()


@dataclasses.dataclass(kw_only=True)
class Fleets:
    """The state of each fleet; changed in place by `scale`."""

    workers: Floats  # that work
    starting: Floats  # that were asked for, and do not work yet
    ready_s: Floats  # when those will
    load: Floats  # items/s that arrive, smoothed
    high_s: Floats  # for how long more workers have been wanted without a break
    low_s: Floats  # and fewer

    @classmethod
    def of(cls, workers: Floats, load: Floats) -> "Fleets":
        def zeros() -> Floats:
            return np.zeros(len(workers))

        return cls(
            workers=workers.astype(float),
            starting=zeros(),
            ready_s=zeros(),
            load=load.astype(float),
            high_s=zeros(),
            low_s=zeros(),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is set for each fleet, and what one worker of it does."""

    worker_rate: Floats  # items/s at full speed
    least: Floats
    most: Floats
    hint: Floats  # worker_utilization_hint


def wanted_workers(bounds: Bounds, load: Floats, backlog: Floats, rules: Rules) -> Floats:
    """How many keep CPU at the hint; with a backlog, how many clear it in time."""
    steady = load / (bounds.worker_rate * bounds.hint)
    clearing = (load + backlog / rules.clear_s) / bounds.worker_rate
    wanted = np.ceil(np.maximum(steady, np.where(backlog > 0, clearing, 0.0)) - ROUNDING)
    return np.clip(wanted, bounds.least, bounds.most)


def arrive(fleets: Fleets, now_s: float) -> None:
    """Workers whose start is over work from now on."""
    ready = (fleets.starting > 0) & (fleets.ready_s <= now_s)
    fleets.workers += np.where(ready, fleets.starting, 0.0)
    fleets.starting[ready] = 0.0


def scale(
    fleets: Fleets,
    bounds: Bounds,
    *,
    arrived: Floats,
    busy: Floats,
    backlog: Floats,
    now_s: float,
    step_s: float,
    rules: Rules = PUBLISHED,
) -> None:
    """Decide after one step. `arrived` in items/s, `busy` the share of CPU in use, `backlog` items.

    A fleet that waits for workers decides nothing until they work. Fewer workers are fewer at once.
    """
    fleets.load += (arrived - fleets.load) * -np.expm1(-step_s / rules.smoothing_s)
    backlogged = backlog > rules.backlogged_s * bounds.worker_rate * fleets.workers
    held = np.where(backlogged, backlog, 0.0)
    wanted = wanted_workers(bounds, fleets.load, held, rules)
    settled = fleets.starting == 0
    up = settled & (wanted > fleets.workers) & (busy > rules.idle_share)
    down = settled & (wanted < fleets.workers) & ~backlogged & (busy < bounds.hint)
    fleets.high_s = np.where(up, fleets.high_s + step_s, 0.0)
    fleets.low_s = np.where(down, fleets.low_s + step_s, 0.0)

    grows: Flags = fleets.high_s >= rules.sustained_s
    fleets.starting = np.where(grows, wanted - fleets.workers, fleets.starting)
    fleets.ready_s = np.where(grows, now_s + rules.start_s, fleets.ready_s)
    shrinks: Flags = fleets.low_s >= rules.sustained_s
    fleets.workers = np.where(shrinks, wanted, fleets.workers)
    fleets.high_s[grows] = 0.0
    fleets.low_s[shrinks] = 0.0
