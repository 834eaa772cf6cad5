"""templates/graph.json: an update of a running job is judged by it, so it changes on purpose."""

import json
import os
from pathlib import Path

import pytest

from testudo.cloud.differences import Graph
from testudo.cloud.graphs import EXAMPLE_FLAGS, FILE, as_text, built_graph, reviewed_graph
from testudo.cloud.updating import QUOTA_STEPS

REVIEWED = Path(__file__).parents[2] / "templates" / FILE
RENEW = "TESTUDO_RENEW_GRAPH"
HOW = (
    f"The graph changed: jobs that run may have to be replaced in parallel. If it is meant, say so "
    f"in the changelog and renew the file with {RENEW}=1 pytest tests/contract/test_graph.py"
)
LEVELS = 2


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The graph of this code as it runs on Dataflow."""
    return built_graph()


def test_the_graph_is_the_reviewed_one(graph: Graph) -> None:
    """Names, encodings and state of the steps change only on purpose."""
    if os.environ.get(RENEW):
        REVIEWED.write_text(as_text(graph), encoding="utf-8")
    assert graph == json.loads(reviewed_graph()), HOW


@pytest.mark.slow
def test_flags_that_people_set_do_not_change_the_graph(graph: Graph) -> None:
    """Else an update that only sets a flag would replace the job."""
    flags = ["--image_batch_size=8", "--call_timeout_s=5"]
    flags += ["--input_subscription=projects/other-project/subscriptions/others"]
    others = built_graph([*EXAMPLE_FLAGS, *flags])
    assert others == graph


@pytest.mark.slow
def test_quotas_add_steps_and_change_none(graph: Graph) -> None:
    """So that a running job is updated to have them, and keeps what its reader remembers."""
    topic = "projects/my-project/topics/items-overflow"
    others = built_graph([*EXAMPLE_FLAGS, f"--overflow_topic={topic}"])
    assert {name: others.get(name) for name in graph} == graph
    added = others.keys() - graph.keys()
    assert added == {
        "Read/Admit/Decide/ParDo(_AdmitDoFn)",
        "Read/Overflow/ToPubsub",
        "Read/Overflow/Publish/ToProtobufX",
        "Read/Overflow/Publish/ParDo(_PubSubWriteDoFn)",
    }
    assert all(name.startswith(QUOTA_STEPS) for name in added)
    assert not any(others[name]["state"] for name in added)


def test_step_names_are_words_of_our_own(graph: Graph) -> None:
    """The top levels are CamelCase, and no name holds a line number of Beam's code."""
    for name in graph:
        assert ".py:" not in name, name
        for word in name.split("/")[:LEVELS]:
            assert word.isidentifier(), name
            assert word[0].isupper(), name


def test_only_these_steps_keep_state(graph: Graph) -> None:
    """The ids that Pub/Sub's reader remembers, and one grouping; no cell, no timer."""
    stateful = {name for name, step in graph.items() if step["state"]}
    assert stateful == {"Read/Pull/Read", "Join/Group"}
