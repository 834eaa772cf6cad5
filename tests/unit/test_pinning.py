"""Fewer cores for a while, for this process and all below it."""

import os
import subprocess
import sys

import psutil
import pytest

from loadtest.measuring.pinning import available_cores, can_pin, on_cores

pytestmark = pytest.mark.skipif(
    not can_pin() or available_cores() == 1, reason="needs Linux and two cores"
)
SLEEP = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]


def test_running_and_new_processes_have_the_cores_of_the_block_and_all_of_them_after_it() -> None:
    """Threads are kept one by one; what began inside of the block is let go with the others."""
    before = os.sched_getaffinity(0)
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        with on_cores(1):
            assert available_cores() == 1
            with subprocess.Popen(SLEEP) as started:
                for process in (running, started):
                    assert len(os.sched_getaffinity(process.pid)) == 1
                started.kill()
        for thread in psutil.Process(running.pid).threads():
            assert os.sched_getaffinity(thread.id) == before
        running.kill()
    assert os.sched_getaffinity(0) == before
