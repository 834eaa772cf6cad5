"""What one way to score items cost, and how that is measured: alike for every way.

Nothing that happens once counts: no import, no model load, no building of a
graph. Each way first runs some items, so that all of that has happened; then
the CPU time of its process, and of its models' processes, is taken over more
items. Threads of the numeric libraries are set to one everywhere.
"""

import argparse
import contextlib
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from loadtest.processes import MODELS, ONE_THREAD, MeasuringError, last_lines

LARGEST = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_TRIES = 5


class Cost(NamedTuple):
    """What `items` items cost one process and its models' processes, start-up left out."""

    items: int
    cpu_s: float
    wall_s: float
    peak_bytes: int  # the sum of each process's largest resident memory, start-up included
    engine_cpu_s: float = 0.0  # of an engine in a process of its own
    join_bytes: float = 0.0  # an item; 0 where it was not measured
    batches: Mapping[str, float] = {}  # items a call of a model, by stage
    objects: int = 0  # written
    appends: int = 0  # requests that brought rows

    @property
    def items_per_cpu_s(self) -> float:
        return self.items / self.cpu_s

    @property
    def cpu_ms(self) -> float:
        """An item."""
        return 1000 * self.cpu_s / self.items

    @property
    def engine_cpu_ms(self) -> float:
        return 1000 * self.engine_cpu_s / self.items

    @property
    def items_per_s(self) -> float:
        return self.items / self.wall_s


def difference(run: Callable[[int], None], *, few: int, items: int) -> Cost:
    """The cost of `items` items: that of a run of few + items less that of a run of few.

    Both follow a first run of few, which pays for what happens once. Where other work on the
    machine made the short run take as long as the long one, both are made again, and the
    least of each counts. Raises MeasuringError where that does not help.
    """
    run(few)
    least_cpu_s, least_wall_s = ({few: math.inf, few + items: math.inf} for _ in range(2))
    for _ in range(_TRIES):
        for count in (few, few + items):
            cpu_s, wall_s = used_cpu_s(psutil.Process()), time.perf_counter()
            run(count)
            spent_s = used_cpu_s(psutil.Process()) - cpu_s
            least_cpu_s[count] = min(least_cpu_s[count], spent_s)
            least_wall_s[count] = min(least_wall_s[count], time.perf_counter() - wall_s)
        cpu_s, wall_s = (one[few + items] - one[few] for one in (least_cpu_s, least_wall_s))
        if min(cpu_s, wall_s) > 0:
            return Cost(items, cpu_s, wall_s, largest_memory_bytes(psutil.Process()))
    raise MeasuringError(
        f"{items} items cost less than what else the machine does changes: measure more items"
    )


def with_models(process: psutil.Process) -> list[psutil.Process]:
    """A worker's process, and those of its models."""
    found = [process]
    for one in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if MODELS in one.cmdline():
                found.append(one)
    return found


def used_cpu_s(process: psutil.Process) -> float:
    """CPU time of a worker and its models until now."""
    times = []
    for one in with_models(process):
        with contextlib.suppress(psutil.Error):
            times.append(one.cpu_times())
    return float(sum(one.user + one.system for one in times))


def largest_memory_bytes(process: psutil.Process) -> int:
    """The sum of the largest resident memories of a worker and its models, until now."""
    return sum(map(_largest_bytes, with_models(process)))


def _largest_bytes(process: psutil.Process) -> int:
    """Where the system does not tell the largest, what it is now."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        if found := LARGEST.search(status):
            return int(found[1]) * 1024
    return int(process.memory_info().rss)


def cost_of_process(module: str, wanted: "Wanted") -> Cost:
    """Run a module that prints its Cost, in a process of its own. Raises MeasuringError."""
    done = subprocess.run(
        [sys.executable, "-m", module, *wanted.flags()],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise MeasuringError(f"{module} ended with:\n{last_lines(done.stderr)}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def tell(cost: Cost) -> None:
    """Print a Cost for `cost_of_process`, on the last line of standard output."""
    print(json.dumps(cost._asdict()), flush=True)


class Wanted(NamedTuple):
    """What a measured process is asked to run."""

    messages: Path
    releases: str
    items: int
    few: int

    def flags(self) -> list[str]:
        return [f"--{name}={value}" for name, value in self._asdict().items()]


def measured_run() -> Wanted:
    """What this process was asked to run, from its flags."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--messages", type=Path, required=True)
    parser.add_argument("--releases", required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--few", type=int, required=True)
    return Wanted(**vars(parser.parse_args()))
