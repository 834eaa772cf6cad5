"""`testudo run` with another graph: that of nothing, or the one of the public examples.

python -m rigs.bench_job WAY --home=... --local_releases=... and the other flags of the command
"""

import importlib
import sys

from beam_pipeline import main as entry
from testudo.cli import main as command

GRAPHS = {"null": "rigs.null_graph", "idiomatic": "rigs.idiomatic"}


def main() -> int:
    way, *flags = sys.argv[1:]
    entry.build = importlib.import_module(GRAPHS[way]).build  # type: ignore[attr-defined]
    return command(["run", *flags])


if __name__ == "__main__":
    sys.exit(main())
