"""How tests wait: until what they wait for is there, however busy the machine is."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

DEADLINE_S = 240.0  # on a machine with nothing else to do; it ends only tests that fail
MOST_SLOWNESS = 3.0
FIRST_POLL_S, LAST_POLL_S = 0.01, 0.5

T = TypeVar("T")


def eventually(look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Look again and again until what is seen will do; fails with the last sight of it."""
    left_s, tick, before_s = DEADLINE_S, threading.Event(), time.monotonic()
    poll_s = FIRST_POLL_S
    while not done(seen := look()):
        assert left_s > 0, f"never came about; last seen: {seen}"
        tick.wait(poll_s)
        poll_s = min(2 * poll_s, LAST_POLL_S)
        now_s = time.monotonic()
        left_s -= (now_s - before_s) / _slowness()
        before_s = now_s
    return seen


def _slowness() -> float:
    """How many there are to share a core: so much longer everything takes.

    Up to a bound, since the load may be that of a whole host: pytest's own limit comes after it.
    """
    return min(MOST_SLOWNESS, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def nothing(seen: object) -> bool:
    """For `eventually`: it is all gone."""
    return not seen


def exit_code(process: "subprocess.Popen[Any]") -> int:
    """How a process ends that is about to."""
    code = eventually(process.poll, lambda seen: seen is not None)
    assert code is not None
    return code
