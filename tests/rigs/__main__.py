"""What developers run from a checkout, each with flags and as a target of make.

PYTHONPATH=tests python -m rigs chaos --help
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from testudo.cli import run_command
from testudo.parser import Parser

TESTS = Path(__file__).resolve().parents[1]
COMMANDS = {
    "bench": (
        "rigs.bench",
        "measure the pipeline in two shapes of bundles, beside a plain loop and others",
    ),
    "chaos": ("rigs.chaos", "break everything for some minutes, and count what is lost"),
    "reference": ("rigs.reference", "write docs/reference.md from the tables of the code"),
    "limits": ("rigs.limits", "measure how much one process of the load generator can send"),
    "encoders": ("rigs.encoders", "measure one encoder by each of the three runtimes"),
    "fuzz": ("rigs.fuzz", "look for inputs that the parser or the decoder cannot take"),
}


def main(argv: Sequence[str]) -> int:
    """Run one of COMMANDS, as `testudo` runs its own. Returns the exit code."""
    # For the processes that a rig starts: they are started by module, as `-m rigs.loop`.
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    parser = Parser(prog="python -m rigs", description="Rigs of the tests.")
    return run_command(parser, {"rigs": COMMANDS}, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
