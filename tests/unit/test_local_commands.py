"""`testudo local` on a machine where no stack runs."""

import argparse
import json
from pathlib import Path

import pytest

from beam_pipeline.local.commands import add_arguments, main
from beam_pipeline.local.detached import read_state
from beam_pipeline.local.stack import is_up, state_file


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return main(parser.parse_args(argv))


@pytest.mark.parametrize("command", ["status", "env"])
def test_no_stack_is_told_and_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Without a stack nothing goes to standard output, which a shell would evaluate."""
    assert run(command, "--home", str(tmp_path)) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert "testudo local up" in output.err


def test_down_without_a_stack_is_no_failure(tmp_path: Path) -> None:
    """Taking down what does not run succeeds, and creates no folder."""
    assert run("down", "--home", str(tmp_path / "new")) == 0
    assert not (tmp_path / "new").exists()


def test_state_file_alone_is_no_stack(tmp_path: Path) -> None:
    """A state file left by a crash or a reboot does not count, and `down` removes it."""
    state_file(tmp_path).write_text(json.dumps({"pid": 1, "environment": {}, "servers": []}))
    assert not is_up(tmp_path)
    assert read_state(tmp_path) is None
    assert run("down", "--home", str(tmp_path)) == 0
    assert not state_file(tmp_path).exists()


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Each subcommand explains itself and its flags."""
    with pytest.raises(SystemExit, match="0"):
        run(command, "--help")
    assert "--home" in capsys.readouterr().out
