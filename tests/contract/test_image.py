"""What templates/Dockerfile must hold, whoever changes it; and the locks that it installs."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement

from testudo.image.context import IGNORE_FILE
from testudo.image.dockerfile import FILE, Instruction, bases, instructions

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / FILE).read_text(encoding="utf-8")
STEPS = list(instructions(TEXT))
LOCKS = {name: REPOSITORY / f"templates/image/requirements-{name}.txt" for name in ("cpu", "gpu")}
TOOLS = REPOSITORY / "templates/image/requirements-build.txt"
BOOT = "/opt/apache/beam/boot"


def named(*names: str) -> list[Instruction]:
    return [step for step in STEPS if step.name in names]


def locked(path: Path) -> dict[str, str]:
    return dict(
        re.findall(r"^([a-z0-9-]+)(?:\[[a-z-]+\])?==([^\s;]+)", path.read_text(), re.MULTILINE)
    )


def last_stage() -> list[Instruction]:
    return STEPS[max(number for number, step in enumerate(STEPS) if step.name == "FROM") :]


def test_every_stage_begins_from_a_digest_or_another_stage() -> None:
    """No tag is followed to wherever it points today."""
    arguments = {f"${{{base.argument}}}" for base in bases(TEXT)}
    stages: set[str] = set()
    for step in named("FROM"):
        assert step.words[0] in arguments | stages, step.line
        stages.add(step.words[-1])


def test_the_image_starts_as_a_worker_and_launches_by_the_launched_file() -> None:
    """The entry is Beam's boot; the launcher finds its program and the file by their places."""
    assert [step.words for step in named("ENTRYPOINT")] == [[BOOT]]
    assert STEPS[-1].name == "ENTRYPOINT"
    copied = [word for step in last_stage() if step.name == "COPY" for word in step.words]
    assert BOOT in copied
    assert "/opt/google/dataflow/python_template_launcher" in copied
    variables = dict(step.assigned({}) for step in last_stage() if step.name == "ENV")
    assert variables["FLEX_TEMPLATE_PYTHON_PY_FILE"] in copied
    assert (REPOSITORY / "templates/image/launch.py").is_file()


def test_nothing_is_installed_when_a_job_or_a_worker_starts() -> None:
    """Launches would be slow, and what they run would be another thing each day."""
    variables = {step.assigned({"VARIANT": ""})[0] for step in named("ENV")}
    assert not variables & {
        "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE",
        "FLEX_TEMPLATE_PYTHON_SETUP_FILE",
        "FLEX_TEMPLATE_PYTHON_EXTRA_PACKAGES",
    }
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT" in variables


def test_packages_come_by_hash_and_as_wheels() -> None:
    """But for this one, which is built from the sources beside it."""
    installs = [step.words for step in named("RUN") if "install" in step.words]
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or "--no-index" in words
    (packages,) = [words for words in installs if "/build/requirements.txt" in words]
    assert {"--no-deps", "--only-binary"} <= set(packages)


def test_commands_need_no_shell() -> None:
    """So that they can be tried without an image, and quote nothing."""
    for step in named("RUN"):
        assert step.value.startswith("["), step.line
        assert step.words[0] in {"python", "uv", "rm"}, step.line


def test_what_is_copied_is_what_a_build_sees() -> None:
    """The ignore file lets in no more, and no less."""
    copied = {
        source.split("/")[0]
        for step in named("COPY")
        if "from" not in step.flags
        for source in step.words[:-1]
    }
    lines = (REPOSITORY / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_copied_folders_are_the_packages_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's, and none of what people type: the wheel of the image has what is there."""
    packages = {one.split(".")[0] for one in setup_arguments(monkeypatch)["packages"]}
    copied = {step.words[0] for step in named("COPY") if len(step.words) == 2}
    assert packages & copied == packages - {"testudo", "loadtest"}


@pytest.mark.parametrize("path", [*LOCKS.values(), TOOLS], ids=lambda path: path.stem)
def test_a_lock_has_the_versions_of_the_constraints(path: Path) -> None:
    """What was tested is what runs; `make lock` writes all of them."""
    constraints = locked(REPOSITORY / "constraints.txt")
    found = locked(path)
    ours = {name: version for name, version in found.items() if not name.startswith("nvidia-")}
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    for name, version in ours.items():  # one of its versions, where Python decides
        assert re.search(rf"^{name}=={re.escape(version)}( ;.*)?$", text, re.MULTILINE), name
    assert ours.keys() <= constraints.keys()


@pytest.mark.parametrize("path", [*LOCKS.values(), TOOLS], ids=lambda path: path.stem)
def test_a_lock_has_a_hash_for_each_package(path: Path) -> None:
    """pip and uv refuse the others."""
    blocks = re.split(r"^(?=\S)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    packages = [block for block in blocks if "==" in block.split("\n")[0]]
    assert len(packages) == len(locked(path))
    assert all("--hash=sha256:" in block for block in packages)


def test_the_lock_has_what_the_job_needs_and_not_what_people_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every library of setup.py's own list; none that only an extra asks for."""
    asked, found = setup_arguments(monkeypatch), locked(LOCKS["cpu"])
    for requirement in map(Requirement, asked["install_requires"]):
        assert requirement.specifier.contains(found[requirement.name]), requirement
    extras = {Requirement(one).name for group in asked["extras_require"].values() for one in group}
    # Brought by Beam and Keras as well, for their own use.
    assert extras & found.keys() <= {"flatbuffers", "google-cloud-monitoring", "pydantic", "rich"}


def test_the_gpu_variant_adds_cuda_and_nothing_else() -> None:
    """One code, one set of versions; the libraries come as packages of their own."""
    cpu, gpu = locked(LOCKS["cpu"]), locked(LOCKS["gpu"])
    assert {name for name in gpu.keys() - cpu.keys() if not name.startswith("nvidia-")} == set()
    assert gpu.keys() > cpu.keys()
    assert {name: gpu[name] for name in cpu} == cpu


def test_the_bases_fit_the_lock() -> None:
    """Boot is of the locked Beam's version; Python is one for all three."""
    tags = {base.argument: base for base in bases(TEXT)}
    assert tags["BEAM_BASE"].tag == locked(LOCKS["cpu"])["apache-beam"]
    version = tags["PYTHON_BASE"].tag.split("-")[0]
    assert tags["BEAM_BASE"].name == f"apache/beam_python{version}_sdk"
    assert f"python{version.replace('.', '')}-" in tags["LAUNCHER_BASE"].name
    assert f"--python-version {version}" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert f"python{version}/" in TEXT


def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", asked.update)
    runpy.run_path(str(REPOSITORY / "setup.py"))
    return asked
