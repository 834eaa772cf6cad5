"""cloudbuild.yaml and templates/promote.yaml: plain commands, and only ones that are there."""

import argparse
import importlib
import re
from pathlib import Path

import pytest
from releasing import BUILDS, GIVEN, REPOSITORY, SUBSTITUTION, TESTUDO, build, words

from testudo.cli import COMMANDS
from testudo.environment_file import FILE, read_environment
from testudo.image.dockerfile import bases

PROGRAMS = {"make", "docker", "gcloud", "gcrane", TESTUDO}
# Images that are a command themselves: the step's arguments are that command's.
COMMAND_OF = {
    "gcr.io/cloud-builders/docker": "docker",
    "gcr.io/go-containerregistry/gcrane": "gcrane",
}
VALUES = {
    "COMMIT_SHA": "0" * 40,
    "_ENVIRONMENT": "staging",
    "_IMAGE": "here/testudo",
    "_FROM": "there/testudo",
    "_VARIANT": "cpu",
    "_VERSION": "1.0",
    "_PROMOTION": "testudo-production",
}


def program(step: list[str], image: str) -> str:
    """The first word, or the image's own command."""
    return COMMAND_OF.get(image, step[0])


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.name)
def test_steps_are_plain_commands(path: Path) -> None:
    """No shell, no script: what a step does can be typed by hand."""
    steps = build(path)["steps"]
    for step, command in zip(steps, words(path, VALUES).values(), strict=True):
        assert {"id", "name", "args"} <= set(step) <= {"id", "name", "args", "env"}, step["id"]
        assert program(command, step["name"]) in PROGRAMS, step["id"]
        assert not {"-c", "bash", "sh"} & set(command), step["id"]


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.name)
def test_every_testudo_command_is_taken_by_its_own_parser(path: Path) -> None:
    """A flag that is renamed breaks this test, and not a release."""
    commands = [one[1:] for one in words(path, VALUES).values() if one[0] == TESTUDO]
    assert commands
    for name, *flags in commands:
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
        parser.parse_args(flags)


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.name)
def test_every_make_target_is_there(path: Path) -> None:
    """Of the Makefile's own targets."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for command in words(path, VALUES).values():
        if command[0] == "make":
            assert set(command[1:]) <= targets


@pytest.mark.parametrize("path", BUILDS, ids=lambda path: path.name)
def test_substitutions_are_defined_and_used(path: Path) -> None:
    """Cloud Build refuses both kinds, but only when a commit has come."""
    text = "\n".join(
        line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")
    )
    defined = set(build(path)["substitutions"])
    assert set(SUBSTITUTION.findall(text)) - GIVEN == defined
    assert read_environment(build(path)["substitutions"]["_ENVIRONMENT"], REPOSITORY / FILE)


def test_a_version_that_fails_in_production_goes_back() -> None:
    """Both environments are deployed with the smoke test, which is what rolls back."""
    for path in BUILDS:
        (deployed,) = [one for one in words(path, VALUES).values() if "deploy" in one]
        assert "--smoke" in deployed


def test_the_builder_is_made_from_digests() -> None:
    """And `testudo template pin` can write them."""
    text = (REPOSITORY / "templates/builder/Dockerfile").read_text(encoding="utf-8")
    arguments = {f"${{{base.argument}}}" for base in bases(text)}
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == arguments
