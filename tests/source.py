"""The project's own code as the tests of its shape read it: once a process, when the first asks."""

import ast
import functools
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
JOB = ("models", "transforms", "beam_pipeline", "templates")  # what the worker image carries
PACKAGES = (*JOB, "testudo", "loadtest")


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the packages, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found
