"""A graph's fingerprint: what Dataflow holds against a running job when that is updated.

Dataflow hands a running job's state and buffered records to its replacement step
by step, by the steps' names. It refuses a replacement that lacks a step, or whose
step encodes its records otherwise or keeps other state. The fingerprint is those
names, encodings and states and nothing else, so that two graphs can be compared
before anything is started.

Read from Beam's portable form of the graph; nothing in it is unpickled.
"""

from apache_beam.portability.api import beam_runner_api_pb2 as beam_api
from apache_beam.portability.api import schema_pb2
from google.protobuf import wrappers_pb2

from testudo.cloud.differences import Graph, Step

PARDO, GROUP = "beam:transform:pardo:v1", "beam:transform:group_by_key:v1"
PUBSUB_READ = "beam:transform:pubsub_read:v1"


def fingerprint(pipeline: beam_api.Pipeline) -> Graph:
    """Step name -> kind, encoding of each output, state kept; sorted by name."""
    names = {step.unique_name: step for step in pipeline.components.transforms.values()}
    return {
        name: _step(names[name], pipeline.components)
        for name in sorted(names)
        if not names[name].subtransforms and names[name].spec.urn
    }


def _step(transform: beam_api.PTransform, components: beam_api.Components) -> Step:
    outputs = {
        tag: _encoding(components.pcollections[one], components)
        for tag, one in sorted(transform.outputs.items())
    }
    return {
        "kind": transform.spec.urn.split(":")[-2],
        "outputs": outputs,
        "state": _state(transform, components),
    }


def _state(transform: beam_api.PTransform, components: beam_api.Components) -> list[str]:
    """What the step keeps between bundles: groups, cells, timers, side inputs, ids read."""
    kind, payload = transform.spec.urn, transform.spec.payload
    if kind == GROUP:
        (source,) = transform.inputs.values()
        return [f"groups of {_encoding(components.pcollections[source], components)}"]
    if kind == PUBSUB_READ:
        read = beam_api.PubSubReadPayload.FromString(payload)
        return [f"ids by {read.id_attribute or 'message id'}"]
    if kind != PARDO:
        return []
    pardo = beam_api.ParDoPayload.FromString(payload)
    return (
        [f"cell {name}" for name in sorted(pardo.state_specs)]
        + [f"timer {name}" for name in sorted(pardo.timer_family_specs)]
        + [f"side input {name}" for name in sorted(pardo.side_inputs)]
        + ["restriction"] * bool(pardo.restriction_coder_id)
    )


def _encoding(collection: beam_api.PCollection, components: beam_api.Components) -> str:
    strategy = components.windowing_strategies[collection.windowing_strategy_id]
    window = components.coders[strategy.window_coder_id].spec.urn.split(":")[-2]
    return f"{_coder(collection.coder_id, components)} in {window}"


def _coder(coder_id: str, components: beam_api.Components) -> str:
    coder = components.coders[coder_id]
    kind = coder.spec.urn.split(":")[-2]
    if kind == "row":
        return _fields(schema_pb2.Schema.FromString(coder.spec.payload))
    if kind == "pickled_python":
        # CLASS$PICKLE: the class is all that is read.
        text = wrappers_pb2.BytesValue.FromString(coder.spec.payload).value
        return text.split(b"$")[0].decode("ascii", "replace")
    parts = [_coder(part, components) for part in coder.component_coder_ids]
    return f"{kind}<{', '.join(parts)}>" if parts else kind


def _fields(schema: schema_pb2.Schema) -> str:
    return "row<" + ", ".join(f"{field.name} {_type(field.type)}" for field in schema.fields) + ">"


def _type(field: schema_pb2.FieldType) -> str:
    mark = "?" if field.nullable else ""
    kind = field.WhichOneof("type_info")
    if kind == "atomic_type":
        return schema_pb2.AtomicType.Name(field.atomic_type).lower() + mark
    if kind == "row_type":
        return _fields(field.row_type.schema) + mark
    if kind == "map_type":
        return f"map<{_type(field.map_type.key_type)}, {_type(field.map_type.value_type)}>{mark}"
    if kind in ("array_type", "iterable_type"):
        return f"list<{_type(getattr(field, kind).element_type)}>{mark}"
    return f"{field.logical_type.urn}{mark}"
