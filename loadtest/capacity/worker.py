"""One Dataflow worker: how many items a second of a mix it does, and whether the models fit.

Only a worker's Python processes and their models count against its vCPUs: engine, Pub/Sub,
BigQuery and Cloud Storage are services there. Each draw is one guess at what is not known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from loadtest.capacity.autoscaling import Floats
from loadtest.capacity.calibration import CHAIN, Calibration
from loadtest.capacity.images import Picture, PictureCost, cost_of
from loadtest.capacity.machines import MachineType
from loadtest.capacity.regression import Interval
from loadtest.traffic.kinds import Kind

CORES, ONE = "cores", "one"  # SDK processes a worker, as an environment's `processes`
SYSTEM_BYTES = 1e9  # the worker's own system, Dataflow's harness and the container
MEMORY_SPARE = 1.2  # times what was measured: calls of large pictures, fragments
NORMAL_95 = 1.96
PERCENT = "p95"


class Mix(NamedTuple):
    """The mean item of a profile."""

    item_s: float  # CPU of a worker and its models
    item_by_role_s: Mapping[str, float]
    message_bytes: float
    by_uri_share: float

    @classmethod
    def of(cls, calibration: Calibration, kinds: Sequence[Kind], shares: Sequence[float]) -> Self:
        """Raises ValueError, naming the format, where pictures of it were not measured."""
        costs = [_picture_cost(calibration, kind) for kind in kinds]
        by_role = {
            role: sum(
                share * calibration.roles[role].of_item(role, cost)
                for share, cost in zip(shares, costs, strict=True)
            )
            for role in CHAIN
            if role in calibration.roles
        }
        return cls(
            item_s=sum(by_role.values()),
            item_by_role_s=by_role,
            message_bytes=sum(
                share * _message_bytes(kind, cost)
                for kind, share, cost in zip(kinds, shares, costs, strict=True)
            ),
            by_uri_share=sum(
                share for kind, share in zip(kinds, shares, strict=True) if kind.by_uri
            ),
        )


TEXT_BYTES = 300  # ids, text and JSON around the picture


def _picture_cost(calibration: Calibration, kind: Kind) -> PictureCost:
    """Broken and hostile items without a size count as items without a picture."""
    if not kind.width_px:
        return PictureCost(0.0, 0.0)
    picture = Picture(kind.width_px, kind.height_px, kind.format)
    return cost_of(picture, calibration.pictures)


def _message_bytes(kind: Kind, cost: PictureCost) -> float:
    """Base64 takes four bytes for three."""
    return TEXT_BYTES + (0.0 if kind.by_uri else cost.bytes * 4 / 3)


class Guesses(NamedTuple):
    """What is not known, a value a draw; arrays of one length."""

    dearer: Floats  # times the measured cost
    vcpu_speed: Floats  # of one vCPU, in cores of the calibrated machine
    services_s: Floats  # that Pub/Sub, Dataflow and BigQuery add to every latency
    law: Floats  # times the measured latency law

    @classmethod
    def drawn(
        cls,
        calibration: Calibration,
        *,
        vcpu_speed: Interval,
        services_s: Interval,
        draws: int,
        seed: int,
    ) -> Self:
        """Measured values have normal errors in their logarithm; assumed ones are triangular."""
        chance = np.random.default_rng(seed)
        spread = calibration.latency[PERCENT].spread

        def measured(half_width: float) -> Floats:
            return np.exp(chance.normal(0.0, np.log1p(half_width) / NORMAL_95, draws))

        def assumed(one: Interval) -> Floats:
            if one.low == one.high:
                return np.full(draws, one.mid)
            return chance.triangular(*one, draws)

        return cls(
            dearer=measured(calibration.cost_spread),
            vcpu_speed=assumed(vcpu_speed),
            services_s=assumed(services_s),
            law=measured(spread),
        )


def processes_of(machine: MachineType, calibration: Calibration) -> str | None:
    """`cores` where a process fits for each vCPU, `one` where only one does, None where none."""
    room = machine.memory_gb * 1e9 - SYSTEM_BYTES
    need = calibration.process_bytes * MEMORY_SPARE
    if machine.vcpus * need <= room:
        return CORES
    return ONE if need <= room else None


def worker_rate(
    calibration: Calibration, mix: Mix, machine: MachineType, processes: str, guesses: Guesses
) -> Floats:
    """Items/s of one worker with everything busy, a value a draw.

    The least of all vCPUs together, a process of one core, and a worker that waits
    for its models, as `capacity` has it for the calibrated machine.
    """
    count = machine.vcpus if processes == CORES else 1
    limits = calibration.limits
    idle = calibration.chain_idle_share
    spare = min(limits.machine_share.mid, 1.0) * machine.vcpus - count * idle
    bounds = [spare / mix.item_s]
    bounds += [
        count * (limits.serial_share - calibration.roles[role].idle_share) / item_s
        for role, item_s in mix.item_by_role_s.items()
        if item_s
    ]
    if limits.chain_cores:
        bounds.append(count * (limits.chain_cores - idle) / mix.item_s)
    return max(min(bounds), 1e-6) * guesses.vcpu_speed / guesses.dearer


def lowest_p95_s(calibration: Calibration, services_s: float) -> float:
    """With so many workers that none is busy."""
    return calibration.latency[PERCENT].at(0.0) + services_s
