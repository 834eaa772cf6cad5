"""How an update goes: graphs held against each other, and the gentlest way that is left."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api
from google.cloud.dataflow_v1beta3 import Job, JobState

from testudo.cloud.deployments import Deployment
from testudo.cloud.differences import Graph, differences
from testudo.cloud.fingerprint import fingerprint
from testudo.cloud.graphs import reviewed_graph
from testudo.cloud.launching import as_dict, launch_parameter
from testudo.cloud.preflight import needed_quotas
from testudo.cloud.templates import Template, parameter_problems
from testudo.cloud.updating import Way, choose
from testudo.environment import Environment
from testudo.environment_file import environment_from

GRAPH: Graph = json.loads(reviewed_graph())
PARAMETERS = {"text_batch_size": "60"}
RUNNING = Job(name="testudo-staging-20260101-000000", current_state=JobState.JOB_STATE_RUNNING)


def environment(**values: Any) -> Environment:
    return environment_from("staging", {"project": "my-project", **values}, "file")


def template(version: str = "v1", graph: Graph = GRAPH) -> Template:
    image = f"here/testudo@sha256:{'0' * 64}"
    return Template(version, f"gs://b/templates/{version}/template.json", image, {}, graph)


def request(
    made: Template, place: Environment, parameters: dict[str, str] | None = None
) -> dict[str, Any]:
    parameter = launch_parameter(place, made, parameters or PARAMETERS, job_name=RUNNING.name)
    return as_dict(parameter)


def deployed(made: Template, place: Environment) -> Deployment:
    return Deployment(
        job_id="1",
        job_name=RUNNING.name,
        launched_at="2026-01-01T00:00:00Z",
        version=made.version,
        image=made.image,
        way="launch",
        request=request(made, place),
    )


def changed(change: Callable[[Graph], None]) -> Graph:
    graph = copy.deepcopy(GRAPH)
    change(graph)
    return graph


def rename(graph: Graph) -> None:
    graph["Join/Combine"] = graph.pop("Join/Group")


def recode(graph: Graph) -> None:
    outputs = graph["Keep/Write"]["outputs"]
    assert isinstance(outputs, dict)
    outputs["None"] = outputs["None"].replace("publish_time_us int64", "publish_time_us double")


def remember(graph: Graph) -> None:
    graph["Keep/Write"]["state"] = ["cell seen"]


def window(graph: Graph) -> None:
    outputs = graph["Join/FireOnTwo"]["outputs"]
    assert isinstance(outputs, dict)
    outputs["None"] = outputs["None"].replace("interval_window", "global_window")


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        (rename, "Join/Group", "is gone"),
        (recode, "Keep/Write", "int64"),
        (remember, "Keep/Write", "'nothing' became 'cell seen'"),
        (window, "Join/FireOnTwo", "interval_window"),
    ],
)
def test_what_dataflow_would_refuse_is_found(
    change: Callable[[Graph], None], step: str, said: str
) -> None:
    """A step that is gone, records encoded otherwise, other state, other windows: one line each."""
    (found,) = differences(GRAPH, changed(change))
    assert found.step == step
    assert said in found.what
    assert len(found.what) < 300


def test_a_step_more_is_no_difference() -> None:
    """Dataflow takes a replacement with further steps."""
    new = changed(lambda graph: graph.update({"Extra/Step": graph["Keep/Write"]}))
    assert differences(GRAPH, new) == []
    assert [one.step for one in differences(new, GRAPH)] == ["Extra/Step"]


def test_a_fingerprint_reads_cells_timers_and_side_inputs() -> None:
    """State of every kind is named, so that a change of it is seen."""
    payload = beam_api.ParDoPayload(restriction_coder_id="c")
    payload.state_specs["seen"].SetInParent()
    payload.timer_family_specs["due"].SetInParent()
    payload.side_inputs["rates"].SetInParent()
    pipeline = beam_api.Pipeline()
    step = pipeline.components.transforms["1"]
    step.unique_name = "Count"
    step.spec.urn, step.spec.payload = "beam:transform:pardo:v1", payload.SerializeToString()
    assert fingerprint(pipeline)["Count"]["state"] == [
        "cell seen",
        "timer due",
        "side input rates",
        "restriction",
    ]


def test_the_same_again_is_nothing_to_do() -> None:
    """Version, parameters and workers as they run."""
    place, made = environment(), template()
    choice = choose(RUNNING, GRAPH, deployed(made, place), made, request(made, place))
    assert choice.way == Way.NOTHING


@pytest.mark.parametrize(
    "values", [{"max_num_workers": 20}, {"num_workers": 3}, {"utilization_hint": 0.5}]
)
def test_other_limits_of_workers_resize_the_job(values: dict[str, Any]) -> None:
    """The job itself stays, whatever its graph."""
    made = template()
    record = deployed(made, environment())
    choice = choose(RUNNING, None, record, made, request(made, environment(**values)))
    assert choice.way == Way.RESIZE


@pytest.mark.parametrize("values", [{"machine_type": "n2-standard-8"}, {"threads": 4}])
def test_other_workers_replace_the_job_in_place(values: dict[str, Any]) -> None:
    """What a running job cannot take up, a replacement with the same graph does."""
    made = template()
    record = deployed(made, environment())
    choice = choose(RUNNING, GRAPH, record, made, request(made, environment(**values)))
    assert choice.way == Way.IN_PLACE


def test_another_version_of_the_same_graph_replaces_in_place() -> None:
    """Image and code may be others: the graph decides."""
    place, new = environment(), template("v2")
    record = deployed(template(), place)
    assert choose(RUNNING, GRAPH, record, new, request(new, place)).way == Way.IN_PLACE


def test_another_graph_runs_in_parallel_and_says_why() -> None:
    """The reason names the step."""
    place, new = environment(), template("v2", changed(rename))
    choice = choose(RUNNING, GRAPH, deployed(template(), place), new, request(new, place))
    assert choice == (Way.PARALLEL, ["Join/Group: is gone"])


def test_quotas_that_stay_replace_in_place_and_quotas_that_go_do_not() -> None:
    """Their steps are in no template's graph: whether the replacement has them, its flag says."""
    place, new = environment(), template("v2")
    running = changed(lambda graph: graph.update({"Read/Admit/Decide": graph["Keep/Write"]}))
    quotas = PARAMETERS | {"overflow_topic": "projects/my-project/topics/items-overflow"}
    with_them, without = (request(new, place, one) for one in (quotas, PARAMETERS))
    assert choose(RUNNING, running, None, new, with_them).way == Way.IN_PLACE
    assert choose(RUNNING, GRAPH, None, new, with_them).way == Way.IN_PLACE
    assert choose(RUNNING, running, None, new, without).reasons == ["Read/Admit/Decide: is gone"]


def test_without_the_running_graph_no_update_in_place_is_tried() -> None:
    """Its staged file may have been deleted."""
    place, new = environment(), template("v2")
    choice = choose(RUNNING, None, None, new, request(new, place))
    assert choice.way == Way.PARALLEL
    assert "no longer staged" in choice.reasons[0]


def test_a_job_that_drains_is_replaced_in_parallel() -> None:
    """Dataflow updates running jobs only."""
    job = Job(name="testudo-staging-1", current_state=JobState.JOB_STATE_DRAINING)
    place, made = environment(), template()
    choice = choose(job, GRAPH, deployed(made, place), made, request(made, place))
    assert choice == (Way.PARALLEL, ["testudo-staging-1 is draining, not running"])


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({"max_num_workers": 3}, {"N2_CPUS": 12.0, "DISKS_TOTAL_GB": 150.0}),
        (
            {"machine_type": "n1-highmem-8", "use_public_ips": True},
            {"CPUS": 80.0, "DISKS_TOTAL_GB": 500.0, "IN_USE_ADDRESSES": 10.0},
        ),
        ({"machine_type": "custom-2-8192"}, {"CPUS": 20.0, "DISKS_TOTAL_GB": 500.0}),
    ],
)
def test_quotas_are_those_of_the_largest_fleet(
    values: dict[str, Any], needed: dict[str, float]
) -> None:
    """Cores under the name of the machine's family, disks, and addresses when they are public."""
    assert needed_quotas(environment(**values)) == needed


def test_parameters_are_held_against_the_template() -> None:
    """Unknown, missing, and not of the form: all at once."""
    known = {
        "output": {"name": "output", "regexes": ["gs://.+"]},
        "releases": {"name": "releases"},
        "text_batch_size": {"name": "text_batch_size", "isOptional": True},
    }
    problems = parameter_problems(
        Template("v1", "gs://b/t", "i", known, {}), {"output": "here", "bogus": "1"}
    )
    assert problems == [
        "--bogus: the template v1 has no such parameter",
        "--output: 'here' does not match gs://.+",
        "--releases: is missing",
    ]
