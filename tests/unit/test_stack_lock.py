"""Who holds a stack, and who only looks."""

import subprocess
import sys
from pathlib import Path

import pytest

from testudo.errors import StackError
from testudo.local.stack import is_up, only_owner

LOOKER = """
import sys
from pathlib import Path
from testudo.local.stack import is_up
print("looks", flush=True)
while True:
    is_up(Path(sys.argv[1]))
"""
STARTS = 2_000


@pytest.mark.slow
def test_looking_refuses_no_start(tmp_path: Path) -> None:
    """While others look as fast as they can, each start takes place."""
    command = [sys.executable, "-c", LOOKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as looker:
        try:
            assert looker.stdout is not None
            looker.stdout.readline()
            for _ in range(STARTS):
                with only_owner(tmp_path):
                    pass
        finally:
            looker.kill()


@pytest.mark.slow
def test_lookers_do_not_take_each_other_for_a_stack(tmp_path: Path) -> None:
    """Where none runs, nobody sees one, however many look at once."""
    command = [sys.executable, "-c", LOOKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as looker:
        try:
            assert looker.stdout is not None
            looker.stdout.readline()
            assert not any(is_up(tmp_path) for _ in range(STARTS))
        finally:
            looker.kill()


def test_a_stack_that_is_held_is_seen_and_refuses_a_second(tmp_path: Path) -> None:
    """From the first moment of its start to its end."""
    with only_owner(tmp_path):
        assert is_up(tmp_path)
        with pytest.raises(StackError, match="already"), only_owner(tmp_path):
            pass
        assert is_up(tmp_path)
    assert not is_up(tmp_path)
