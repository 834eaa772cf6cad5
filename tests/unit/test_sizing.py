"""Limits for a number of customers: the cheapest that hold, and what is said when none do."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from loadtest.capacity.bill import million_items_usd, month_bill, worker_hour_usd
from loadtest.capacity.calibration import Calibration
from loadtest.capacity.machines import MachineType, UnknownMachine, machine_type
from loadtest.capacity.planning import ladder
from loadtest.capacity.regression import Interval
from loadtest.capacity.sizing import size
from loadtest.capacity.trials import Demand, Question, Tried
from loadtest.capacity.worker import Guesses, Mix, processes_of, worker_rate
from testudo.cli import main
from testudo.cloud.prices import read_prices
from testudo.local.jobs import LAPTOP

REFERENCE = Path(__file__).parents[2] / "loadtest/capacity/reference.json"
PLAN = ("loadtest", "plan", f"--calibration={REFERENCE}")
CALIBRATION = Calibration.load(REFERENCE)
PRICES = read_prices("us-central1")
CERTAIN = Interval(1.0, 1.0, 1.0)


class Photo(NamedTuple):
    width_px: int = 640
    height_px: int = 480
    format: str = "JPEG"
    by_uri: bool = False


MIX = Mix.of(CALIBRATION, [Photo(), Photo(by_uri=True)], [0.5, 0.5])


def question(goal_s: float = 10.0, *machines: str, speed: Interval = CERTAIN) -> Question:
    return Question(
        calibration=CALIBRATION,
        mix=MIX,
        machines=[machine_type(one) for one in machines or ("n2-standard-2", "n2-standard-4")],
        goal_s=goal_s,
        vcpu_speed=speed,
        services_s=CERTAIN,
        prices=PRICES,
        seed=1,
    )


def demand(low: float, high: float | None = None, *, hours: int = 6) -> Demand:
    """Hours of a rate, every second of them at `high`."""
    rates = np.full(hours * 60, low)
    if high is not None:
        rates[(np.arange(len(rates)) // 60) % 2 == 1] = high
    return Demand(customers=1, offered=rates[:, None])


def sized(asked: Question, *demands: Demand) -> list[Tried]:
    return size(asked, demands)


def rate_of(machine: str, processes: str = "cores", speed: Interval = CERTAIN) -> float:
    """The middle of what one worker does."""
    guesses = question(speed=speed).guesses(99)
    return float(
        np.median(worker_rate(CALIBRATION, MIX, machine_type(machine), processes, guesses))
    )


def test_a_worker_does_what_its_vcpus_hold() -> None:
    """Twice the vCPUs, twice the items; half as fast ones, half; one process, one core."""
    small, large = rate_of("n2-standard-2"), rate_of("n2-standard-4")
    assert large == pytest.approx(2 * small)
    half = rate_of("n2-standard-2", speed=Interval(0.5, 0.5, 0.5))
    assert half == pytest.approx(small / 2)
    assert rate_of("n2-standard-8", "one") < rate_of("n2-standard-8") / 3


def test_guesses_are_spread_as_was_said() -> None:
    """Measured values around 1 within their interval, assumed ones between their ends."""
    drawn = Guesses.drawn(
        CALIBRATION,
        vcpu_speed=Interval(0.7, 1.0, 1.2),
        services_s=Interval(0.5, 1.0, 3.0),
        draws=4000,
        seed=3,
    )
    most = 1 + CALIBRATION.cost_spread
    inside = (drawn.dearer > 1 / most) & (drawn.dearer < most)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
    assert drawn.vcpu_speed.min() >= 0.7
    assert drawn.vcpu_speed.max() <= 1.2
    assert drawn.services_s.mean() == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("machine", "processes"),
    [("n2-standard-4", "cores"), ("n2-highcpu-4", "one"), ("n2-highcpu-2", None)],
)
def test_models_must_fit_the_machine(machine: str, processes: str | None) -> None:
    """A process for each vCPU where memory lasts, else one, else the machine is none."""
    assert processes_of(machine_type(machine), CALIBRATION) == processes


def test_a_machine_that_is_not_known_is_refused() -> None:
    """Memory is taken from the name, so the name must be one of the list."""
    assert machine_type("n1-standard-8") == MachineType("n1-standard-8", 8, 30.0)
    for name in ("n2-standard-3", "n9-standard-4", "n2-standard", "n2-standard-4\n"):
        with pytest.raises(UnknownMachine, match="is none of"):
            machine_type(name)


def test_a_small_load_takes_the_cheapest_worker() -> None:
    """One worker of the smaller type, room to grow, and the goal held in every minute."""
    (tried,) = sized(question(), demand(5.0))
    assert tried.candidate.machine.name == "n2-standard-2"
    assert (tried.candidate.min_workers, tried.max_workers) == (1, 2)
    assert tried.holds
    assert tried.held == 1.0


def test_a_load_takes_the_workers_that_it_needs() -> None:
    """As many vCPUs at least as the offered rate needs, and not twice of it at the hint."""
    rate = 10 * rate_of("n2-standard-2")
    (tried,) = sized(question(), demand(rate))
    vcpus = tried.outcome.worker_s.mean() / (6 * 3600) * tried.candidate.machine.vcpus
    assert 20 <= vcpus <= 2 * 20 / tried.candidate.hint
    assert tried.holds


def test_a_goal_that_allows_no_backlog_takes_more_that_are_always_there() -> None:
    """Load that doubles within a minute: autoscaling is too late for a narrow goal."""
    swinging = demand(2 * rate_of("n2-standard-2"), 8 * rate_of("n2-standard-2"))
    (narrow,) = sized(question(5.0), swinging)
    (wide,) = sized(question(2000.0), swinging)
    assert narrow.holds
    assert wide.holds
    assert np.median(narrow.usd_month) > np.median(wide.usd_month)
    narrow_vcpus, wide_vcpus = (
        one.candidate.min_workers * one.candidate.machine.vcpus for one in (narrow, wide)
    )
    assert narrow_vcpus > wide_vcpus


def test_the_best_is_told_when_nothing_holds() -> None:
    """A goal below the latency law's floor is held by none."""
    (tried,) = sized(question(1.0), demand(50.0))
    assert not tried.holds


def test_no_machine_that_holds_the_models_is_an_error() -> None:
    """Rather than an empty plan."""
    with pytest.raises(ValueError, match="no machine type has the memory"):
        sized(question(10.0, "n2-highcpu-2"), demand(5.0))


def test_a_month_costs_its_worker_hours_and_its_items() -> None:
    """By the formulas of docs/cost.md: 720 hours of a machine, and a price an item."""
    machine = machine_type("n2-standard-4")
    hour = 4 * 0.069 + 16 * 0.003557 + 50 * 0.000054
    assert worker_hour_usd(machine, 50, PRICES) == pytest.approx(hour)
    bill = month_bill(
        worker_s=np.array([2 * 86_400.0]),
        items=np.array([1e6]),
        duration_s=86_400,
        machine=machine,
        disk_gb=50,
        mix=MIX,
        prices=PRICES,
        bundles=LAPTOP,
    )
    assert bill.workers[0] == pytest.approx(2 * 720 * hour)
    assert bill.items[0] == pytest.approx(30 * million_items_usd(MIX, PRICES, LAPTOP))


def test_the_ladder_ends_with_what_was_asked() -> None:
    """From 30 customers upwards."""
    assert ladder(2000) == [30, 100, 300, 1000, 2000]
    assert ladder(20) == [20]


def test_the_command_writes_a_plan_and_its_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same seed gives the same plan; its JSON has all that a report reads."""
    flags = [*PLAN, "--customers=150", "--days=1", "--format=json"]
    printed = []
    for name in ("a.toml", "b.toml"):
        assert main([*flags, f"--out={tmp_path / name}"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1] == json.loads((tmp_path / "a.json").read_text())
    plan = printed[0]
    assert [one["customers"] for one in plan["steps"]] == [30, 100, 150]
    assert plan["chosen"] == plan["steps"][-1]
    assert len(plan["series"]) == 24
    assert plan["calibration"]["provisional"] in (True, False)
    quotas = {one["name"]: one["needed"] for one in plan["chosen"]["quotas"]}
    assert quotas["N2_CPUS"] == 2 * plan["chosen"]["max_num_workers"]


def test_everything_wrong_with_the_flags_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each by its flag, with what is allowed."""
    flags = [
        "--customers=0",
        "--days=0",
        "--profile=nowhere",
        "--slo_p95=nan",
        f"--calibration={tmp_path / 'none.json'}",
        "--machine_types=abacus",
        "--vcpu_speed=1,0.5,2",
        "--services_s=fast",
        "--region=moon",
        "--seed=-1",
        "--out=plan.txt",
    ]
    assert main([*PLAN, *flags]) == 2
    told = capsys.readouterr().err
    for flag in flags:
        assert f"{flag.split('=')[0]}: " in told


def test_a_goal_below_what_any_fleet_can_hold_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the lowest p95 that there is."""
    assert main([*PLAN, "--customers=30", "--slo_p95=0.2"]) == 2
    assert "with none of them busy p95 is" in capsys.readouterr().err


def test_a_tenant_that_goes_wild_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Profile wild names its third largest, so two customers are too few."""
    assert main([*PLAN, "--customers=2", "--profile=wild"]) == 2
    assert "profile wild needs 3 or more" in capsys.readouterr().err


def test_a_plan_of_two_calibrations_shows_the_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Limits are the first one's; what the other would give stands beside them."""
    small = Calibration.load(REFERENCE)
    roles = {
        name: dataclasses.replace(role, item_s=4 * role.item_s)
        for name, role in small.roles.items()
    }
    small = dataclasses.replace(small, roles=roles, bundles="dataflow")
    small.save(tmp_path / "small.json")
    both = ["--calibration", str(tmp_path / "small.json"), str(REFERENCE)]
    flags = ["--customers=150", "--days=1", "--format=json", f"--out={tmp_path / 'plan.toml'}"]
    assert main(["loadtest", "plan", *both, *flags]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["calibration"]["bundles"] == "dataflow"
    (other,) = plan["others"]
    assert other["bundles"] == "laptop"
    assert other["usd_million"][1] < plan["chosen"]["usd_million"][1]
    assert "With bundles as on laptop" in (tmp_path / "plan.toml").read_text("utf-8")
