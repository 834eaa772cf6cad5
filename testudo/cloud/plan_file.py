"""Files of `testudo loadtest plan`: values of workers, taken over those of an environment."""

import dataclasses
import tomllib
from pathlib import Path

from testudo.environment import Environment
from testudo.environment_file import size_problems, values_problems
from testudo.errors import CommandError

# What a plan may say; all else is the environment's own.
PLANNED = (
    "machine_type",
    "num_workers",
    "min_num_workers",
    "max_num_workers",
    "utilization_hint",
    "threads",
    "processes",
    "min_ram_gb",
    "disk_size_gb",
)


def with_plan(environment: Environment, path: Path) -> Environment:
    """The environment with the values of a plan.

    Raises CommandError with everything that is wrong with the file, naming it.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(
            f"{path}: {error.strerror}; `testudo loadtest plan` writes one"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
    problems = values_problems(values, PLANNED)
    if not values:
        problems = [f"says nothing; a plan has {', '.join(PLANNED)}"]
    if not problems:
        planned = dataclasses.replace(environment, **values)
        problems = size_problems(planned)
    if problems:
        raise CommandError("\n".join(f"{path}: {problem}" for problem in problems))
    return planned
