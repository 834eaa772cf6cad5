"""Image encoders that come trained, by the name that `--encoder` gives them.

Each becomes a function of uint8 pixels, is exported to LiteRT before anything is
trained (an ONNX file stays one), and is frozen: the pictures are encoded once, while they
are decoded, by the file's own numbers. Principal components bring its features to what may
cross to the join.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from models.features import FeatureSpec
from models.litert import LiteRTModel
from models.manifest import ENCODER
from models.saved_model import load_signature
from models.training.efficientnet import load_efficientnet
from models.training.encoder_names import EncoderRefused, parse_encoder
from models.training.evaluation import Run
from models.training.export import export_litert
from models.training.frozen import FrozenEncoder, Projection
from models.training.network import run_model

FEATURES = "features"
PIXELS = 4  # dimensions: batch, height, width, channels

Encode = Callable[..., Any]  # ({"image": uint8 (n, s, s, 3)}, training=False) -> (n, width)


def open_encoder(name: str, *, size_px: int) -> Encode:
    """Raises EncoderRefused for a file that is no image encoder, and says how it must be."""
    kind, path = parse_encoder(name)
    if kind == "keras":
        return _of_keras(Path(path), size_px)
    if kind == "saved_model":
        return _of_saved_model(Path(path), size_px)
    return load_efficientnet(size_px=size_px)


def freeze_encoder(name: str, folder: Path, *, size_px: int) -> FrozenEncoder:
    """The encoder of that name; `folder` is for its files while it encodes.

    Raises EncoderRefused for what is no encoder, and says how it must be.
    """
    kind, path = parse_encoder(name)
    if kind == "onnx":
        from models.training.onnx_encoder import OnnxEncoder  # and the onnx package with it

        return OnnxEncoder(Path(path), folder, size_px=size_px)
    return LiteRTEncoder(name, folder, size_px=size_px)


class LiteRTEncoder(FrozenEncoder):
    """An encoder of Keras or TensorFlow as a LiteRT file."""

    def __init__(self, name: str, folder: Path, *, size_px: int) -> None:
        """Raises EncoderRefused for what is no encoder, or cannot be a LiteRT file."""
        super().__init__(size_px)
        self._encode = open_encoder(name, size_px=size_px)
        self._image = FeatureSpec("image", "uint8", (size_px, size_px, 3))
        path = folder / "frozen.tflite"
        export_litert(self._encode, (self._image,), output=FEATURES, path=path)
        self._model = LiteRTModel(path)
        shape = self._model.outputs[FEATURES].shape
        if len(shape) != 1:
            raise EncoderRefused(f"{name} gives {shape} numbers a picture, not one row of them")
        (self.width,) = shape

    def _features(self, pixels: np.ndarray) -> np.ndarray:
        return self._model({"image": pixels})[FEATURES]

    def write(self, folder: Path, projection: Projection) -> tuple[str, Run]:
        encode = projected(self._encode, projection)
        export_litert(encode, (self._image,), output="embedding", path=folder / ENCODER)
        return ENCODER, partial(run_model, encode)


def projected(encode: Encode, projection: Projection) -> Encode:
    """The encoder with its projection: what a release serves."""
    bias = -projection.mean @ projection.matrix

    def embed(arrays: Mapping[str, tf.Tensor], *, training: bool = False) -> tf.Tensor:
        return tf.matmul(encode(arrays, training=training), projection.matrix) + bias

    return embed


def _of_keras(path: Path, size_px: int) -> Encode:
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError) as error:
        raise EncoderRefused(f"{path} is not a Keras model that can be read: {error}") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EncoderRefused(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: an encoder "
            "has one of each; save keras.Model(model.input, the layer's output that you want)"
        )
    wanted = model.inputs[0]
    _check_shape(str(path), tuple(wanted.shape), size_px)
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    found = model(ops.cast(image, wanted.dtype), training=False)
    if len(found.shape) == PIXELS:
        found = keras.layers.GlobalAveragePooling2D()(found)
    return keras.Model({"image": image}, ops.cast(found, "float32"))


def _of_saved_model(folder: Path, size_px: int) -> Encode:
    try:
        loaded, signature = load_signature(folder)
    except ValueError as error:
        raise EncoderRefused(str(error)) from error
    wanted = signature.structured_input_signature[1]
    outputs = signature.structured_outputs
    if len(wanted) != 1 or len(outputs) != 1:
        raise EncoderRefused(
            f"{folder}: its signature takes {sorted(wanted)} and gives {sorted(outputs)}: an "
            "encoder takes a picture and gives one row of numbers"
        )
    ((name, spec),), (output,) = wanted.items(), outputs
    _check_shape(str(folder), tuple(spec.shape), size_px)

    return _Signature(loaded, partial(_call, signature, name, spec.dtype, output))


class _Signature:
    """A SavedModel's signature as an encoder; it keeps the weights."""

    def __init__(self, loaded: object, call: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self._loaded, self._call = loaded, call

    def __call__(self, arrays: Mapping[str, tf.Tensor], *, training: bool = False) -> tf.Tensor:
        return self._call(arrays["image"])


def _call(signature: Any, name: str, dtype: Any, output: str, image: tf.Tensor) -> tf.Tensor:
    found = tf.cast(signature(**{name: tf.cast(image, dtype)})[output], "float32")
    return tf.reduce_mean(found, axis=(1, 2)) if len(found.shape) == PIXELS else found


def _check_shape(path: str, shape: tuple[int | None, ...], size_px: int) -> None:
    allowed = [(None, size_px), (None, size_px), (3, None)]
    if len(shape) != PIXELS or any(a not in b for a, b in zip(shape[1:], allowed, strict=True)):
        raise EncoderRefused(
            f"{path} takes {shape}: an encoder takes (any number, {size_px}, {size_px}, 3) with "
            f"--size_px={size_px}, pixels from 0 to 255, and scales them itself"
        )
    if shape[0] is not None:
        raise EncoderRefused(f"{path} takes {shape[0]} pictures at once: export it for any number")
