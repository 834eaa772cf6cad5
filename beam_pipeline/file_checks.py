"""Start checks of a run over files: it is told at once what is not there, or in the way."""

import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from google.cloud import storage

from beam_pipeline.checks import (
    REQUEST_TIMEOUT_S,
    RETRY_FOR_S,
    Problems,
    bucket_problems,
    release_problems,
)
from beam_pipeline.config import Config, ConfigError
from beam_pipeline.io.lines import START_BYTES, start_problem
from beam_pipeline.results import WRITTEN
from models.objects import CLOUD, split_uri

READERS = 16
SHOWN = 3  # problems of a flag


def check_files(config: Config, *, retry_for_s: float = RETRY_FOR_S) -> None:
    """Raises ConfigError with all that is missing or wrong, each by its flag.

    Every input file is opened, and nothing is written. Of gs:// paths the bucket
    is asked for first, for `retry_for_s` and a request's time at most.
    """
    looks: dict[str, Callable[[str, float], Problems]] = {
        "input_file": _input_problems,
        "output": _output_problems,
        "releases": release_problems,
    }

    def look(flag: str) -> Problems:
        path = getattr(config, flag)
        if "://" in path and not path.startswith(CLOUD):
            return [f"--{flag}: {path} is neither a local path nor gs://"]
        return looks[flag](path, retry_for_s)

    with ThreadPoolExecutor(len(looks), "check") as threads:
        found = list(threads.map(look, looks))
    if problems := [problem for each in found for problem in each]:
        raise ConfigError(problems)


def _input_problems(pattern: str, retry_for_s: float) -> Problems:
    if pattern.startswith(CLOUD):
        role = "roles/storage.objectViewer"
        if problems := bucket_problems("input_file", pattern, role, retry_for_s):
            return problems
    elif os.path.isdir(pattern):
        return [f"--input_file: {pattern} is a folder; name its files, as {pattern}/*.jsonl"]
    try:
        (found,) = FileSystems.match([pattern])
    except (BeamIOError, OSError) as error:
        return [f"--input_file: {pattern}: {error}"]
    if not found.metadata_list:
        return [f"--input_file: there is no file {pattern}"]
    paths = [one.path for one in found.metadata_list]
    with ThreadPoolExecutor(READERS, "check-input") as threads:
        problems = list(filter(None, threads.map(_file_problem, paths)))
    more = [f"--input_file: {len(problems) - SHOWN} more files"] if len(problems) > SHOWN else []
    return problems[:SHOWN] + more


def _file_problem(path: str) -> str:
    try:
        with FileSystems.open(path) as file:
            problem = start_problem(file.read(START_BYTES))
    except (BeamIOError, OSError, EOFError, zlib.error) as error:
        problem = f"cannot be read: {error}"
    return f"--input_file: {path}: {problem}" if problem else ""


def _output_problems(output: str, retry_for_s: float) -> Problems:
    if output.startswith(CLOUD):
        role = "roles/storage.objectUser"
        if problems := bucket_problems("output", output, role, retry_for_s):
            return problems
        earlier = list(_objects(output))
    else:
        path = Path(output)
        nearest = next(one for one in (path, *path.absolute().parents) if one.exists())
        if not nearest.is_dir():
            return [f"--output: {nearest} is a file, not a folder"]
        if not os.access(nearest, os.W_OK | os.X_OK):
            return [f"--output: {nearest} must not be written to"]
        earlier = [name for name in WRITTEN if any(path.glob(f"{name}*"))]
    if not earlier:
        return []
    names = ", ".join(name if name.endswith("/") else f"{name}*" for name in earlier)
    return [
        f"--output: {output} has {names} of an earlier run; name another, or remove these first"
    ]


def _objects(output: str) -> Iterator[str]:
    """Which of the names that a run writes there are under a gs:// prefix."""
    bucket, prefix = split_uri(output)
    with storage.Client(project=None) as client:
        for name in WRITTEN:
            whole = "/".join(filter(None, (prefix, name)))
            if any(
                client.list_blobs(bucket, prefix=whole, max_results=1, timeout=REQUEST_TIMEOUT_S)
            ):
                yield name
