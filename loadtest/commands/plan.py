"""`testudo loadtest plan`: which limits to set for a number of customers, and what that costs."""

import argparse
import math
import sys
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from loadtest.capacity.calibration import Calibration
from loadtest.capacity.machines import MachineType, UnknownMachine, machine_type
from loadtest.capacity.plan import Plan
from loadtest.capacity.planning import make_plan
from loadtest.capacity.regression import Interval
from loadtest.capacity.trials import Question
from loadtest.capacity.worker import Mix, lowest_p95_s
from loadtest.records import BadRecord
from loadtest.report.plan_section import ladder
from loadtest.report.terminal import rich_table
from loadtest.traffic.profile import BadProfile, Profile, read_profile
from testudo.cloud.prices import BadPrices, Prices, read_prices
from testudo.environment import FORMS, Environment
from testudo.errors import CommandError

RESULTS = Path(".testudo/loadtest")
OUT = RESULTS / "plan" / "plan.toml"
CALIBRATION = "calibration.json"
MACHINES = "n2-standard-2,n2-standard-4,n2-standard-8"
# Assumed, not measured: docs/capacity.md says why these.
VCPU_SPEED, SERVICES_S = "0.7,1.0,1.2", "0.5,1.0,3.0"
WORK = ("every candidate", "the best")  # as `size` reports it
# Of the ladder's columns, those that a terminal has room for.
COLUMNS = ("customers", "workers", "machine", "hint", "p95", "worst hour", "its p95",
           "minutes held", "USD a month", "USD a million")  # fmt: skip
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
        metavar="FILE",
        help=f"of `testudo loadtest calibrate`; without it the newest {CALIBRATION} under "
        f"{RESULTS}, or the one that comes along",
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
        default=OUT,
        metavar="FILE.toml",
        help="for `testudo launch --plan`; the whole plan lies beside it as .json (%(default)s)",
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="printed (%(default)s)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Returns 0 when the chosen limits hold the goal, 1 when none were found that do."""
    question, profile = _question(arguments)
    errors = Console(stderr=True)
    try:
        with Progress(console=errors, transient=True) as progress:
            tasks = {work: progress.add_task(f"Simulating {work}") for work in WORK}

            def report(what: str, done: float) -> None:
                progress.update(tasks[what], completed=100 * done)

            plan = make_plan(
                question,
                profile,
                arguments.customers,
                days=arguments.days,
                region=arguments.region,
                report=report,
            )
    except ValueError as error:
        raise CommandError(f"--machine_types: {error}") from error
    _save(plan, arguments.out)
    if arguments.format == "json":
        print(plan.to_json())
    else:
        show(plan, question.prices, arguments.out, Console())
    if not plan.chosen.feasible:
        print(not_held(plan), file=sys.stderr)
    return 0 if plan.chosen.feasible else 1


def _question(arguments: argparse.Namespace) -> tuple[Question, Profile]:
    """Raises CommandError with everything that is wrong with the flags."""
    problems = _number_problems(arguments)
    profile, calibration, prices = None, None, None
    try:
        profile = read_profile(arguments.profile)
    except BadProfile as error:
        problems += [f"--profile: {one}" for one in str(error).splitlines()]
    try:
        calibration = read_calibration(arguments.calibration)
    except BadRecord as error:
        problems.append(f"--calibration: {error}")
    try:
        prices = read_prices(arguments.region, arguments.prices)
    except BadPrices as error:
        problems.append(f"--prices: {error}")
    machines = _machines(arguments.machine_types, problems)
    speed = _interval("--vcpu_speed", arguments.vcpu_speed, problems)
    services_s = _interval("--services_s", arguments.services_s, problems)
    if profile and arguments.customers < (least := _least_customers(profile)):
        problems.append(f"--customers: profile {profile.name} needs {least} or more: one goes wild")
    if profile and calibration:
        mix = _mix(calibration, profile, problems)
        if services_s and arguments.slo_p95 > 0:
            problems += _too_fast(calibration, services_s, arguments.slo_p95)
    if problems or not (profile and calibration and prices and mix and speed and services_s):
        raise CommandError("\n".join(problems))
    question = Question(
        calibration=calibration,
        mix=mix,
        machines=machines,
        goal_s=arguments.slo_p95,
        vcpu_speed=speed,
        services_s=services_s,
        prices=prices,
        seed=arguments.seed,
    )
    return question, profile


def _number_problems(arguments: argparse.Namespace) -> list[str]:
    problems = []
    for name, most in (("customers", MOST_CUSTOMERS), ("days", MOST_DAYS)):
        if not 1 <= getattr(arguments, name) <= most:
            problems.append(f"--{name}: is {getattr(arguments, name):g}, must be 1 to {most:,}")
    if not (0 < arguments.slo_p95 < math.inf):
        problems.append(f"--slo_p95: is {arguments.slo_p95:g}, must be more than 0")
    if arguments.seed < 0:
        problems.append(f"--seed: is {arguments.seed}, must be 0 or more")
    if not FORMS["region"].fullmatch(arguments.region):
        problems.append(f"--region: {arguments.region!r} is no region, as europe-west1")
    if arguments.out.suffix != ".toml":
        problems.append(f"--out: {arguments.out} must end in .toml")
    return problems


def _least_customers(profile: Profile) -> int:
    return max((one.tenant for one in profile.wild), default=1)


def read_calibration(path: Path | None) -> Calibration:
    """The file, or the newest of this machine, or the one that comes along.

    Raises BadRecord.
    """
    if path is None:
        found = sorted(RESULTS.rglob(CALIBRATION), key=lambda one: one.stat().st_mtime)
        packaged = resources.files("loadtest.capacity").joinpath("reference.json")
        path = found[-1] if found else Path(str(packaged))
    return Calibration.load(path)


def _machines(names: str, problems: list[str]) -> list[MachineType]:
    found = []
    for name in names.split(","):
        try:
            found.append(machine_type(name.strip()))
        except UnknownMachine as error:
            problems.append(f"--machine_types: {error}")
    return found


def _interval(flag: str, text: str, problems: list[str]) -> Interval | None:
    """Three numbers that do not fall, above 0."""
    try:
        low, mid, high = (float(one) for one in text.split(","))
    except ValueError:
        low, mid, high = 0.0, 0.0, 0.0
    if 0 < low <= mid <= high < math.inf:
        return Interval(low, mid, high)
    problems.append(
        f"{flag}: {text!r} must be three numbers above 0 that do not fall, as 0.7,1,1.2"
    )
    return None


def _mix(calibration: Calibration, profile: Profile, problems: list[str]) -> Mix | None:
    try:
        return Mix.of(calibration, *profile.kinds)
    except ValueError as error:
        problems.append(f"--calibration: profile {profile.name} has {error}")
        return None


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


def show(plan: Plan, prices: Prices, out: Path, console: Console) -> None:
    """The ladder as a table, then quotas, assumptions and what to do with the file `out`."""
    lines = ["Intervals: 5, 50 and 95 of 100 draws."]
    for quota in plan.chosen.quotas:
        given = f" (at first {quota.default})" if quota.default else ""
        lines.append(f"Quota {quota.name}: {quota.needed:,.6g}{given}")
    lines += [f"Assumed: {assumption}" for assumption in plan.assumptions]
    if plan.calibration.provisional:
        lines.append("The calibration is provisional: `testudo loadtest calibrate` measures one.")
    if prices.borrowed:
        lines.append(f"Prices of {prices.region} for {', '.join(prices.borrowed)}.")
    lines.append(f"Use it: testudo launch ENVIRONMENT --template VERSION --plan {out}")
    console.print(f"{plan.profile}: p95 within {plan.slo_p95_s:g} s, {plan.days:g} days")
    console.print(rich_table(ladder(plan), COLUMNS))
    console.print("\n".join(lines), markup=False)


def not_held(plan: Plan) -> str:
    """What to say of a plan whose chosen limits do not hold the goal."""
    step = plan.chosen
    return (
        f"No limits were found that hold a p95 of {plan.slo_p95_s:g} s in 99 % of the minutes for "
        f"{step.customers:,} customers. The best hold it in {step.held_share.low:.1%}; in their "
        f"worst hour, {step.worst_hour.hour}, p95 is {step.worst_hour.p95_s.high:.1f} s. Allow "
        "that, or name larger --machine_types."
    )
