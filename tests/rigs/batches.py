"""The batches that models were called with, as their processes write them down."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from testudo.local.jobs import python_path

VARIABLE = "BENCH_BATCHES_FILE"
COUNTING = Path(__file__).with_name("counting")


class Batches:
    """A file that grows by a line a call; means are of what came since `mark`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = 0
        path.write_bytes(b"")

    @property
    def variables(self) -> Mapping[str, str]:
        """What a job needs in its environment, so that its models' processes count."""
        paths = [str(COUNTING), str(COUNTING.parents[1]), python_path()]
        return {VARIABLE: str(self._path), "PYTHONPATH": os.pathsep.join(paths)}

    def mark(self) -> None:
        self._from = self._path.stat().st_size

    def means(self) -> dict[str, float]:
        """Items a call, by stage."""
        sizes: defaultdict[str, list[int]] = defaultdict(list)
        with self._path.open("rb") as file:
            file.seek(self._from)
            for line in file:
                stage, size = line.split()
                sizes[stage.decode()].append(int(size))
        return {stage: sum(some) / len(some) for stage, some in sizes.items()}


def count_batch(stage: str, size: int) -> None:
    """One call of a model that runs in the worker itself."""
    if path := os.environ.get(VARIABLE):
        with open(path, "ab") as file:
            file.write(f"{stage} {size}\n".encode())
