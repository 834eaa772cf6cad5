"""`testudo loadtest plan`: which limits to set for a number of customers, and what that costs."""

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from loadtest.capacity.calibration import Calibration
from loadtest.capacity.machines import UnknownMachine, machine_type
from loadtest.capacity.plan import Plan
from loadtest.capacity.planning import make_plan
from loadtest.capacity.regression import Interval
from loadtest.capacity.trials import Question
from loadtest.capacity.worker import Mix, lowest_p95_s
from loadtest.commands.flags import OUT, Flags
from loadtest.records import BadRecord
from loadtest.report.terminal import not_held, show_plan
from loadtest.traffic.profile import BadProfile, Profile, read_profile
from testudo.cloud.prices import read_prices
from testudo.environment import Environment
from testudo.environment_file import FORMS
from testudo.errors import CommandError
from testudo.local.jobs import DATAFLOW, LAPTOP

EXAMPLE = "testudo loadtest plan --customers 2000 --slo_p95 5"
CALIBRATION = "calibration.json"
MACHINES = "n2-standard-2,n2-standard-4,n2-standard-8"
# Assumed, not measured: docs/capacity.md says why these.
VCPU_SPEED, SERVICES_S = "0.7,1.0,1.2", "0.5,1.0,3.0"
WORK = ("every candidate", "the best")  # as `size` reports it
MOST_CUSTOMERS, MOST_DAYS = 1_000_000, 92


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--customers", type=int, required=True, metavar="N", help="how many customers"
    )
    parser.add_argument(
        "--profile", default="marketplace", help="what they send: a name or file (%(default)s)"
    )
    parser.add_argument(
        "--slo_p95", type=float, default=10.0, metavar="S", help="goal of p95, s (%(default)g)"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=f"of `testudo loadtest calibrate`; without it the newest {CALIBRATION} under "
        f"{OUT} of each kind of bundles, those like Dataflow's first, or the one that comes "
        "along. Limits are those of the first, the others show the range",
    )
    parser.add_argument(
        "--days", type=float, default=30, help="how long is simulated (%(default)g)"
    )
    parser.add_argument(
        "--region", default=Environment.region, help="whose prices are used (%(default)s)"
    )
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="a list like templates/prices.json"
    )
    parser.add_argument(
        "--machine_types", default=MACHINES, help="to choose from, by commas (%(default)s)"
    )
    parser.add_argument(
        "--vcpu_speed",
        default=VCPU_SPEED,
        metavar="L,M,H",
        help="a vCPU's speed in cores of the calibrated machine: least, likely, most (%(default)s)",
    )
    parser.add_argument(
        "--services_s",
        default=SERVICES_S,
        metavar="L,M,H",
        help="what Google's services add to a latency: least, likely, most (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of everything that is drawn (%(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT / "plan" / "plan.toml",
        metavar="FILE.toml",
        help="for `testudo launch --plan`; the whole plan lies beside it as .json (%(default)s)",
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="printed (%(default)s)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when the chosen limits hold the goal, 1 when none were found that do."""
    questions, profile = _questions(arguments)
    errors = Console(stderr=True)
    try:
        with Progress(console=errors, transient=True) as progress:
            tasks = {work: progress.add_task(f"Simulating {work}") for work in WORK}

            def report(what: str, done: float) -> None:
                progress.update(tasks[what], completed=100 * done)

            plan = make_plan(
                questions[0],
                profile,
                arguments.customers,
                days=arguments.days,
                region=arguments.region,
                others=questions[1:],
                report=report,
            )
    except ValueError as error:
        raise CommandError(f"--machine_types: {error}") from error
    _save(plan, arguments.out)
    if arguments.format == "json":
        print(plan.to_json())
    else:
        show_plan(plan, questions[0].prices, arguments.out, Console())
    if not plan.chosen.feasible:
        print(not_held(plan), file=sys.stderr)
    return 0 if plan.chosen.feasible else 1


def _questions(arguments: argparse.Namespace) -> tuple[list[Question], Profile]:
    """One a calibration. Raises CommandError with everything that is wrong with the flags."""
    flags = Flags(arguments)
    flags.within(1, MOST_CUSTOMERS, "customers")
    flags.within(1, MOST_DAYS, "days")
    flags.above_0("slo_p95")
    flags.at_least(0, "seed")
    if not FORMS["region"].fullmatch(arguments.region):
        flags.problems.append(f"--region: {arguments.region!r} is no region, as europe-west1")
    if arguments.out.suffix != ".toml":
        flags.problems.append(f"--out: {arguments.out} must end in .toml")
    profile = flags.read("profile", lambda: read_profile(arguments.profile), BadProfile)
    calibrations = flags.read(
        "calibration", lambda: read_calibrations(arguments.calibration), BadRecord
    )
    prices = flags.read(
        "prices", lambda: read_prices(arguments.region, arguments.prices), CommandError
    )
    machines = [
        flags.read("machine_types", partial(machine_type, name.strip()), UnknownMachine)
        for name in arguments.machine_types.split(",")
    ]
    speed = flags.read("vcpu_speed", lambda: _interval(arguments.vcpu_speed), ValueError)
    services_s = flags.read("services_s", lambda: _interval(arguments.services_s), ValueError)
    if profile and arguments.customers < (least := _least_customers(profile)):
        flags.problems.append(
            f"--customers: profile {profile.name} needs {least} or more: one goes wild"
        )
    if profile and calibrations:
        mixes = flags.read(
            "calibration", lambda: [_mix(made, profile) for made in calibrations], ValueError
        )
        if services_s and arguments.slo_p95 > 0:
            flags.problems += _too_fast(calibrations[0], services_s, arguments.slo_p95)
    if flags.problems or not (
        profile and calibrations and prices and mixes and speed and services_s
    ):
        raise flags.error()
    questions = [
        Question(
            calibration=calibration,
            mix=mix,
            machines=[machine for machine in machines if machine],
            goal_s=arguments.slo_p95,
            vcpu_speed=speed,
            services_s=services_s,
            prices=prices,
            seed=arguments.seed,
        )
        for calibration, mix in zip(calibrations, mixes, strict=True)
    ]
    return questions, profile


def _least_customers(profile: Profile) -> int:
    return max((wild.tenant for wild in profile.wild), default=1)


def read_calibrations(paths: Sequence[Path] | None) -> list[Calibration]:
    """The files, or the newest of this machine of each kind of bundles, or what comes along.

    Raises BadRecord.
    """
    if paths:
        return [Calibration.load(path) for path in paths]
    found = sorted(OUT.rglob(CALIBRATION), key=lambda path: path.stat().st_mtime)
    newest = {made.bundles: made for made in map(Calibration.load, found)}
    if not newest:
        packaged = resources.files("loadtest.capacity").joinpath("reference.json")
        return [Calibration.load(Path(str(packaged)))]
    return [newest[bundles] for bundles in (DATAFLOW, LAPTOP) if bundles in newest]


def _interval(text: str) -> Interval:
    """Three numbers that do not fall, above 0. Raises ValueError."""
    try:
        low, mid, high = (float(part) for part in text.split(","))
    except ValueError:
        low, mid, high = 0.0, 0.0, 0.0
    if not 0 < low <= mid <= high < math.inf:
        raise ValueError(f"{text!r} must be three numbers above 0 that do not fall, as 0.7,1,1.2")
    return Interval(low, mid, high)


def _mix(calibration: Calibration, profile: Profile) -> Mix:
    try:
        return Mix.of(calibration, *profile.kinds)
    except ValueError as error:
        raise ValueError(f"profile {profile.name} has {error}") from error


def _too_fast(calibration: Calibration, services_s: Interval, goal_s: float) -> list[str]:
    lowest_s = lowest_p95_s(calibration, services_s.mid)
    if goal_s >= lowest_s:
        return []
    return [
        f"--slo_p95: {goal_s:g} s cannot be held by any number of workers: with none of them "
        f"busy p95 is {lowest_s:.2f} s, of which services take {services_s.mid:g} s"
    ]


def _save(plan: Plan, out: Path) -> None:
    """Raises CommandError where it cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(f"{plan.to_json()}\n", encoding="utf-8")
        out.write_text(plan.to_toml(), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--out: {out}: {error.strerror}") from error
