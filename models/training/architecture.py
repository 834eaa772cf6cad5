"""The Keras models of a release: an image encoder, and the deep part of each scorer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
from keras import layers, ops

from models.features import FeatureSpec

EMBEDDING = FeatureSpec("embedding", "float16", (128,))  # of the encoder that is trained here
DEEP_INPUTS = ("embedding", "token_ids", "has_image", "has_text")
# Filters and stride of each 3x3 convolution: 30 million multiplications at 96 px.
CONVOLUTIONS = ((16, 2), (32, 2), (64, 2), (96, 1), (128, 1))
WORD_NUMBERS = 64  # numbers a word is embedded in
HIDDEN = 64
DROPOUT = 0.2


class Network(NamedTuple):
    """`encoder`: {"image"} to embedding, None for a frozen one; `logits`: DEEP_INPUTS to logits.

    All share `word_table`, and `meaning`, which takes an embedding to where the
    table has the words for it.
    """

    encoder: keras.Model | None
    logits: Mapping[str, keras.Model]
    word_table: layers.Embedding
    meaning: layers.Dense


def build_network(
    columns: Mapping[str, int],
    inputs: Sequence[FeatureSpec],
    *,
    size_px: int | None,
    vocabulary: int,
) -> Network:
    """A network with fresh weights and so many `columns` of logits for each scorer.

    `vocabulary` is how many numbers token_ids take. Without `size_px` it has no encoder of
    its own.
    """
    start = keras.initializers.RandomNormal(stddev=0.3)
    word_table = layers.Embedding(vocabulary, WORD_NUMBERS, start, name="word_table")
    meaning = layers.Dense(WORD_NUMBERS, name="meaning")
    logits = {}
    for name, count in columns.items():
        read = {
            one.name: keras.Input(one.shape, dtype=one.dtype, name=one.name)
            for one in inputs
            if one.name in DEEP_INPUTS
        }
        answer = layers.Dense(count)(_merge(read, word_table, meaning))
        logits[name] = keras.Model(read, answer)
    encoder = _encoder(size_px) if size_px else None
    return Network(encoder, logits, word_table, meaning)


def _encoder(size_px: int) -> keras.Model:
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    pixels = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters, stride in CONVOLUTIONS:
        pixels = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(pixels)
        pixels = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(pixels))
    pooled = layers.GlobalAveragePooling2D()(pixels)
    return keras.Model({"image": image}, layers.Dense(*EMBEDDING.shape)(pooled))


def _merge(
    inputs: Mapping[str, keras.KerasTensor], word_table: layers.Layer, meaning: layers.Layer
) -> keras.KerasTensor:
    """What a scorer knows of an item: either side, and how each word fits the picture."""
    real = ops.cast(ops.expand_dims(ops.not_equal(inputs["token_ids"], 0), -1), "float32")
    words = word_table(inputs["token_ids"])
    pictured = meaning(inputs["embedding"]) * inputs["has_image"]
    fits = layers.Dense(HIDDEN, activation="relu")(words * ops.expand_dims(pictured, 1))
    image = layers.Dense(HIDDEN, activation="relu")(inputs["embedding"]) * inputs["has_image"]
    text = layers.Dense(HIDDEN, activation="relu")(words)
    merged = ops.concatenate(
        [
            image,
            ops.max(text * real, axis=1),
            ops.max(fits * real, axis=1),
            inputs["has_image"],
            inputs["has_text"],
        ],
        axis=-1,
    )
    return layers.Dense(HIDDEN, activation="relu")(layers.Dropout(DROPOUT)(merged))
