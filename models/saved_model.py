"""TensorFlow SavedModels of a release: loaded as they are, and checked against its manifest."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FeatureSpec

SIGNATURE = "serving_default"
IMAGE_INPUT = "image"


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


class SavedEncoder:
    """An image encoder that TensorFlow runs: on a GPU where there is one.

    Takes and gives what the LiteRT encoder does; callable from any number of threads.
    """

    def __init__(self, folder: Path, features: tuple[FeatureSpec, ...], *, size_px: int) -> None:
        """Raises ValueError when `folder` holds no encoder with those features."""
        self._loaded, self._signature = load_signature(folder)
        self._names = [spec.name for spec in features]
        outputs = self._signature.structured_outputs
        for spec in features:  # of any float type: it is cast for its way to the join
            found = outputs.get(spec.name)
            if found is None or tuple(found.shape[1:]) != spec.shape:
                raise ValueError(f"{folder.name} gives {found} where the release says {spec}")
        # The first call takes memory for good, on a GPU much: before its limit is set.
        self({IMAGE_INPUT: np.zeros((1, size_px, size_px, 3), np.uint8)})

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run images (n, size_px, size_px, 3), uint8; returns new arrays (n, *shape)."""
        import tensorflow as tf

        arrays = self._signature(**{IMAGE_INPUT: tf.constant(inputs[IMAGE_INPUT])})
        return {name: arrays[name].numpy() for name in self._names}
