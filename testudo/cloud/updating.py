"""How a running job gets to a new version: the way, and why that one."""

import enum
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.cloud.dataflow_v1beta3 import Job, JobState

from testudo.cloud.deployments import Deployment
from testudo.cloud.differences import Graph, differences
from testudo.cloud.jobs import state_of
from testudo.cloud.launching import without_size
from testudo.cloud.templates import Template

# The steps that --overflow_topic adds. The template's graph is the one without them.
QUOTA_STEPS = ("Read/Admit/", "Read/Overflow/")


class Way(enum.StrEnum):
    """From the gentlest on."""

    NOTHING = "nothing to do"
    RESIZE = "resize"  # the same job with other limits of workers
    IN_PLACE = "in place"  # a replacement that takes over state and buffered records
    PARALLEL = "parallel"  # a second job beside it, then a drain of the first


class Choice(NamedTuple):
    way: Way
    reasons: list[str]


def choose(
    running: Job,
    running_graph: Graph | None,
    deployed: Deployment | None,
    template: Template,
    request: Mapping[str, Any],
) -> Choice:
    """The gentlest way that Dataflow will not refuse."""
    if running.current_state != JobState.JOB_STATE_RUNNING:
        return Choice(Way.PARALLEL, [f"{running.name} is {state_of(running)}, not running"])
    if deployed is not None and without_size(deployed.request) == without_size(request):
        if _size(deployed.request) == _size(request):
            return Choice(Way.NOTHING, ["version, parameters and workers are those that run"])
        return Choice(Way.RESIZE, ["only the limits of workers differ"])
    if running_graph is None:
        return Choice(Way.PARALLEL, ["the graph of the running job is no longer staged"])
    replaced = running_graph
    if request["parameters"].get("overflow_topic"):  # the replacement has them too
        replaced = {k: step for k, step in running_graph.items() if not k.startswith(QUOTA_STEPS)}
    reasons = [f"{found.step}: {found.what}" for found in differences(replaced, template.graph)]
    if reasons:
        return Choice(Way.PARALLEL, reasons)
    return Choice(Way.IN_PLACE, ["steps, encodings and state of the graph are the same"])


def _size(request: Mapping[str, Any]) -> str:
    """What `without_size` leaves out, in an order of its own."""
    environment = request["environment"]
    workers = [environment.get("num_workers"), environment.get("max_workers")]
    return json.dumps([workers, sorted(environment.get("additional_pipeline_options", ()))])
