"""Run a release's text transform: texts in, packed text features out.

The transform is the tensorflow-transform graph that training analysed, loaded
as a plain SavedModel: serving needs tensorflow, not tensorflow-transform.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.features import FeatureSpec, normalise_text, pack_features
from models.saved_model import SIGNATURE, load_signature

TEXT_INPUT = "text"


def normalised(texts: Sequence[str]) -> list[bytes]:
    """What the graph reads of each text, in training and in service.

    A lone surrogate, which JSON may hold and UTF-8 may not, counts as "?".
    """
    return [normalise_text(text).encode("utf-8", "replace") for text in texts]


def features_of(folder: Path) -> tuple[FeatureSpec, ...]:
    """What the text transform in `folder` gives, by name.

    Raises ValueError when it is no SavedModel that takes `text`, string (n,), or when something
    that it gives has no fixed shape.
    """
    _, signature = load_signature(folder)
    _, takes = signature.structured_input_signature
    if list(takes) != [TEXT_INPUT] or takes[TEXT_INPUT].dtype.name != "string":
        raise ValueError(f"takes {', '.join(sorted(takes))}, and must take text, string (n,)")
    gives = signature.structured_outputs
    for name, one in sorted(gives.items()):
        if one.shape.rank is None or None in one.shape[1:]:
            raise ValueError(f"gives {name} without a fixed shape: {one.shape}")
    return tuple(
        FeatureSpec(name, one.dtype.name, tuple(one.shape[1:])) for name, one in gives.items()
    )


class TextTransform:
    """The text transform of one release, callable from any number of threads.

    It runs in the thread that calls, and in a fork of the process that loaded it: a
    session can be told so, where eager TensorFlow waits for threads that a fork has not.
    """

    def __init__(self, folder: Path, features: tuple[FeatureSpec, ...]) -> None:
        """Load the SavedModel in `folder`, whose outputs must hold `features`.

        Imports tensorflow, which takes several seconds the first time. Raises ValueError
        when `folder` is not a text transform with those features.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf  # it costs seconds, and not everybody needs it

        v1 = tf.compat.v1
        config = v1.ConfigProto(
            inter_op_parallelism_threads=-1,  # none but the caller's
            intra_op_parallelism_threads=1,
            device_count={"GPU": 0},
        )
        with tf.Graph().as_default() as graph:
            self._session = v1.Session(graph=graph, config=config)
            tf.get_logger().setLevel("ERROR")  # it advises eager loading
            try:
                loaded = v1.saved_model.load(self._session, [v1.saved_model.SERVING], str(folder))
                signature = loaded.signature_def[SIGNATURE]
                text = signature.inputs[TEXT_INPUT].name
            except (OSError, RuntimeError, KeyError) as error:
                raise ValueError(f"{folder.name} is not a SavedModel to serve: {error}") from error
        for spec in features:
            found = ("nothing", ())
            if spec.name in signature.outputs:
                info = signature.outputs[spec.name]
                shape = tuple(tf.TensorShape(info.tensor_shape).as_list()[1:])
                found = (tf.as_dtype(info.dtype).name, shape)
            if found != (spec.dtype, spec.shape):
                raise ValueError(f"{folder.name} gives {found} where the release says {spec}")
        self._call = self._session.make_callable(
            [signature.outputs[spec.name].name for spec in features], feed_list=[text]
        )
        self.features = features

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        """The packed features of each text, in order, computed in one batch."""
        if not texts:
            return []
        arrays = self._call(np.array(normalised(texts), object))
        named = zip((spec.name for spec in self.features), arrays, strict=True)
        return pack_features(self.features, dict(named))
