"""The image without a container engine: the Dockerfile's steps, and a launch from what they make.

The launch is Google's launcher's: the launched file with flags and a place for the
job object, in the image's environment, against the local stack.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ContainerSpec
from google.protobuf import json_format

from models.objects import OBJECTS
from models.release import Pointer, write_pointer
from testudo.cli import main
from testudo.cloud.container_spec import write_spec
from testudo.cloud.metadata import metadata
from testudo.environment import LOCAL
from testudo.image.steps import Image, perform
from testudo.local.connect import bring_releases
from testudo.local.resources import prepare_stack
from testudo.local.stack import LocalStack

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "templates/image/requirements-cpu.txt"
CONTAINER = f"europe-west1-docker.pkg.dev/my-project/testudo/testudo@sha256:{'a' * 64}"
ALLOWED_S = 900.0
MOST_LINES = 10_000  # of the job: more is something that does not belong to it
COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|clang\+\+|ld|as|make|cmake|rustc|nvcc|go)")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The steps of templates/Dockerfile, done in an empty folder."""
    folder = tmp_path_factory.mktemp("image")
    yield perform(REPOSITORY / "templates/Dockerfile", REPOSITORY, folder, print)
    shutil.rmtree(folder)  # three gigabytes


@pytest.fixture(scope="module")
def flags(
    stack: LocalStack, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What a launch of the local stack's job gives, with everything in place that it names."""
    releases = tmp_path_factory.mktemp("releases") / "releases"
    shutil.copytree(trained, releases)
    first = next(one.name for one in releases.iterdir() if one.name.startswith("first-"))
    write_pointer(str(releases), Pointer(default=first))
    prepare_stack()
    bring_releases(releases)
    dataset = f"{stack.project}:{LOCAL.dataset}"
    return {
        "input_subscription": f"projects/{stack.project}/subscriptions/{LOCAL.subscription}",
        "predictions_table": f"{dataset}.predictions",
        "dead_letters_table": f"{dataset}.dead_letters",
        "output": f"gs://{LOCAL.bucket}",
        "releases": f"gs://{LOCAL.bucket}/releases",
        "image_buckets": LOCAL.image_bucket,
        "runner": "DataflowRunner",
        "project": stack.project,
        "region": "europe-west1",
        "job_name": "testudo",
        "temp_location": f"gs://{LOCAL.bucket}/temp",
        "staging_location": f"gs://{LOCAL.bucket}/staging",
        "template_location": f"gs://{LOCAL.bucket}/staging/template_launches/1/job_object",
        "sdk_container_image": CONTAINER,
    }


def run(image: Image, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """In the image's environment, and with no variable but those named."""
    return subprocess.run(
        command,
        env={**image.environment, **more},
        cwd=image.root,
        capture_output=True,
        text=True,
        timeout=ALLOWED_S,
    )


def launch(
    image: Image, stack: LocalStack, flags: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = image.launch_command([f"--{name}={value}" for name, value in flags.items()])
    return run(image, *command, **stack.environment)


def job_object(flags: dict[str, str]) -> dict[str, Any]:
    return json.loads(OBJECTS.read(flags["template_location"]))


def test_the_image_has_the_lock_and_nothing_else(image: Image) -> None:
    """Every package in the locked version, this one, and the pip of the base image."""
    listed = run(image, str(image.python), "-m", "pip", "list", "--format=json")
    found = {
        re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"]
        for one in json.loads(listed.stdout)
    }
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    assert found == {**locked, "pip": found["pip"], "testudo": found["testudo"]}


def test_the_image_has_the_job_and_nothing_else_of_ours(image: Image) -> None:
    """Four folders: no command, no laptop stack, no load kit, no rig, no training."""
    packages = next(image.root.glob("usr/local/lib/python3*/site-packages"))
    listed = run(image, str(image.python), "-m", "pip", "show", "--files", "testudo").stdout
    files = re.findall(r"^  (\S+)$", listed.split("Files:\n")[1], re.MULTILINE)
    ours = {one.split("/")[0] for one in files if ".dist-info/" not in one}
    assert ours == {"beam_pipeline", "models", "templates", "transforms"}
    assert not (packages / "models/training").exists()
    lines = sum(len((packages / one).read_bytes().splitlines())
                for one in files if one.endswith(".py"))  # fmt: skip
    assert lines < MOST_LINES


def test_no_compiler_is_left(image: Image) -> None:
    """Nor the headers that one would need."""
    programs = {path.name for path in (image.root / "usr/local/bin").iterdir()}
    assert [name for name in programs if COMPILERS.fullmatch(name)] == []
    assert not list(image.root.glob("usr/local/lib/python3*/site-packages/tensorflow/include"))


def test_modules_are_compiled(image: Image) -> None:
    """As files that Python takes without a look at the source, whatever its time."""
    packages = next(image.root.glob("usr/local/lib/python3*/site-packages"))
    for module in ("beam_pipeline/graph", "apache_beam/pipeline", "tensorflow/__init__"):
        folder, name = module.split("/")
        compiled = next((packages / folder / "__pycache__").glob(f"{name}.cpython-*.pyc"))
        unchecked_hash = 1
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == unchecked_hash


def test_what_only_the_bases_hold_is_said(image: Image) -> None:
    """The two programs that start launcher and worker, and nothing that could be tried."""
    copied = [one for one in image.not_performed if one.startswith("COPY")]
    assert {one.split()[1].split("/")[-1].strip(":") for one in copied} == {
        "boot", "LICENSE", "NOTICE", "python_template_launcher",
    }  # fmt: skip


def test_a_launch_writes_a_job_that_runs_this_image(
    image: Image, stack: LocalStack, flags: dict[str, str]
) -> None:
    """The job object names the image, streams, and has the graph; nothing is staged to install."""
    done = launch(image, stack, flags)
    assert done.returncode == 0, done.stderr
    job = job_object(flags)
    assert job["type"] == "JOB_TYPE_STREAMING"
    pool = job["environment"]["workerPools"][0]
    images = {one["containerImage"] for one in pool["sdkHarnessContainerImages"]}
    assert images == {CONTAINER}
    options = job["environment"]["sdkPipelineOptions"]["options"]
    assert options["input_subscription"] == flags["input_subscription"]
    assert not options.get("save_main_session")
    staged = [one["name"] for one in pool.get("packages", [])]
    assert not [
        one for one in staged if one.endswith((".whl", ".tar.gz", ".tar", "requirements.txt"))
    ]


def test_a_launch_refuses_everything_that_is_wrong_at_once(
    image: Image, stack: LocalStack, flags: dict[str, str]
) -> None:
    """Flags by their form first, then what they name; nothing is written."""
    location = {"template_location": f"gs://{LOCAL.bucket}/staging/template_launches/2/job_object"}
    done = launch(image, stack, {**flags, **location, "text_batch_size": "0", "output": "here"})
    assert done.returncode == 2
    assert "--text_batch_size: is 0" in done.stderr
    assert "--output: 'here'" in done.stderr
    gone = {"predictions_table": f"{stack.project}:testudo.gone", "output": "gs://no-such-bucket"}
    done = launch(image, stack, {**flags, **location, **gone})
    assert done.returncode == 2
    assert "testudo.gone" in done.stderr
    assert "no-such-bucket" in done.stderr
    with pytest.raises(FileNotFoundError):
        OBJECTS.read(location["template_location"])


def test_a_template_is_written_once_a_version(
    stack: LocalStack, flags: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As Dataflow reads it; the same again does nothing, another is refused."""
    asked = ["template", "build", "local", f"--home={stack.home}", "--version=image-1"]
    assert main([*asked, f"--image={CONTAINER}"]) == 0
    path = capsys.readouterr().out.strip()
    assert path == f"{flags['output']}/templates/image-1/template.json"
    written = OBJECTS.read(path)
    spec = ContainerSpec.wrap(json_format.Parse(written, ContainerSpec.pb()()))
    assert spec.image == spec.default_environment.sdk_container_image == CONTAINER
    assert [one.name for one in spec.metadata.parameters] == [
        one["name"] for one in metadata()["parameters"]
    ]
    assert write_spec(LOCAL, "image-1", CONTAINER) == path
    assert main([*asked, f"--image={CONTAINER[:-1]}b"]) == 2
    assert "is there and differs" in capsys.readouterr().err
    assert OBJECTS.read(path) == written


def test_a_template_names_its_image_by_digest(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tag would be another image tomorrow, and it cannot be asked for what is not named."""
    asked = ["template", "build", "local", f"--home={stack.home}", "--version=../1"]
    assert main([*asked, "--image=host/testudo"]) == 2
    assert "'host/testudo' is neither REPOSITORY:TAG nor" in capsys.readouterr().err
    assert main([*asked, "--image=host/testudo@sha256:0"]) == 2
    told = capsys.readouterr().err
    assert "--image: 'host/testudo@sha256:0' is not of the form" in told
    assert "--version: '../1'" in told
