"""The real local stack, once a session, the real pipeline on it, and a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, missing
from google.cloud import bigquery
from streaming import Pipeline

from models.release import Pointer, write_pointer
from testudo.commands.engines import BigQueryEngine
from testudo.environment import LOCAL, Environment
from testudo.errors import ToolsMissing
from testudo.local.engine import running_engine
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER, install_tools

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The four servers, and an environment that leads Google's clients to them."""
    try:
        install_tools(TOOLS, print)
    except ToolsMissing as error:
        pytest.fail(f"the end-to-end tests need the local stack:\n{error}")
    home = tmp_path_factory.mktemp("stack")
    with LocalStack(home, print, tools=TOOLS) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="session")
def pipeline(
    stack: LocalStack, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """The pipeline, with a small release that was trained for the tests."""
    releases = tmp_path_factory.mktemp("releases") / "releases"
    shutil.copytree(trained, releases)
    first = next(one.name for one in releases.iterdir() if one.name.startswith("first-"))
    write_pointer(str(releases), Pointer(default=first))
    running = Pipeline(stack.home, releases)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def place(stack: LocalStack) -> Environment:
    return LOCAL


@pytest.fixture(scope="session")
def engine(place: Environment) -> BigQueryEngine:
    return BigQueryEngine(bigquery.Client(project=place.project), place.dataset)


@pytest.fixture(scope="module")
def engine_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prism of the test module's own: host and port of its job service."""
    with running_engine(tmp_path_factory.mktemp("engine"), print, tools=TOOLS) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Without one the tests say so; in continuous integration that is a failure."""
    if absent := missing():
        said = f"needs {' and '.join(absent)}: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    with browser() as running:
        yield running
