"""LiteRT models: any batch size, named inputs and outputs, any number of threads.

The file under test adds two arrays, and is built here from LiteRT's own schema,
so that no test waits for tensorflow.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from models.features import FeatureSpec
from models.litert import LiteRTModel


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


@pytest.fixture
def model(tmp_path: Path) -> LiteRTModel:
    return LiteRTModel(adding_file(tmp_path / "adding.tflite"))


def batch(size: int, start: float = 0.0) -> dict[str, np.ndarray]:
    left = np.arange(size * 3, dtype=np.float32).reshape(size, 3) + np.float32(start)
    return {"left": left, "right": np.full((size, 3), 100, np.float32)}


def test_the_file_says_what_it_takes_and_gives(model: LiteRTModel) -> None:
    """A release is checked against names, dtypes and shapes without the batch."""
    assert model.inputs == {
        "left": FeatureSpec("left", "float32", (3,)),
        "right": FeatureSpec("right", "float32", (3,)),
    }
    assert model.outputs == {"total": FeatureSpec("total", "float32", (3,))}


@pytest.mark.parametrize("sizes", [(1,), (5, 1, 16, 3), (40, 2)])
def test_batch_sizes_may_change_from_call_to_call(
    model: LiteRTModel, sizes: tuple[int, ...]
) -> None:
    """Each call gives a row for each row, whatever size came before."""
    for size in sizes:
        inputs = batch(size)
        np.testing.assert_array_equal(model(inputs)["total"], inputs["left"] + 100)


def test_a_result_outlives_the_next_call(model: LiteRTModel) -> None:
    """Outputs are copies, not views of memory that the next call overwrites."""
    first = model(batch(2))["total"]
    model(batch(2, start=50))
    np.testing.assert_array_equal(first, batch(2)["left"] + 100)


def test_inputs_that_it_does_not_name_are_ignored(model: LiteRTModel) -> None:
    """All scorers of a release get the same features, and take what they need."""
    assert model({**batch(2), "other": np.zeros((7, 7))})["total"].shape == (2, 3)


def test_arrays_need_not_be_contiguous(model: LiteRTModel) -> None:
    """A view with strides is read by its values."""
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    result = model({"left": wide[:, ::2], "right": wide[:, 1::2]})["total"]
    np.testing.assert_array_equal(result, wide[:, ::2] + wide[:, 1::2])


def test_threads_do_not_disturb_each_other(model: LiteRTModel) -> None:
    """Eight threads with batches of different sizes each get their own sums."""

    def run(number: int) -> bool:
        inputs = batch(1 + number % 16, start=number)
        return np.array_equal(model(inputs)["total"], inputs["left"] + 100)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(400)))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"left": np.zeros((2, 3), np.float64)}, "left is float64"),
        ({"left": np.zeros((2, 4), np.float32)}, r"left is float32 \(4,\), not float32 \(3,\)"),
        ({"left": np.zeros((1, 3), np.float32)}, "one batch size"),
        (batch(0), "at least one row"),
    ],
)
def test_wrong_arrays_are_refused(
    model: LiteRTModel, wrong: dict[str, np.ndarray], error: str
) -> None:
    """A dtype, shape or batch size that does not fit is named, not computed with."""
    with pytest.raises(ValueError, match=error):
        model({**batch(2), **wrong})


def test_a_missing_input_is_named(model: LiteRTModel) -> None:
    """A feature that a scorer needs and a release lacks is not filled in."""
    with pytest.raises(KeyError, match="right"):
        model({"left": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize("signatures", [0, 2])
def test_a_file_without_exactly_one_signature_is_refused(tmp_path: Path, signatures: int) -> None:
    """Without one signature nobody knows which tensor is meant by a name."""
    with pytest.raises(ValueError, match=f"has {signatures} signatures"):
        LiteRTModel(adding_file(tmp_path / "adding.tflite", signatures=signatures))


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged file is refused when it is opened."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.tflite"):
        LiteRTModel(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a path with nothing there."""
    with pytest.raises(ValueError, match="missing.tflite"):
        LiteRTModel(tmp_path / "missing.tflite")
