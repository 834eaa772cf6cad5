"""TensorFlow SavedModels of a release, loaded as they are."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FeatureSpec
from models.model_inputs import FREE, taken_inputs

SIGNATURE = "serving_default"


def load_signature(folder: Path) -> tuple[Any, Any]:
    """The SavedModel in `folder`, which owns what its signature uses, and the signature.

    Imports tensorflow, which takes several seconds the first time, and lets it use
    one thread an operation, unless it is already running, and of a GPU no more
    memory than it needs. Raises ValueError when there is no such SavedModel.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # already running: what it uses is set
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    try:
        loaded = tf.saved_model.load(str(folder))
        signature = loaded.signatures[SIGNATURE]
    except (OSError, KeyError) as error:
        raise ValueError(f"{folder.name} is not a SavedModel to serve: {error}") from error
    return loaded, signature


class SavedModel:
    """A SavedModel that TensorFlow runs: on a GPU where there is one.

    Takes and gives what a LiteRT file does; callable from any number of threads.
    """

    can_be_forked = False  # TensorFlow has threads

    def __init__(self, folder: Path) -> None:
        """Raises ValueError when `folder` holds no SavedModel with that signature."""
        self._loaded, self._signature = load_signature(folder)
        _, wanted = self._signature.structured_input_signature
        self.inputs, self.batch = _specs(wanted)
        self.outputs, _ = _specs(self._signature.structured_outputs)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run arrays (n, *shape), n >= 1, the same n for all; returns new arrays (n, *shape).

        Raises KeyError when an input is missing, ValueError when dtype or shape is not the
        model's.
        """
        import tensorflow as tf

        arrays = taken_inputs(self.inputs, inputs)
        found = self._signature(**{name: tf.constant(one) for name, one in arrays.items()})
        return {name: found[name].numpy() for name in self.outputs}


def _specs(
    tensors: Mapping[str, Any],
) -> tuple[Mapping[str, FeatureSpec], Mapping[str, int | None]]:
    """Tensors without their batch dimension; and that dimension, None for none."""
    specs, batch = {}, {}
    for name, one in sorted(tensors.items()):
        known = one.shape.rank is not None
        lengths = [FREE if length is None else length for length in one.shape] if known else [FREE]
        specs[name] = FeatureSpec(name, one.dtype.name, tuple(lengths[1:]))
        batch[name] = lengths[0] if lengths else None
    return specs, batch
