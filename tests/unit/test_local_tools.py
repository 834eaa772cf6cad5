"""How the programs of the laptop stack are found, and told when they are missing."""

import stat
from pathlib import Path

import pytest

from testudo.errors import Missing, ToolsMissing
from testudo.local.prism import VERSION, get_prism
from testudo.local.pubsub_emulator import find_emulator_jar, find_java


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def java(path: Path, version: str) -> Path:
    return script(path, f"echo 'openjdk version \"{version}\"' >&2")


def sdk(root: Path) -> Path:
    jar = root / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    script(root / "bin/gcloud", "exit 1")
    return jar


def test_emulator_is_found_behind_the_link_to_gcloud(tmp_path: Path) -> None:
    """The jar is found from a `gcloud` on the PATH that is a link, without running it."""
    jar = sdk(tmp_path / "sdk")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(tmp_path / "sdk/bin/gcloud")
    assert find_emulator_jar({"PATH": str(tmp_path / "bin")}, places=()) == jar


def test_emulator_is_found_in_the_sdk_that_is_named(tmp_path: Path) -> None:
    """CLOUDSDK_ROOT_DIR comes before everything else."""
    jar, other = sdk(tmp_path / "named"), sdk(tmp_path / "other")
    environ = {"CLOUDSDK_ROOT_DIR": str(tmp_path / "named"), "PATH": ""}
    assert find_emulator_jar(environ, places=[str(tmp_path / "other")]) == jar
    assert find_emulator_jar({"PATH": ""}, places=[str(tmp_path / "other")]) == other


def test_absent_emulator_is_told_with_the_way_to_get_it(tmp_path: Path) -> None:
    """Without the component the error says what it is for and how to install it."""
    with pytest.raises(ToolsMissing, match=r"stand-in for Pub/Sub.*components install"):
        find_emulator_jar({"PATH": str(tmp_path)}, places=())


@pytest.mark.parametrize("version", ["11.0.2", "17.0.15", "25"])
def test_java_of_a_fitting_version_is_taken(tmp_path: Path, version: str) -> None:
    """Java 11 and later are taken from JAVA_HOME."""
    expected = java(tmp_path / "bin/java", version)
    assert find_java({"JAVA_HOME": str(tmp_path), "PATH": ""}, places=()) == expected


def test_too_old_java_is_passed_over_and_told(tmp_path: Path) -> None:
    """Java 8 (which calls itself 1.8) is not taken; a newer one elsewhere is."""
    environ = {"JAVA_HOME": str(tmp_path / "old"), "PATH": ""}
    java(tmp_path / "old/bin/java", "1.8.0_412")
    newer = java(tmp_path / "new/java", "21.0.1")
    assert find_java(environ, places=[str(newer)]) == newer
    with pytest.raises(ToolsMissing, match="is version 8"):
        find_java(environ, places=())


def test_java_that_does_not_run_is_none(tmp_path: Path) -> None:
    """The stub that macOS ships instead of Java counts as no Java."""
    script(tmp_path / "bin/java", "echo 'Unable to locate a Java Runtime.' >&2; exit 1")
    with pytest.raises(ToolsMissing, match="Java 11 or later"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": ""}, places=())


def test_prism_that_is_named_is_used_as_it_is(tmp_path: Path) -> None:
    """TESTUDO_PRISM wins over everything; nothing is built or fetched."""
    given = script(tmp_path / "prism", "exit 0")
    assert get_prism(tmp_path / "tools", print, {"TESTUDO_PRISM": str(given)}) == given
    assert not (tmp_path / "tools").exists()


def test_named_prism_that_is_no_program_is_told(tmp_path: Path) -> None:
    """A wrong TESTUDO_PRISM is an error, never silently replaced by another Prism."""
    with pytest.raises(ToolsMissing, match=rf"{VERSION} is missing.*is not a program"):
        get_prism(tmp_path, print, {"TESTUDO_PRISM": str(tmp_path / "nothing")})


def test_everything_missing_is_told_at_once() -> None:
    """The error lists each tool on a line: what, why and how."""
    error = ToolsMissing(Missing("A", "for this", "Do x."), Missing("B", "for that", "Do y."))
    assert str(error) == "A is missing (for this). Do x.\nB is missing (for that). Do y."
