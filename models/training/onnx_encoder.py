"""An ONNX file as a frozen encoder: onnxruntime encodes, and the release carries the file.

The projection becomes two more operators of its graph, which the onnx package writes; a
worker needs onnxruntime alone.
"""

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.model_checks import encoder_problems, how_to_encoder
from models.onnx_model import OnnxModel
from models.training.encoder_names import EncoderRefused
from models.training.evaluation import Run
from models.training.frozen import FrozenEncoder, Projection

RELEASED = "encoder.onnx"
IMAGE, EMBEDDING = "image", "embedding"
PREFIX = "encoder/"  # of the file's own names, so that none is one of the projection's


class OnnxEncoder(FrozenEncoder):
    """Takes `image`, uint8 (n, s, s, 3), and gives `embedding`, float32 (n, width)."""

    def __init__(self, path: Path, folder: Path, *, size_px: int) -> None:
        """Raises EncoderRefused for what is no such file: all that is wrong, and what is right."""
        super().__init__(size_px)
        # Alone, as in a release: weights in a file beside it would be lost.
        self._path = Path(shutil.copyfile(path, folder / "frozen.onnx"))
        try:
            self._model = OnnxModel(self._path)
        except ValueError as error:
            said = f"{path} is not an ONNX encoder that can be read: {error}"
            raise EncoderRefused(f"{said}\n{how_to_encoder(path, size_px)}") from error
        if problems := encoder_problems(self._model, size_px=size_px):
            said = "\n".join(f"{path}: {one}" for one in problems)
            raise EncoderRefused(f"{said}\n{how_to_encoder(path, size_px)}")
        self.width = self._features(
            np.zeros_like(self.samples, shape=(1, size_px, size_px, 3))
        ).shape[1]

    def _features(self, pixels: np.ndarray) -> np.ndarray:
        return self._model({IMAGE: pixels})[EMBEDDING].astype(np.float32, copy=False)

    def write(self, folder: Path, projection: Projection) -> tuple[str, Run]:
        onnx.save(with_projection(onnx.load(self._path), projection), folder / RELEASED)
        return RELEASED, lambda inputs: projection(self._features(inputs[IMAGE]))


def with_projection(model: onnx.ModelProto, projection: Projection) -> onnx.ModelProto:
    """The encoder whose `embedding` is the projected one, of as many numbers."""
    width, numbers = projection.matrix.shape
    features = f"{PREFIX}{EMBEDDING}"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["features"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["wide", "mean"], ["centred"]),
            helper.make_node("MatMul", ["centred", "matrix"], [EMBEDDING]),
        ],
        "projection",
        [helper.make_tensor_value_info("features", _type_of(model), ["n", width])],
        [helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["n", numbers])],
        [
            numpy_helper.from_array(projection.mean, "mean"),
            numpy_helper.from_array(projection.matrix, "matrix"),
        ],
    )
    # Versions of the file's own, which merging requires: the three operators are in all of them.
    own = [one for one in model.opset_import if one.domain in {"", "ai.onnx"}]
    added = helper.make_model(graph, opset_imports=own, ir_version=model.ir_version)
    own_names = compose.add_prefix(model, PREFIX, rename_inputs=False, rename_functions=False)
    return compose.merge_models(
        own_names, added, io_map=[(features, "features")], outputs=[EMBEDDING]
    )


def _type_of(model: onnx.ModelProto) -> int:
    (found,) = [one for one in model.graph.output if one.name == EMBEDDING]
    return int(found.type.tensor_type.elem_type)
