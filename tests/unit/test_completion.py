"""Completions, asked of a real bash."""

import subprocess
from pathlib import Path

import pytest

from testudo import cli

ASK = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
$(complete -p testudo | sed 's/.*-F \\([^ ]*\\).*/\\1/') testudo "${!#}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "testudo"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert cli.main(["completion", "bash"]) == 0
    return path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["pu"], ["publish"]),
        (["local", ""], ["up", "down", "status", "env"]),
        (["release", "pro"], ["promote"]),
        (["release", "promote", "--ov"], ["--override"]),
        (["run", "--image_b"], ["--image_batch_size", "--image_buckets"]),
        (["query", "--form"], ["--format"]),
        (["logs", "local", "--severity", "W"], ["WARNING"]),
    ],
    ids=" ".join,
)
def test_bash_completes(script: Path, typed: list[str], offered: list[str]) -> None:
    """Commands, commands of commands, flags of commands and of the job, and choices."""
    assert completions(script, *typed) == offered


def test_every_command_is_completed(script: Path) -> None:
    """New ones too: there is no list beside that of the command itself."""
    assert completions(script, "") == list(cli.COMMANDS)


def completions(script: Path, *typed: str) -> list[str]:
    """What is offered for the last word."""
    command = ["bash", "-c", ASK, "bash", str(script), "testudo", *typed]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    return asked.stdout.split()
