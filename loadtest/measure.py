"""What one way to score items cost, and how that is measured: alike for every way.

Nothing that happens once counts: no import, no model load, no building of a
graph. Each way first runs some items, so that all of that has happened; then
its process's CPU time is taken over more items. Threads of the numeric
libraries are set to one everywhere.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
_LAST_LINES = 15


class Cost(NamedTuple):
    """What `items` items cost one process, start-up left out."""

    items: int
    cpu_s: float
    wall_s: float
    peak_bytes: int  # the process's largest resident memory, start-up included
    engine_cpu_s: float = 0.0  # of an engine in a process of its own
    join_bytes: float = 0.0  # an item; 0 where it was not measured

    @property
    def items_per_cpu_s(self) -> float:
        return self.items / self.cpu_s

    @property
    def items_per_all_cpu_s(self) -> float:
        """The engine's CPU time counted too."""
        return self.items / (self.cpu_s + self.engine_cpu_s)

    @property
    def items_per_s(self) -> float:
        return self.items / self.wall_s


class MeasuringError(Exception):
    """A measured process ended badly; says which, and its last words."""


def difference(run: Callable[[int], None], *, few: int, items: int) -> Cost:
    """The cost of `items` items: that of a run of few + items less that of a run of few.

    Both follow a first run of few, which pays for what happens once.
    """
    run(few)
    spent = []
    for count in (few, few + items):
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        run(count)
        spent.append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    (few_cpu_s, few_wall_s), (all_cpu_s, all_wall_s) = spent
    return Cost(items, all_cpu_s - few_cpu_s, all_wall_s - few_wall_s, peak_rss_bytes())


def peak_rss_bytes() -> int:
    """The largest resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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


def last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-_LAST_LINES:])


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
