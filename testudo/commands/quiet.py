"""A terminal for what this program says: libraries and other processes say theirs to a file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Have all that is written to descriptor 2 in the block go to `log`, if that is a terminal.

    `sys.stderr` goes to the terminal all the same: that is what this program says itself.
    """
    if not sys.stderr.isatty():
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    before, number = sys.stderr, os.dup(2)
    with open(number, "w", buffering=1, errors="backslashreplace") as terminal:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 2)
        sys.stderr = terminal
        try:
            print(f"Its log is {log}", file=terminal)
            yield
        finally:
            sys.stderr = before
            os.dup2(number, 2)
