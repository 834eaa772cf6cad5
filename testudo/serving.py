"""The job's own models' processes on this machine, for commands that load releases."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from models.failures import Failure, Stage
from models.features import ImageLimits
from models.isolation import ModelProcess
from models.kernels import CallLimits
from models.manifest import Manifest
from models.model_process import Setup
from models.release import fetch_release
from testudo.errors import Failed

STAGES = (Stage.IMAGE, Stage.TEXT, Stage.SCORE)

Processes = Mapping[Stage, ModelProcess]


@contextmanager
def serving_processes(calls: CallLimits, limits: ImageLimits) -> Iterator[Processes]:
    """A process for each stage, which may load several releases."""
    processes = {stage: ModelProcess(Setup(stage, calls, limits)) for stage in STAGES}
    with _own_output():
        try:
            yield processes
        finally:
            for process in processes.values():
                process.close()


@contextmanager
def _own_output() -> Iterator[None]:
    """Of processes started within: what functions print goes to this command's standard error.

    Libraries' notices there, which C++ code writes past any logging level, go nowhere.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(err, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(out, 1)
        os.dup2(err, 2)
        for number in (out, err, nowhere):
            os.close(number)


def load_everywhere(processes: Processes, folder: Path) -> list[Failure]:
    """Load a release in all stages at once, with its golden items; returns why it cannot be."""
    with ThreadPoolExecutor(len(processes)) as threads:  # each imports for a while
        failures = list(threads.map(lambda process: process.load(folder), processes.values()))
    return [one for one in failures if one is not None]


def check_serves(root: str, release: str) -> Manifest:
    """Load a release under `root` as a worker does, and let it go.

    Raises ReleaseError for one that is missing or damaged, Failed for one that cannot be
    loaded or does not reproduce its golden items.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving_processes(CallLimits(), ImageLimits()) as processes,
    ):
        manifest, folder = fetch_release(root, release, Path(scratch))
        refuse(release, load_everywhere(processes, folder))
    return manifest


def refuse(release: str, failures: list[Failure]) -> None:
    """Raises Failed, with every stage that cannot load the release, where there is any."""
    if failures:
        lines = [f"  {one.stage}: {one.detail}" for one in failures]
        raise Failed("\n".join([f"{release} cannot be used, and nothing was changed:", *lines]))
