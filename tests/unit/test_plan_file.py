"""From a plan's file to the request that launches a job."""

import argparse
import tomllib
from pathlib import Path

import pytest

from loadtest.capacity.plan import Basis, Plan, Step, WorstHour
from loadtest.capacity.regression import Interval
from testudo.cloud.launching import as_dict, launch_parameter
from testudo.cloud.plan_file import PLANNED, with_plan
from testudo.cloud.templates import Template
from testudo.commands import deploy, launch, update
from testudo.environment import Environment
from testudo.environment_file import environment_from
from testudo.errors import CommandError

NOTHING = Interval(0.0, 0.0, 0.0)
STEP = Step(
    customers=2000,
    rate_mean=40.0,
    rate_peak=120.0,
    machine_type="n2-highmem-8",
    num_workers=3,
    min_num_workers=2,
    max_num_workers=7,
    utilization_hint=0.6,
    threads=6,
    processes="one",
    min_ram_gb=16,
    disk_size_gb=70,
    p95_s=NOTHING,
    worst_hour=WorstHour("day 1, 09:00", NOTHING, NOTHING),
    held_share=NOTHING,
    quotas=(),
    usd_month=NOTHING,
    usd_million=NOTHING,
    workers_mean=NOTHING,
    feasible=True,
)
PLAN = Plan(
    profile="marketplace",
    slo_p95_s=10.0,
    days=30,
    seed=1,
    region="europe-west1",
    prices_version="2026-09-20",
    calibration=Basis(
        made_at="2026-11-24", machine="two cores\nnum_workers = 99", provisional=False
    ),
    assumptions=["a vCPU is a core"],
    steps=[STEP],
    series=[],
)


def staging() -> Environment:
    return environment_from("staging", {"project": "my-project", "latency_goal_s": 3.0}, "file")


def refused(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(CommandError) as error:
        with_plan(staging(), path)
    return [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()]


def test_the_request_has_the_limits_of_the_plan(tmp_path: Path) -> None:
    """Workers, machine, hint, threads, memory and disk; all else is the environment's."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.to_toml())
    planned = with_plan(staging(), path)
    template = Template("v1", "gs://b/templates/v1/template.json", "image@sha256:0", {}, {})
    request = as_dict(launch_parameter(planned, template, {}, job_name="testudo"))["environment"]
    assert request["machine_type"] == "n2-highmem-8"
    assert (request["num_workers"], request["max_workers"]) == (3, 7)
    assert request["disk_size_gb"] == 70
    assert set(request["additional_pipeline_options"]) == {
        "dataflow_service_options=min_num_workers=2",
        "dataflow_service_options=worker_utilization_hint=0.6",
        "number_of_worker_harness_threads=6",
        "resource_hints=min_ram=16GB",
    }
    assert request["additional_experiments"] == ["no_use_multiple_sdk_containers"]
    assert planned.latency_goal_s == 3.0


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    """In comments, whatever words a calibration brings: values are only those of the plan."""
    text = PLAN.to_toml()
    assert set(tomllib.loads(text)) == set(PLANNED)
    assert tomllib.loads(text)["num_workers"] == 3
    assert "2,000 customers of profile marketplace: holds a p95 of 10 s" in text
    assert "Assumed: a vCPU is a core" in text


def test_what_no_plan_says_is_refused_together(tmp_path: Path) -> None:
    """Unknown names, other values of an environment, and numbers outside of what is allowed."""
    path = tmp_path / "plan.toml"
    problems = refused(
        path, 'project = "other"\nnonsense = 1\nnum_workers = 0\nthreads = "a"\nprocesses = "two"'
    )
    assert problems == [
        "project: no such value",
        "nonsense: no such value",
        "num_workers: is 0, must be 1 to 4000",
        "threads: 'a' is no int",
        "processes: 'two' is none of cores, one",
    ]
    assert refused(path, "num_workers = 5\nmax_num_workers = 4\nmin_num_workers = 6") == [
        "num_workers: is more than max_num_workers",
        "min_num_workers: is more than num_workers",
    ]
    assert refused(path, "num_workers = 11") == ["num_workers: is more than max_num_workers"]
    assert refused(path, "")[0].startswith("says nothing")
    assert "Expected" in refused(path, "[one")[0]


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the command that writes one."""
    with pytest.raises(CommandError, match="`testudo loadtest plan` writes one"):
        with_plan(staging(), tmp_path / "none.toml")


@pytest.mark.parametrize("command", [launch, update, deploy])
def test_every_command_that_launches_takes_a_plan(command: object) -> None:
    """launch, update and deploy have the flag, and without it the environment's own values."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    flags = ["staging", "--template=v1"]
    assert parser.parse_args([*flags, "--plan=plan.toml"]).plan == Path("plan.toml")
    assert parser.parse_args(flags).plan is None
