"""LiteRT files for tests, built from LiteRT's own schema, so that no test waits for TensorFlow."""

from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def tensor(name: str) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.shapeSignature = name, [1, 3], [-1, 3]
    made.type, made.buffer = schema.TensorType.FLOAT32, 0
    return made


def named(name: str, index: int) -> schema.TensorMapT:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name, index
    return made


def adding_file(path: Path, *, signatures: int = 1) -> Path:
    """A LiteRT file that adds `left` and `right`, both float32 (n, 3), to `total`."""
    code, add, graph = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT()
    code.builtinCode = schema.BuiltinOperator.ADD
    add.opcodeIndex, add.inputs, add.outputs = 0, [0, 1], [2]
    add.builtinOptionsType, add.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    graph.tensors = [tensor(name) for name in ("a", "b", "c")]
    graph.inputs, graph.outputs, graph.operators = [0, 1], [2], [add]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    model.signatureDefs = []
    for number in range(signatures):
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = f"signature_{number}", 0
        signature.inputs = [named("right", 1), named("left", 0)]
        signature.outputs = [named("total", 2)]
        model.signatureDefs.append(signature)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return path
