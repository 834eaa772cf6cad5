"""`testudo run --processes`: two jobs on one subscription, killed in the middle and stopped."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Releases
from google.cloud import bigquery
from rigs.job import Job
from waiting import eventually, nothing

from loadtest.stack import own_stack
from models.release_cache import CACHE
from testudo.commands.engines import BigQueryEngine
from testudo.commands.sending import Outgoing, publish
from testudo.environment import LOCAL
from testudo.local.family import living
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER, install_tools
from testudo.messages import sample_messages

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
TEMPORARY = Path(tempfile.gettempdir())
ITEMS = 120
OUTCOMES = """SELECT item_id, 'predicted' FROM `{dataset}.latest_predictions`
UNION ALL SELECT item_id, reason FROM `{dataset}.dead_letter_states`"""

# Google's clients leave connections of answers that they stream to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack that no other job reads from, with the tools that all tests share."""
    install_tools(TOOLS, print)
    (tmp_path / "tools").symlink_to(TOOLS)
    with own_stack(tmp_path, print) as running:
        yield running


@pytest.fixture
def ran() -> list[bool]:
    """True for each time that the command said that it runs, False for each time it ended."""
    return []


@pytest.fixture
def job(own: LocalStack, releases: Releases, ran: list[bool]) -> Iterator[Job]:
    """The command with two processes, started again whenever it ends."""
    flags = [f"--home={own.home}", f"--local_releases={releases.root}"]
    with Job(["--processes=2", *flags], own.home / "job.log", ran.append, seed=1) as running:
        yield running


def child(job: Job) -> psutil.Process:
    """The last one of the command's children."""
    numbered = [
        one
        for one in job.family()
        if any(word.startswith("--process_number") for word in one.cmdline())
    ]
    assert len(numbered) == 2
    return numbered[-1]


def test_a_killed_process_loses_nothing(job: Job, own: LocalStack, ran: list[bool]) -> None:
    """One of two is killed in the middle, then the command: each item ends with one outcome.

    What is killed ends all of it, and started again it goes on; stopped, it leaves nothing.
    """
    place = LOCAL
    engine = BigQueryEngine(bigquery.Client(project=place.project), place.dataset)
    samples = list(sample_messages(ITEMS, seed=31, broken_share=0.07))
    good = [one for one in samples if not one.breakage]
    messages = [Outgoing(one.data, dict(one.attributes)) for one in [*samples, *good[:30]]]

    def outcomes() -> dict[str, str]:
        rows = engine.ask(OUTCOMES).rows
        found = dict(rows)
        assert len(found) == len(rows), "an item has two outcomes"
        return found

    publish(place.topic_path, messages)
    eventually(outcomes, lambda found: len(found) >= 20)
    child(job).kill()
    found = eventually(outcomes, lambda found: len(found) >= ITEMS)
    assert {item for item, outcome in found.items() if outcome == "predicted"} == {
        one.item_id for one in good
    }
    eventually(lambda: list(ran), lambda seen: seen == [True, False, True])
    killed = job.family()
    killed[0].kill()
    eventually(lambda: living(killed), nothing)
    eventually(lambda: list(ran), lambda seen: seen == [True, False, True, False, True])
    last = job.family()
    assert job.stop() == 0
    eventually(job.left, nothing)
    assert [one for each in last for one in TEMPORARY.glob(f"{CACHE}{each.pid}-*")] == []
