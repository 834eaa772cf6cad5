"""`testudo run` as the bench runs it: perhaps of another graph.

python -m rigs.bench_job WAY --home=... --local_releases=... and the other flags of the command
"""

import importlib
import sys

from beam_pipeline import main as entry
from testudo.cli import main as command

GRAPHS = {"null": "rigs.null_graph", "idiomatic": "rigs.idiomatic"}


def main() -> int:
    way, *flags = sys.argv[1:]
    if way in GRAPHS:
        graph = importlib.import_module(GRAPHS[way])
        entry.build = graph.build  # type: ignore[attr-defined]
    return command(["run", *flags])


if __name__ == "__main__":
    sys.exit(main())
