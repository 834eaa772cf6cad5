"""From a trained Keras model to a LiteRT file with named inputs and outputs.

`LiteRTModel` reads the file. Its weights are those of the Keras model: they are
frozen into constants first, because the converter drops the variables of a
Keras 3 model without a word. Training compares the two on held-out items.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.features import FeatureSpec


def export_litert(
    model: keras.Model, inputs: Sequence[FeatureSpec], *, output: str, path: Path
) -> None:
    """Write `model`, which takes a dict of arrays (n, *shape), to `path`.

    The file has one signature: an input for each of `inputs`, one output named
    `output`, and takes any n >= 1. Makes the folder where it is missing.
    """
    signature = {
        one.name: tf.TensorSpec((None, *one.shape), one.dtype, name=one.name) for one in inputs
    }

    def infer(features: dict[str, tf.Tensor]) -> tf.Tensor:
        return model(features, training=False)

    inference = tf.function(infer, autograph=False).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(inference)
    # The frozen function takes its tensors by position, in the order of its graph.
    order = [tensor.op.name.removeprefix("features_") for tensor in frozen.inputs]
    order = [next(name for name in signature if name == one) for one in order]

    def serve(**features: tf.Tensor) -> dict[str, tf.Tensor]:
        (result,) = frozen(*(features[name] for name in order))
        return {output: result}

    module = tf.Module()
    module.serve = tf.function(serve, autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(
            module, folder, signatures=module.serve.get_concrete_function(**signature)
        )
        converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(converted)
