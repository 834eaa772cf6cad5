"""CPU time and memory of every process that takes part in a run, sampled once a second.

All of them stand below this process, whose own role is `rig`. What else the machine does
is the role `other`: the busy time of all cores, less that of the processes that are known.
"""

import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pipeline.io.threads import Background
from loadtest.processes import MODELS
from testudo.local.stack import LocalStack

EVERY_S = 1.0
OTHER, RIG = "other", "rig"
WORKER = "worker-"
STAGES = ("image", "text", "score")
NUMBER = re.compile(r"--process_number=(\d+)")
SEVERAL = re.compile(r"--processes=(?!1\b)\d+")
_MODULES = {"loadtest.traffic.sender": "sender", "loadtest.measuring.watcher": "watcher"}
SAMPLES = pa.schema(
    [
        ("at_s", pa.float64()),  # since 1970
        ("role", pa.string()),
        ("pid", pa.int64()),  # 0 for `other`
        ("cpu_s", pa.float64()),  # until then
        ("rss_bytes", pa.int64()),
    ]
)


class Sample(NamedTuple):
    at_s: float
    role: str
    pid: int
    cpu_s: float
    rss_bytes: int


def role_of(command: list[str], name: str) -> str:
    """The role of a process by its command line and name; empty where it has none."""
    line = " ".join(command)
    if MODELS in line:
        return next((f"{stage}-models" for stage in STAGES if f'["{stage}"' in line), "")
    if name == "prism":
        return "engine"
    for module, role in _MODULES.items():
        if module in command:
            return role
    if "testudo.cli" in command and "run" in command:
        if "--lane=overflow" in command:
            return "overflow"
        number = NUMBER.search(line)
        return RIG if SEVERAL.search(line) else f"{WORKER}{number[1] if number else 1}"
    return ""


class Usage:
    """Samples all processes below this one, within its block."""

    def __init__(self, stack: LocalStack) -> None:
        self._samples: list[Sample] = []
        self._servers = {each.pid: each.server.name for each in stack.servers}
        self._roles: dict[psutil.Process, str] = {psutil.Process(): RIG}
        self._cpu_s: dict[psutil.Process, float] = {}  # of each, since sampling began
        self._before_s: dict[psutil.Process, float] = {}
        self._ended = threading.Event()
        self._thread = Background(self._run, "usage")

    def __enter__(self) -> Self:
        self._busy_before_s = _busy_s()
        self._sample(begins=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            self._thread.check()

    def save(self, path: Path) -> pa.Table:
        """Write what was sampled until now; returns it too."""
        columns = zip(*self._samples, strict=True) if self._samples else [()] * len(SAMPLES)
        arrays = [
            pa.array(column, kind) for column, kind in zip(columns, SAMPLES.types, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=SAMPLES)
        pq.write_table(table, path)
        return table

    def _run(self) -> None:
        due_s = time.monotonic() + EVERY_S
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            self._sample()
            due_s = max(due_s + EVERY_S, time.monotonic())
        self._sample()

    def _sample(self, *, begins: bool = False) -> None:
        at_s = time.time()
        for process, role in find_roles(psutil.Process(), self._servers, self._roles).items():
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
            except psutil.Error:
                continue  # it has ended; its last sample stands
            cpu_s = times.user + times.system
            if begins:
                self._before_s[process] = cpu_s
            self._cpu_s[process] = cpu_s - self._before_s.get(process, 0.0)
            self._samples.append(Sample(at_s, role, process.pid, cpu_s, memory.rss))
        busy_s = _busy_s() - self._busy_before_s
        other_s = max(0.0, busy_s - sum(self._cpu_s.values()))
        self._samples.append(Sample(at_s, OTHER, 0, other_s, 0))


def find_roles(
    head: psutil.Process, servers: Mapping[int, str], known: dict[psutil.Process, str]
) -> dict[psutil.Process, str]:
    """Add to `known` what stands below `head` and has a role; `servers` are known by pid."""
    for process in head.children(recursive=True):
        if process in known:
            continue
        try:
            role = servers.get(process.pid) or role_of(process.cmdline(), process.name())
        except psutil.Error:
            continue  # it has just ended
        if role:
            known[process] = role
    return known


def _busy_s() -> float:
    """CPU time that all cores together were busy since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
