"""Fewer cores for a while: how one process does on a full machine, measured on any machine."""

import contextlib
import os
from collections.abc import Iterator

import psutil


def available_cores() -> int:
    """That this process may use."""
    if not can_pin():
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def can_pin() -> bool:
    """Whether the system lets processes be kept to some cores; macOS does not."""
    return hasattr(os, "sched_setaffinity")


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """This process and all below it on the first `count` of its cores, within the block.

    Those that are started within it stay there. Raises OSError where the system has no such thing.
    """
    if not can_pin():
        raise OSError("this system does not keep processes to some cores")
    before = os.sched_getaffinity(0)
    try:
        _pin(set(sorted(before)[:count]))
        yield
    finally:
        _pin(before)


def _pin(cores: set[int]) -> None:
    """Each thread by itself: Linux keeps threads, not processes, to cores."""
    head = psutil.Process()
    for process in [head, *head.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            for thread in process.threads():
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(thread.id, cores)
