"""Run a release's text transform: texts in, packed text features out.

The transform is the tensorflow-transform graph that training analysed, loaded
as a plain SavedModel: serving needs tensorflow, not tensorflow-transform.
"""

from collections.abc import Sequence
from pathlib import Path

from models.features import FeatureSpec, normalise_text, pack_features
from models.saved_model import load_signature

TEXT_INPUT = "text"


def normalised(texts: Sequence[str]) -> list[bytes]:
    """What the graph reads of each text, in training and in service.

    A lone surrogate, which JSON may hold and UTF-8 may not, counts as "?".
    """
    return [normalise_text(text).encode("utf-8", "replace") for text in texts]


class TextTransform:
    """The text transform of one release, callable from any number of threads."""

    def __init__(self, folder: Path, features: tuple[FeatureSpec, ...]) -> None:
        """Load the SavedModel in `folder`, whose outputs must hold `features`.

        Raises ValueError when `folder` is not a text transform with those features.
        """
        self._loaded, self._signature = load_signature(folder)
        import tensorflow as tf  # imported by then; it costs seconds, and not everybody needs it

        outputs = self._signature.structured_outputs
        for spec in features:
            found = outputs.get(spec.name)
            if found is None or (found.dtype.name, tuple(found.shape[1:])) != (
                spec.dtype,
                spec.shape,
            ):
                raise ValueError(f"{folder.name} gives {found} where the release says {spec}")
        self._constant = tf.constant
        self.features = features

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        """The packed features of each text, in order, computed in one batch."""
        if not texts:
            return []
        batch = self._constant(normalised(texts))
        arrays = self._signature(**{TEXT_INPUT: batch})
        return pack_features(
            self.features, {spec.name: arrays[spec.name].numpy() for spec in self.features}
        )
