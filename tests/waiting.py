"""How tests wait: until what they wait for is there, however busy the machine is."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

# It ends only tests that fail, so it is long: with other work a machine is ten times slower.
DEADLINE_S = 300.0
POLL_S = 0.5

T = TypeVar("T")


def eventually(look: Callable[[], T], done: Callable[[T], bool], *, poll_s: float = POLL_S) -> T:
    """Look again and again until what is seen will do; fails with the last sight of it."""
    deadline_s, tick = time.monotonic() + DEADLINE_S, threading.Event()
    while not done(seen := look()):
        assert time.monotonic() < deadline_s, f"never came about; last seen: {seen}"
        tick.wait(poll_s)
    return seen


def nothing(seen: object) -> bool:
    """For `eventually`: it is all gone."""
    return not seen
