"""ONNX files for tests: small graphs, written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIMENSION = "n"  # a batch of any size
Shape = Sequence[int | str]


def write_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, tuple[str, Shape]],
    constants: Mapping[str, np.ndarray],
) -> Path:
    """Write a graph; a tensor is (type, shape with the batch dimension)."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [_tensor(name, *one) for name, one in inputs.items()],
        [_tensor(name, *one) for name, one in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def encoder_file(
    path: Path,
    *,
    size_px: int = 32,
    width: int = 6,
    batch: int | str = DIMENSION,
    dtype: str = "uint8",
    takes: str = "image",
    gives: str = "embedding",
    fixed_inside: bool = False,
) -> Path:
    """The mean colour and the first pixel of a picture, 0-255, or the first `width` of them.

    With `fixed_inside` it says that it takes any number, and computes with one.
    """
    nodes = [
        helper.make_node("Cast", [takes], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Slice", ["pixels", "zeros", "ones", "axes"], ["corner"]),
        helper.make_node("Reshape", ["corner", "one row" if fixed_inside else "rows"], ["first"]),
        helper.make_node("Concat", ["mean", "first"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "chosen"], [gives]),
    ]
    constants = {
        "axes": np.array([1, 2]),
        "zeros": np.array([0, 0]),
        "ones": np.array([1, 1]),
        "rows": np.array([-1, 3]),
        "one row": np.array([1, 3]),
        "chosen": np.eye(6, width, dtype=np.float32),
    }
    shape = (batch, size_px, size_px, 3)
    return write_graph(
        path, nodes, {takes: (dtype, shape)}, {gives: ("float", (batch, width))}, constants
    )


def scorer_file(
    path: Path, *, labels: int, inputs: Mapping[str, int], gives: str = "scores"
) -> Path:
    """Softmax over the sums of its inputs, float32 (n, width) each, times 0, 1, 2 by label."""
    sums = [f"sum of {name}" for name in inputs]
    nodes = [
        helper.make_node("ReduceSum", [name, "axis"], [total], keepdims=1)
        for name, total in zip(inputs, sums, strict=True)
    ]
    nodes += [
        helper.make_node("Sum", sums, ["sum"]),
        helper.make_node("MatMul", ["sum", "steps"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [gives], axis=1),
    ]
    constants = {"axis": np.array([1]), "steps": np.arange(labels, dtype=np.float32)[np.newaxis]}
    return write_graph(
        path,
        nodes,
        {name: ("float", (DIMENSION, width)) for name, width in inputs.items()},
        {gives: ("float", (DIMENSION, labels))},
        constants,
    )


def adding_file(path: Path) -> Path:
    """`total` of `left` and `right`, float32 (n, 3)."""
    nodes = [helper.make_node("Add", ["left", "right"], ["total"])]
    shape = ("float", (DIMENSION, 3))
    return write_graph(path, nodes, {"left": shape, "right": shape}, {"total": shape}, {})


def _tensor(name: str, dtype: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype.upper()), shape)
