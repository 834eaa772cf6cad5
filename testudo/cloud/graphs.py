"""Where graphs are found: built from this code, reviewed in the repository, running on Dataflow.

Beam is imported when a graph is asked for, and not before: it takes two seconds, and few commands
need one.
"""

import json
from collections.abc import Sequence
from importlib import resources

from google.cloud.dataflow_v1beta3 import Job
from google.protobuf.message import DecodeError

from models.objects import OBJECTS
from testudo.cloud.differences import Graph

FILE = "graph.json"
# The graph does not depend on what they name.
EXAMPLE_FLAGS = (
    "--input_subscription=projects/my-project/subscriptions/items",
    "--predictions_table=my-project:testudo.predictions",
    "--dead_letters_table=my-project:testudo.dead_letters",
    "--output=gs://my-bucket",
    "--releases=gs://my-bucket/releases",
    "--project=my-project",
    "--region=europe-west1",
    "--temp_location=gs://my-bucket/temp",
)


def built_graph(flags: Sequence[str] = EXAMPLE_FLAGS) -> Graph:
    """The graph of this code as Beam would send it to Dataflow; nothing is sent."""
    from beam_pipeline.main import make_pipeline
    from testudo.cloud.fingerprint import fingerprint

    pipeline = make_pipeline([*flags, "--runner=DataflowRunner", "--dry_run=True"])
    return fingerprint(pipeline.run().job.proto_pipeline)


def reviewed_graph() -> str:
    """The text of templates/graph.json, which a test holds against the code."""
    return resources.files("templates").joinpath(FILE).read_text(encoding="utf-8")


def as_text(graph: Graph) -> str:
    return json.dumps(graph, indent=1) + "\n"


def running_graph(job: Job) -> Graph | None:
    """The graph that Beam staged for the job; None when it is there no more."""
    from apache_beam.portability.api import beam_runner_api_pb2 as beam_api

    from testudo.cloud.fingerprint import fingerprint

    options = dict(job.environment.sdk_pipeline_options or {}).get("options") or {}
    uri = str(dict(options).get("pipelineUrl") or "")
    if not uri.startswith("gs://"):
        return None
    try:
        return fingerprint(beam_api.Pipeline.FromString(OBJECTS.read(uri)))
    except (OSError, DecodeError):
        return None
