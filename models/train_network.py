"""The Keras models of a release, and how they are trained, all at once.

A small convolutional image encoder feeds one scorer for each label name. The
scorers share their reading of the text. Each step scores every item three
times, with both sides and with either alone, so that a missing side is nothing
new in service. A further loss lets the embedding predict the words of the text:
it learns what people mention, which the labels alone teach far more slowly.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from models.features import FeatureSpec
from models.release import PRESENCE
from models.text_analysis import TEXT_FEATURES

EMBEDDING = FeatureSpec("embedding", "float16", (128,))
SCORER_INPUTS = (FeatureSpec("embedding", "float32", EMBEDDING.shape), *TEXT_FEATURES, *PRESENCE)
# Filters and stride of each 3x3 convolution: 30 million multiplications at 96 px.
CONVOLUTIONS = ((16, 2), (32, 2), (64, 2), (96, 1), (128, 1))
WORD_NUMBERS = 64  # numbers a word is embedded in
HIDDEN = 96
SHIFT_PX = 4
BATCH = 64
LEARNING_RATE = 2e-3
ONE_SIDE_WEIGHT = 0.25
WORDS_WEIGHT = 1.0
MAX_PREDICTED_WORDS = 1_000  # the most frequent ones


class Network(NamedTuple):
    """`encoder`: {"image"} to embedding; `scorers`: SCORER_INPUTS to probabilities.

    `logits` are the scorers before the softmax, with the same weights; `words`
    is needed for training alone.
    """

    encoder: keras.Model
    scorers: Mapping[str, keras.Model]
    logits: Mapping[str, keras.Model]
    words: keras.Model


def build_network(
    labels: Mapping[str, tuple[str, ...]], *, size_px: int, vocabulary: int
) -> Network:
    """A network with fresh weights; `vocabulary` is how many numbers token_ids take."""
    # Keras's own start, within 0.05, would leave the product of the sides near zero.
    start = keras.initializers.RandomNormal(stddev=1.0)
    embed_words = layers.Embedding(vocabulary, WORD_NUMBERS, start, name="word_table")
    logits, scorers = {}, {}
    for name, values in labels.items():
        inputs = {
            one.name: keras.Input(one.shape, dtype=one.dtype, name=one.name)
            for one in SCORER_INPUTS
        }
        answer = layers.Dense(len(values), name="logits")(_merge(inputs, embed_words))
        logits[name] = keras.Model(inputs, answer)
        scorers[name] = keras.Model(inputs, layers.Softmax()(answer))
    embedding = keras.Input(EMBEDDING.shape)
    words = layers.Dense(min(vocabulary, MAX_PREDICTED_WORDS))(embedding)
    return Network(_encoder(size_px), scorers, logits, keras.Model(embedding, words))


def _encoder(size_px: int) -> keras.Model:
    image = keras.Input((size_px, size_px, 3), dtype="uint8", name="image")
    pixels = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters, stride in CONVOLUTIONS:
        pixels = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(pixels)
        pixels = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(pixels))
    pooled = layers.GlobalAveragePooling2D()(pixels)
    return keras.Model({"image": image}, layers.Dense(*EMBEDDING.shape)(pooled))


def _merge(inputs: Mapping[str, keras.KerasTensor], embed_words: layers.Layer) -> keras.KerasTensor:
    """What a scorer knows of an item: either side, and where the two agree."""
    tokens = inputs["token_ids"]
    real = ops.cast(ops.expand_dims(ops.not_equal(tokens, 0), -1), "float32")
    words = layers.Dense(HIDDEN, activation="relu")(embed_words(tokens)) * real
    text = ops.max(words, axis=1) * inputs["has_text"]
    image = layers.Dense(HIDDEN, activation="relu")(inputs["embedding"]) * inputs["has_image"]
    merged = ops.concatenate(
        [image, text, image * text, inputs["has_image"], inputs["has_text"]], axis=-1
    )
    return layers.Dense(HIDDEN, activation="relu")(merged)


def fit_network(
    network: Network,
    arrays: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    *,
    epochs: int,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Train in place.

    `arrays`: image (n, size_px, size_px, 3), token_ids, has_image, has_text;
    `answers`: int32 (n,) for each scorer. Reports each epoch's mean loss.
    """
    count = len(arrays["image"])
    batches = -(-count // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * batches, warmup_target=LEARNING_RATE, warmup_steps=batches // 2
    )
    step = _make_step(network, keras.optimizers.Adam(rate, global_clipnorm=1.0))
    shuffle = np.random.default_rng(seed)
    for epoch in range(1, epochs + 1):
        start_s = time.monotonic()
        losses = [
            step(
                {name: array[rows] for name, array in arrays.items()},
                {name: column[rows] for name, column in answers.items()},
            ).numpy()
            for rows in np.array_split(shuffle.permutation(count), batches)
        ]
        report(
            f"epoch {epoch} of {epochs}: loss {np.mean(losses):.3f}, "
            f"{time.monotonic() - start_s:.1f} s"
        )


def _make_step(network: Network, optimizer: keras.optimizers.Optimizer) -> Callable[..., tf.Tensor]:
    models = (network.encoder, network.words, *network.logits.values())
    weights = list({id(one): one for model in models for one in model.trainable_variables}.values())
    optimizer.build(weights)

    def step(arrays: dict[str, tf.Tensor], answers: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = _loss(network, arrays, answers)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    compiled: Callable[..., tf.Tensor] = tf.function(step, reduce_retracing=True)
    return compiled


def _loss(
    network: Network, arrays: Mapping[str, tf.Tensor], answers: Mapping[str, tf.Tensor]
) -> tf.Tensor:
    embedding = network.encoder({"image": _shifted(arrays["image"])}, training=True)
    embedding *= arrays["has_image"]
    loss = WORDS_WEIGHT * _words_loss(network.words(embedding), arrays)
    for image_weight, text_weight in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
        view = {
            "embedding": embedding * image_weight,
            "token_ids": arrays["token_ids"] * int(text_weight),
            "has_image": arrays["has_image"] * image_weight,
            "has_text": arrays["has_text"] * text_weight,
        }
        weight = 1.0 if image_weight == text_weight else ONE_SIDE_WEIGHT
        for name, model in network.logits.items():
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                answers[name], model(view, training=True)
            )
            loss += weight * tf.reduce_mean(losses)
    return loss


def _words_loss(logits: tf.Tensor, arrays: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Cross-entropy of the predicted words against those of the text, if there is one."""
    words = tf.reduce_max(tf.one_hot(arrays["token_ids"], logits.shape[-1]), axis=1)
    words *= tf.concat([[0.0], tf.ones(logits.shape[-1] - 1)], axis=0)  # 0 is no word
    share = words / tf.maximum(tf.reduce_sum(words, axis=1, keepdims=True), 1.0)
    losses = tf.nn.softmax_cross_entropy_with_logits(share, logits)
    return tf.reduce_mean(losses * arrays["has_image"][:, 0])


def _shifted(images: tf.Tensor) -> tf.Tensor:
    """A batch moved by up to SHIFT_PX either way, edges repeated."""
    size_px = images.shape[1]
    around = [[0, 0], [SHIFT_PX, SHIFT_PX], [SHIFT_PX, SHIFT_PX], [0, 0]]
    padded = tf.pad(images, around, "SYMMETRIC")
    top, left = tf.unstack(tf.random.uniform((2,), 0, 2 * SHIFT_PX + 1, tf.int32))
    return padded[:, top : top + size_px, left : left + size_px, :]
