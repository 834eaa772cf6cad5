"""Everything that the laptop stack runs, found or installed into one folder."""

import fcntl
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from testudo.errors import Missing, ToolsMissing
from testudo.local.bigquery_server import get_bigquery, home_folder
from testudo.local.prism import get_prism
from testudo.local.pubsub_emulator import find_emulator_jar, find_java

DEFAULT_FOLDER = Path(".testudo/tools")


class Tools(NamedTuple):
    """The programs of the stack, each known to be there."""

    prism: Path
    java: Path
    emulator_jar: Path
    bigquery: Path
    bigquery_home: Path
    storage: Path


def install_tools(
    folder: Path, report: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> Tools:
    """Return the stack's programs; what is absent and can be installed is installed.

    Takes milliseconds when all is there; the first time up to two minutes,
    reported through `report` (which several threads may call). Raises ToolsMissing
    that lists every tool that this machine cannot get.
    """
    folder = folder.resolve()
    searches: dict[str, Callable[[], Path]] = {
        "prism": lambda: get_prism(folder, report, environ),
        "java": lambda: find_java(environ),
        "emulator_jar": lambda: find_emulator_jar(environ),
        "bigquery": lambda: get_bigquery(folder, report, environ),
        "storage": _find_storage,
    }
    found: dict[str, Path] = {}
    missing: list[Missing] = []
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open(folder / "lock", "w") as lock,
        ThreadPoolExecutor(max_workers=len(searches)) as pool,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # two installations at once would mix their files
        running = {name: pool.submit(search) for name, search in searches.items()}
    for name, search in running.items():
        try:
            found[name] = search.result()
        except ToolsMissing as error:
            missing += error.missing
    if missing:
        raise ToolsMissing(*missing)
    return Tools(**found, bigquery_home=home_folder(folder))


def _find_storage() -> Path:
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    if program.exists():
        return program
    raise ToolsMissing(
        Missing(
            what="gcp-storage-emulator",
            why="the stand-in for Cloud Storage, a Python package",
            how="Install Testudo with its extra: `pip install 'testudo[local]'`.",
        )
    )
