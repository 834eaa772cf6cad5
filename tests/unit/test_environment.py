"""Environments: one file, checked as a whole, from which everything else is derived."""

from pathlib import Path
from typing import Any

import pytest

from testudo.environment_file import environment_from, read_environment
from testudo.errors import CommandError
from testudo.subnetworks import subnetwork_of

REPOSITORY = Path(__file__).parents[2]


def refused(values: dict[str, Any]) -> list[str]:
    with pytest.raises(CommandError) as error:
        environment_from("staging", values, "file.toml")
    return [line.removeprefix("file.toml: [staging] ") for line in str(error.value).splitlines()]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_file_that_comes_along_is_right(name: str) -> None:
    """Both environments of templates/environments.toml can be read."""
    environment = read_environment(name, REPOSITORY / "templates/environments.toml")
    assert environment.name == name
    assert environment.bucket == f"{environment.project}-testudo"


def test_an_environment_stands_over_the_defaults(tmp_path: Path) -> None:
    """A value of the environment wins over the same of [defaults]."""
    path = tmp_path / "environments.toml"
    path.write_text(
        "[defaults]\nthreads = 3\nnum_workers = 2\n[one]\nproject='my-project'\nthreads=4"
    )
    environment = read_environment("one", path)
    assert (environment.threads, environment.num_workers) == (4, 2)


def test_the_flags_of_the_pipeline_follow_from_the_names() -> None:
    """Nobody writes the same table twice; flags given win."""
    environment = environment_from(
        "one",
        {"project": "my-project", "image_buckets": ["pictures"], "flags": {"text_batch_size": 30}},
        "file",
    )
    assert environment.pipeline_flags == {
        "input_subscription": "projects/my-project/subscriptions/items-testudo",
        "predictions_table": "my-project:testudo.predictions",
        "dead_letters_table": "my-project:testudo.dead_letters",
        "output": "gs://my-project-testudo",
        "releases": "gs://my-project-testudo/releases",
        "image_buckets": "pictures",
        "text_batch_size": "30",
    }


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Each problem names its value, what is wrong with it and what is allowed."""
    problems = refused(
        {
            "threads": "a",
            "region": "q",
            "bogus": 2,
            "flags": {"windows": 1},
            "num_workers": 0,
            "utilization_hint": True,
            "image_buckets": [3],
            "processes": "two",
        }
    )
    assert problems == [
        "bogus: no such value",
        "threads: 'a' is no int",
        "region: 'q' does not match [a-z]+-[a-z]+[0-9]{1,2}",
        "flags: windows: no such flag of the pipeline",
        "num_workers: is 0, must be 1 to 4000",
        "utilization_hint: True is no float",
        "image_buckets: 3 is no text",
        "processes: 'two' is none of cores, one",
        "project: is missing",
    ]


def test_a_fleet_that_starts_larger_than_it_may_grow_is_refused() -> None:
    """num_workers and max_num_workers are looked at together."""
    values = {"project": "my-project", "num_workers": 5, "max_num_workers": 4}
    assert refused(values) == ["num_workers: is more than max_num_workers"]


def test_a_fleet_may_shrink_below_what_it_starts_with() -> None:
    """min_num_workers is what autoscaling keeps: num_workers where it is not said, never more."""
    values = {"project": "my-project", "num_workers": 3}
    assert environment_from("one", values, "file").least_workers == 3
    assert environment_from("one", {**values, "min_num_workers": 1}, "file").least_workers == 1
    assert refused({**values, "min_num_workers": 4}) == [
        "min_num_workers: is more than num_workers"
    ]


HOST = "https://www.googleapis.com/compute/v1/projects/host/"
KEY = "projects/my-project/locations/{}/keyRings/ring/cryptoKeys/key"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"network": "global/networks/a"}, "network: 'global/networks/a' does not match"),
        ({"subnetwork": "workers"}, "subnetwork: 'workers' does not match"),
        ({"subnetwork": "regions/us-east1/subnetworks/a"}, "subnetwork: is not in europe-west1"),
        ({"subnetwork": f"{HOST}regions/us-east1/subnetworks/a"}, "subnetwork: is not in europe-"),
        ({"subnetwork_range": "10.0.0.0/20"}, "subnetwork_range: name the subnetwork"),
        (
            {"subnetwork": "regions/europe-west1/subnetworks/a", "subnetwork_range": "10.0.0.1/20"},
            "subnetwork_range: 10.0.0.1/20 has host bits set",
        ),
        (
            {
                "subnetwork": f"{HOST}regions/europe-west1/subnetworks/a",
                "subnetwork_range": "10.0.0.0/20",
            },
            "subnetwork_range: a subnetwork of a host project is made by its owners",
        ),
        ({"kms_key": "key"}, "kms_key: 'key' does not match"),
        ({"kms_key": KEY.format("global")}, "kms_key: is not in europe-west1"),
    ],
)
def test_a_network_or_key_that_no_job_takes_is_refused(values: dict[str, Any], said: str) -> None:
    """By the form of its name, and beside the region and each other."""
    (problem,) = refused({"project": "my-project", **values})
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({}, "projects/my-project/regions/europe-west1/subnetworks/default"),
        ({"network": "mine"}, "projects/my-project/regions/europe-west1/subnetworks/mine"),
        (
            {"network": "mine", "subnetwork": "regions/europe-west1/subnetworks/a"},
            "projects/my-project/regions/europe-west1/subnetworks/a",
        ),
        (
            {"subnetwork": f"{HOST}regions/europe-west1/subnetworks/a"},
            "projects/host/regions/europe-west1/subnetworks/a",
        ),
    ],
)
def test_where_workers_will_be(values: dict[str, Any], path: str) -> None:
    """A network in auto mode has a subnetwork of its own name in each region."""
    given = {"project": "my-project", "kms_key": KEY.format("europe-west1"), **values}
    assert subnetwork_of(environment_from("one", given, "file")).path == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "name it with --environments"),
        ("[one", "Expected ']'"),
        ("[one]", "has no environment 'two', but one"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """A file that is missing or broken, and a name that is not in it."""
    path = tmp_path / "environments.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=said):
        read_environment("two", path)
