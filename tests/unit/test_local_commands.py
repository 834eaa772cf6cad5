"""`testudo local` on a machine where no stack runs."""

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import eventually

from testudo.commands.local import add_arguments, main
from testudo.local.detached import read_state, stop_detached
from testudo.local.stack import is_up, state_file


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


HOLDS = """
import signal, sys, time
from pathlib import Path
from testudo.local.stack import only_owner
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with only_owner(Path(sys.argv[1])):
    print(flush=True)
    while True:
        time.sleep(0.1)
"""


def test_a_server_that_nobody_has_waited_for_yet_holds_up_no_end(tmp_path: Path) -> None:
    """It has ended: in a container there may be nobody who ever does."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with contextlib.ExitStack() as ends:
        owner = ends.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
        ends.callback(owner.kill)  # where the test fails before it is ended
        assert owner.stdout
        owner.stdout.readline()
        with subprocess.Popen([sys.executable, "-c", ""]) as server:
            ended = psutil.Process(server.pid)
            eventually(ended.status, lambda status: status == psutil.STATUS_ZOMBIE)
            one = {"name": "pubsub", "pid": server.pid, "ports": [1], "log": "pubsub.log"}
            state = {"pid": owner.pid, "tools": "tools", "environment": {}, "servers": [one]}
            state_file(tmp_path).write_text(json.dumps(state))
            assert stop_detached(tmp_path) is True
    assert not state_file(tmp_path).exists()
