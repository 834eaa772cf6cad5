"""docs/cloud.md, followed line by line on the local stack, from an empty project on.

Every `testudo` command of the section is run as it stands there, but for the names of
projects, the digest, and an environments file of the test. `testudo run` plays the job:
what stands for Dataflow computes nothing.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from streaming import Pipeline, wait_for_tables

from models.release import Pointer, write_pointer
from testudo.cli import main
from testudo.commands.engines import BigQueryEngine
from testudo.local.stack import LocalStack

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs/cloud.md"
SECTION = "## From an empty project to the first prediction"
# With the reason why. What begins so cannot be run here, or is run by another test.
NOT_RUN = {
    "make setup": "the environment is there",
    "source": "the environment is active",
    "gcloud": "there is no cloud",
    "docker": "there is no container engine",
    "testudo template pin": "no registry of images can be reached; tests/unit/test_dockerfile.py",
    "testudo train": "takes minutes; tests/e2e/test_train.py, and `trained` of this test",
}
ENVIRONMENTS = """
[staging]
project = "testudo-local"
region = "europe-west4"  # where no other test has a job
bucket = "testudo"
image_buckets = ["testudo-images"]
dataset_location = "US"
max_num_workers = 2
latency_goal_s = 3600.0
"""

DOCKERFILE = f"ARG PYTHON_BASE=docker.io/library/python:3.13@sha256:{'b' * 64}\n"


def commands() -> list[str]:
    """The commands of the section's bash blocks, in order, without comments."""
    text = DOCUMENT.read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def here(command: str, folder: Path) -> list[str]:
    """The words of a command, with the names that hold on this stack."""
    command = command.replace("my-project-staging", "testudo-local")
    words = shlex.split(command.replace("sha256:DIGEST", f"sha256:{'a' * 64}"))[1:]
    if "staging" in words:
        words.append(f"--environments={folder / 'environments.toml'}")
    if words[:2] == ["template", "build"]:
        words.append(f"--dockerfile={folder / 'Dockerfile'}")  # whose base has a digest
    if words[:2] == ["release", "push"]:
        words.append(f"--releases={folder / 'releases'}")
    return words


def test_what_is_not_run_is_named() -> None:
    """Each command is run or has its reason; no reason is left over."""
    skipped = {one for one in NOT_RUN if any(line.startswith(one) for line in commands())}
    assert skipped == set(NOT_RUN)
    for line in commands():
        assert line.startswith(("testudo ", *NOT_RUN)), line


def test_the_section_leads_to_a_prediction(
    stack: LocalStack,
    pipeline: Pipeline,
    engine: BigQueryEngine,
    tmp_path: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One command after the other; the last finds every item scored."""
    wait_for_tables(engine)
    (tmp_path / "environments.toml").write_text(ENVIRONMENTS)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    releases = tmp_path / "releases"
    shutil.copytree(trained, releases)
    first = next(one.name for one in releases.iterdir() if one.name.startswith("first-"))
    write_pointer(str(releases), Pointer(default=first))
    for line in commands():
        if line.startswith(tuple(NOT_RUN)):
            continue
        code = main(here(line, tmp_path))
        said = capsys.readouterr()
        expected = (0, 3) if line.endswith("--dry_run") else (0,)  # 3: there is something to do
        assert code in expected, f"{line}\n{said.out}\n{said.err}"
