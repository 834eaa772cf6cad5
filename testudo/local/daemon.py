"""The process behind `testudo local up`: it holds the stack until it is asked to end.

    python -m testudo.local.daemon HOME TOOLS KEEP_DATA

Prints what the stack reports, then closes its standard output when every
server answers; exits with 1 before that when the stack cannot start. Ends on
SIGTERM and SIGINT, the servers with it.
"""

import os
import sys
import time
from pathlib import Path

from testudo.errors import StackError
from testudo.local.stack import LocalStack

LOOK_S = 1.0  # a signal that comes just before a wait begins is seen after it


def main(home: Path, tools: Path, *, keep_data: bool) -> int:
    """Hold the stack; returns the exit code."""
    try:
        with LocalStack(home, _report, tools=tools, keep_data=keep_data):
            _close_output()
            while True:
                time.sleep(LOOK_S)
    except StackError as error:
        _report(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def _close_output() -> None:
    """Let the reader of the output go on; what is printed from now on goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), keep_data=sys.argv[3] == "1"))
