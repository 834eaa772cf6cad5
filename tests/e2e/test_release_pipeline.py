"""The release pipeline's own commands, in order, on the local stack.

Staging and production are two environments of the local project, and `testudo run` scores
for both: what stands for Dataflow computes nothing.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from releasing import BUILDS, TESTUDO, words
from streaming import Pipeline, wait_for_tables

from testudo.cli import main
from testudo.commands.engines import BigQueryEngine
from testudo.local.stack import LocalStack

CLOUDBUILD, PROMOTE = BUILDS
# Names and versions of this test's own: other tests launch jobs in the same project.
STAGING, PRODUCTION = "pipeline-staging", "pipeline-production"
# With the reason why.
NOT_RUN = {
    "builder": "there is no container engine",
    "test": "this is one of its tests",
    "pinned": "no registry can be reached to pin from; tests/unit/test_dockerfile.py",
    "image": "there is no container engine",
    "push": "there is no container engine",
    "setup": "the environment is there",
    "promote": "there is no Cloud Build; the second build's steps follow",
}
ENVIRONMENTS = """
[defaults]
project = "testudo-local"
bucket = "testudo"
image_buckets = ["testudo-images"]
dataset_location = "US"
max_num_workers = 2
latency_goal_s = 3600.0
[pipeline-staging]
[pipeline-production]
"""
FEW = ("--messages=20", "--warm_up=2", "--rate=20")  # what is judged is the same
DOCKERFILE = f"ARG PYTHON_BASE=docker.io/library/python:3.13@sha256:{'b' * 64}\n"


class Builds(NamedTuple):
    """Runs the steps of a build for a version whose image's digest is all `digit`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, path: Path, environment: str, digit: str, *flags: str) -> list[tuple[str, int]]:
        image = f"europe-west1-docker.pkg.dev/testudo-local/testudo/testudo@sha256:{digit * 64}"
        values = {"_ENVIRONMENT": environment, "_VERSION": f"pipeline-{digit}", "_VARIANT": "cpu"}
        values |= {"_IMAGE": "IMAGE", "_FROM": "IMAGE", "_PROMOTION": ""}
        codes = []
        for step, command in words(path, values | {"COMMIT_SHA": ""}).items():
            if step in NOT_RUN:
                continue
            assert command[0] == TESTUDO
            here = [image if word.startswith("IMAGE:") else word for word in command[1:]]
            here.append(f"--environments={self.folder / 'environments.toml'}")
            if "build" in here:
                here.append(f"--dockerfile={self.folder / 'Dockerfile'}")
            codes.append((step, main([*here, *((*FEW, *flags) if "deploy" in here else ())])))
        return codes

    def status(self, environment: str) -> dict[str, Any]:
        self.capsys.readouterr()
        main(["status", environment, f"--environments={self.folder / 'environments.toml'}",
              "--format=json"])  # fmt: skip
        shown: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return shown


@pytest.fixture
def builds(
    stack: LocalStack,
    pipeline: Pipeline,
    engine: BigQueryEngine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Builds:
    wait_for_tables(engine)
    (tmp_path / "environments.toml").write_text(ENVIRONMENTS)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    made = Builds(tmp_path, capsys)
    for name in (STAGING, PRODUCTION):
        assert main(["provision", name, f"--environments={tmp_path / 'environments.toml'}"]) == 0
    return made


def test_a_version_goes_to_production_and_a_bad_one_comes_back(builds: Builds) -> None:
    """First launch, update in place, and a smoke test that fails: the version before returns."""
    assert builds.run(CLOUDBUILD, STAGING, "1") == [("template", 0), ("staging", 0)]
    assert builds.run(PROMOTE, PRODUCTION, "1") == [("template", 0), ("production", 0)]
    assert builds.run(PROMOTE, PRODUCTION, "2") == [("template", 0), ("production", 0)]
    (job,) = builds.status(PRODUCTION)["jobs"]
    assert (job["version"], job["state"]) == ("pipeline-2", "running")

    failed = builds.run(PROMOTE, PRODUCTION, "3", "--p95_s=0.0001")
    assert failed == [("template", 0), ("production", 1)]
    shown = builds.status(PRODUCTION)
    assert [(one["version"], one["image"]) for one in shown["jobs"]] == [("pipeline-2", "2" * 12)]
    assert [one["version"] for one in shown["deployments"]] == [
        "pipeline-2",
        "pipeline-3",
        "pipeline-2",
        "pipeline-1",
    ]
    (staging,) = builds.status(STAGING)["jobs"]
    assert staging["version"] == "pipeline-1"


def test_a_first_version_that_fails_has_nothing_to_go_back_to(builds: Builds) -> None:
    """It says so, fails, and leaves the job for somebody to look at."""
    path = builds.folder / "environments.toml"
    path.write_text(path.read_text() + "[first]\n")
    codes = builds.run(PROMOTE, "first", "1", "--p95_s=0.0001")
    assert codes == [("template", 0), ("production", 1)]
    assert "nothing to go back to" in builds.capsys.readouterr().err
    assert [one["version"] for one in builds.status("first")["jobs"]] == ["pipeline-1"]


def test_a_smoke_test_that_cannot_be_made_proves_nothing(builds: Builds) -> None:
    """The version before comes back, as when the test fails."""
    path = builds.folder / "environments.toml"
    path.write_text(path.read_text() + '[odd]\ntopic = "items"\n')
    assert builds.run(PROMOTE, "odd", "1") == [("template", 0), ("production", 0)]
    path.write_text(path.read_text().replace('topic = "items"', 'topic = "nowhere"'))
    assert builds.run(PROMOTE, "odd", "2") == [("template", 0), ("production", 1)]
    assert "could not be made" in builds.capsys.readouterr().err
    assert [one["version"] for one in builds.status("odd")["jobs"]] == ["pipeline-1"]


def test_every_step_is_run_or_has_its_reason() -> None:
    """No reason is left over."""
    values = dict.fromkeys(
        ("_ENVIRONMENT", "_VERSION", "_VARIANT", "_IMAGE", "_FROM", "_PROMOTION"), "x"
    )
    steps = {
        step: command
        for path in BUILDS
        for step, command in words(path, {**values, "COMMIT_SHA": "x"}).items()
    }
    assert set(NOT_RUN) <= set(steps)
    for step, command in steps.items():
        assert step in NOT_RUN or command[0] == TESTUDO
