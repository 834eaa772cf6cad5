"""A local stack of its own, within a block."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testudo.local.resources import prepare_stack
from testudo.local.stack import LocalStack


@contextmanager
def own_stack(home: Path, report: Callable[[str], None]) -> Iterator[LocalStack]:
    """A local stack with everything created, which this process's Google clients use."""
    before = dict(os.environ)
    (home / "tools").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="testudo-bench-") as name:
        folder = Path(name)
        (folder / "tools").symlink_to((home / "tools").resolve())  # installed once for all
        with LocalStack(folder, report) as stack:
            os.environ.update(stack.environment)
            try:
                prepare_stack()
                yield stack
            finally:
                for variable in stack.environment.keys() - before.keys():
                    del os.environ[variable]
                os.environ.update(before)
